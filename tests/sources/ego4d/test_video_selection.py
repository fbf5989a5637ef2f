"""Selection of videos for a download: order, budget and messages; tasks, manifests, records and S3 errors."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.sources.ego4d.download.annotated_tasks import TASKS, tasks_by_video
from embedonce.pipeline.sources.ego4d.download.bucket import S3File, read_manifest
from embedonce.pipeline.sources.ego4d.download.s3_errors import UnknownProfileError, find_refusal
from embedonce.pipeline.sources.ego4d.download.transfers import DownloadRecord, RemoteFile, Transfer
from embedonce.pipeline.sources.ego4d.download.video_selection import (
    GB,
    Candidate,
    SelectionCriteria,
    rank_candidates,
    select_videos,
)
from embedonce.pipeline.sources.ego4d.metadata import read_metadata
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems

ROOT = Path(__file__).parents[3]


def candidates(count: int) -> list[Candidate]:
    return [Candidate(f"v{i}", 0.1 + i % 7, TASKS[: i % 4], (("Cooking", "Walking")[i % 2],)) for i in range(count)]


def test_more_tasks_come_first_and_other_candidates_do_not_change_the_order():
    videos, criteria = candidates(60), SelectionCriteria(seed=3)
    ordered = rank_candidates(videos, criteria)
    assert [len(video.tasks) for video in ordered] == [3] * 15 + [2] * 15 + [
        1
    ] * 15  # videos without tasks are not candidates
    shuffled = random.Random(0).sample(videos, len(videos))
    assert rank_candidates(shuffled, criteria) == ordered
    fewer = rank_candidates(videos[:30], criteria)
    assert fewer == [video for video in ordered if video in fewer]
    assert rank_candidates(videos, SelectionCriteria(seed=4))[:15] != ordered[:15]
    assert (
        select_videos(ordered, SelectionCriteria(5), lambda uid: 1)
        == select_videos(ordered, SelectionCriteria(9), lambda uid: 1)[:5]
        == ordered[:5]
    )


def test_the_order_is_pinned():
    ordered = rank_candidates([Candidate(uid, 1.0, ("FHO",), ()) for uid in "abcdef"], SelectionCriteria())
    assert "".join(video.uid for video in ordered) == "fdacbe"


def test_scenarios_match_a_part_of_the_name_ignoring_case():
    videos = candidates(20)
    assert {v.scenarios for v in rank_candidates(videos, SelectionCriteria(scenarios=("COOK",)))} == {("Cooking",)}
    assert rank_candidates(videos, SelectionCriteria(scenarios=("cook", "walk"))) == rank_candidates(
        videos, SelectionCriteria()
    )
    with pytest.raises(InputError, match=r"'ski' in the name of a scenario; scenarios: Walking \(10\), Cooking \(5\)"):
        rank_candidates(videos, SelectionCriteria(scenarios=("cook", "ski")))


def test_limits_are_met_whenever_they_can_be():
    generator = random.Random(0)
    for _ in range(200):
        hours = [generator.choice((0.2, 0.5, 1.0, 4.0, 9.0)) for _ in range(12)]
        videos = [Candidate(f"v{i}", hour, ("FHO",), ()) for i, hour in enumerate(hours)]
        count, limit = generator.randint(1, 8), generator.uniform(0.5, 20)
        for criteria in (SelectionCriteria(count, max_hours=limit), SelectionCriteria(count, max_gb=limit)):
            size_of = {video.uid: round(video.hours * GB) for video in videos}.__getitem__
            if sum(sorted(hours)[:count]) <= limit * 0.999:
                taken = select_videos(rank_candidates(videos, criteria), criteria, size_of)
                assert len(set(taken)) == count and sum(video.hours for video in taken) <= limit * 1.001
            elif sum(sorted(hours)[:count]) > limit * 1.001:
                with pytest.raises(InputError, match=f"cannot select {count} videos within"):
                    select_videos(rank_candidates(videos, criteria), criteria, size_of)


def test_unavailable_videos_are_skipped():
    ordered = rank_candidates(candidates(20), SelectionCriteria())
    absent = {video.uid for video in ordered[:3]}
    requested = []
    taken = select_videos(
        ordered, SelectionCriteria(4), lambda uid: requested.append(uid) or (None if uid in absent else 1)
    )
    assert taken == ordered[3:7] and requested == [video.uid for video in ordered[:7]]  # no size is requested in vain
    assert select_videos(ordered, SelectionCriteria(0), lambda uid: 1) == []
    with pytest.raises(
        InputError, match="cannot select 16 videos within 5 GB and 99 hours: 12 of the 15 annotated videos"
    ):
        select_videos(ordered, SelectionCriteria(16, max_gb=5, max_hours=99), lambda uid: None if uid in absent else 1)


@pytest.mark.integration
def test_help_loads_neither_boto3_nor_torch():
    command = [sys.executable, "-X", "importtime", "cli.py", "download-ego4d", "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--num-videos" in ran.stdout and "boto3" not in ran.stderr and "torch" not in ran.stderr


# -- tasks of each video ---------------------------------------------------------------------------------------


def tasks(folder: Path, videos: list[dict], **files) -> dict[str, str]:
    path = folder / "ego4d.json"
    path.write_text(json.dumps({"videos": [{"duration_sec": 1.0} | video for video in videos]}))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    problems = Problems()
    by_video = tasks_by_video(folder, read_metadata(path, path.name, problems), problems)
    problems.check(folder)
    return {uid: "".join(task[0] for task in names) for uid, names in by_video.items()}


def test_tasks_follow_from_splits_and_from_files(tmp_path):
    videos = [
        {"video_uid": "a", "split_fho": "train", "split_em": "val"},
        {"video_uid": "b", "split_fho": "multi", "split_em": "test"},
        {"video_uid": "c", "split_fho": "test"},
        {"video_uid": "d"},
    ]
    assert tasks(tmp_path, videos) == {"a": "FM"}
    main = {"videos": [{"video_uid": "c", "annotated_intervals": [{"narrated_actions": []}]}, {"video_uid": "d"}]}
    main["videos"] += [{"video_uid": "b", "annotated_intervals": [{}, {"narrated_actions": [{"uid": "x"}]}]}]
    redacted = {"videos": {"a": {"narrations": [{"time": 1.0}]}, "c": {"narrations": []}, "elsewhere": {}}}
    assert tasks(tmp_path, videos, fho_main=main, all_narrations_redacted=redacted) == {"a": "FMN", "b": "F"}
    lta = {"fho_lta_val": {"clips": [{"video_uid": "d"}]}, "moments_train": {"videos": [{"video_uid": "b"}, 5, {}]}}
    narration = {"narration": {"c": {"status": "x", "narration_pass_2": {"narrations": [{"timestamp_sec": 1}]}}}}
    assert tasks(tmp_path, videos, **lta, **narration) == {"a": "FM", "b": "M", "c": "N", "d": "F"}


def test_the_error_about_a_broken_annotation_file_names_it(tmp_path):
    with pytest.raises(InputError, match=r"narration.json: content: expected an object, got 'a list'"):
        tasks(tmp_path, [{"video_uid": "a"}], narration=[1])


# -- manifests, records, refusals ------------------------------------------------------------------------------------


def test_manifests_are_read_as_the_client_reads_them():
    text = "file_uid,annotation,type,canonical_s3_location\nu1,fho,file,s3://b/public/v2/annotations/fho_main.json\n"
    assert read_manifest(text, "m") == {"u1": S3File("u1", "fho_main.json", "b", "public/v2/annotations/fho_main.json")}
    text = "video_uid,s3_path,benchmarks\nu2,s3://b/x/y.mp4,[EM|FHO]\nu3,,\n"
    assert read_manifest(text, "m") == {"u2": S3File("u2", "u2.mp4", "b", "x/y.mp4")}
    with pytest.raises(PipelineError, match="m is not an Ego4D manifest: its columns are <html>"):
        read_manifest("<html>\n<body>\n", "m")


def test_a_record_distinguishes_requests_by_their_options(tmp_path):
    first = Transfer(
        "full_scale", (RemoteFile("v2/full_scale/a.mp4", "a", 5),), (Candidate("a", 0.5, ("FHO",), ("x",)),), 2
    )
    second = Transfer("clips", (RemoteFile("v2/clips/b.mp4", "b", None),))
    record = DownloadRecord(tmp_path)
    record.save({"seed": 0}, second)
    record.save({"seed": 1}, second)
    record.save({"seed": 0}, first)
    record = DownloadRecord(tmp_path)
    assert record.find({"seed": 0}) == first and record.find({"seed": 1}) == second and record.find({}) is None
    text = (tmp_path / "download-ego4d.json").read_text()
    (tmp_path / "download-ego4d.json").write_text(text.replace("v2/clips/b.mp4", "v2/../../b.mp4"))
    with pytest.raises(InputError, match="cannot be read"):
        DownloadRecord(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Boto 403 Exception For exists: 0-403-1 | 0.mp4", "S3 denies access with the AWS profile 'p' (403)"),
        ("An error occurred (403) when calling the HeadObject operation: Forbidden", "denies access"),
        ("botocore.exceptions.ClientError: An error occurred (ExpiredToken) when", "credentials last 14 days"),
        ("OSError: [Errno 28] No space left on device: '/x'", "the disk is full (No space left on device)"),
        ("RequestTimeTooSkewed", "set its clock"),
        ("RuntimeError: Could not find AWS profile 'p'.", "there is no AWS profile 'p'"),
        ("Read timeout on endpoint URL", "S3 cannot be reached (Read timeout)"),
        ("100%| 403/403 [00:00<00:00] aaaa-403-bbbb", None),
    ],
)
def test_error_messages_of_s3_and_the_client_are_translated(text, message):
    error = find_refusal(text, "p")
    assert error is None if message is None else message in str(error)


def test_an_unknown_named_profile_is_a_usage_error():
    codes = [find_refusal("Could not find AWS profile", profile).exit_code for profile in ("p", "default")]
    assert codes == [2, 5] and isinstance(find_refusal("Could not find AWS profile", "p"), UnknownProfileError)
