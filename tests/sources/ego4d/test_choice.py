"""Which videos a subset takes: the order, the budget, the messages; and who counts as annotated for what."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.sources.ego4d.download.bucket import S3File, read_manifest
from embedonce.pipeline.sources.ego4d.download.choice import GB, Candidate, SelectionCriteria, choose, in_order
from embedonce.pipeline.sources.ego4d.download.membership import TASKS, tasks_by_video
from embedonce.pipeline.sources.ego4d.download.s3_errors import UnknownProfileError, refusal
from embedonce.pipeline.sources.ego4d.download.transfers import DownloadRecord, RemoteFile, Transfer
from embedonce.pipeline.sources.ego4d.metadata import read_metadata
from embedonce.pipeline.sources.ego4d.problems import Problems

ROOT = Path(__file__).parents[3]


def candidates(count: int) -> list[Candidate]:
    return [Candidate(f"v{i}", 0.1 + i % 7, TASKS[: i % 4], (("Cooking", "Walking")[i % 2],)) for i in range(count)]


def test_more_tasks_first_and_the_same_whatever_else_there_is():
    videos, wish = candidates(60), SelectionCriteria(seed=3)
    ordered = in_order(videos, wish)
    assert [len(video.tasks) for video in ordered] == [3] * 15 + [2] * 15 + [1] * 15  # those of none are no candidates
    shuffled = random.Random(0).sample(videos, len(videos))
    assert in_order(shuffled, wish) == ordered
    fewer = in_order(videos[:30], wish)
    assert fewer == [video for video in ordered if video in fewer]
    assert in_order(videos, SelectionCriteria(seed=4))[:15] != ordered[:15]
    assert (
        choose(ordered, SelectionCriteria(5), lambda uid: 1)
        == choose(ordered, SelectionCriteria(9), lambda uid: 1)[:5]
        == ordered[:5]
    )


def test_the_order_is_pinned():
    ordered = in_order([Candidate(uid, 1.0, ("FHO",), ()) for uid in "abcdef"], SelectionCriteria())
    assert "".join(video.uid for video in ordered) == "fdacbe"


def test_scenarios_by_part_of_the_name_in_any_case():
    videos = candidates(20)
    assert {v.scenarios for v in in_order(videos, SelectionCriteria(scenarios=("COOK",)))} == {("Cooking",)}
    assert in_order(videos, SelectionCriteria(scenarios=("cook", "walk"))) == in_order(videos, SelectionCriteria())
    with pytest.raises(InputError, match=r"'ski' in its name; there are: Walking \(10\), Cooking \(5\)"):
        in_order(videos, SelectionCriteria(scenarios=("cook", "ski")))


def test_a_budget_is_kept_and_used_where_it_can_be():
    generator = random.Random(0)
    for _ in range(200):
        hours = [generator.choice((0.2, 0.5, 1.0, 4.0, 9.0)) for _ in range(12)]
        videos = [Candidate(f"v{i}", hour, ("FHO",), ()) for i, hour in enumerate(hours)]
        count, limit = generator.randint(1, 8), generator.uniform(0.5, 20)
        for wish in (SelectionCriteria(count, max_hours=limit), SelectionCriteria(count, max_gb=limit)):
            size_of = {video.uid: round(video.hours * GB) for video in videos}.__getitem__
            if sum(sorted(hours)[:count]) <= limit * 0.999:
                taken = choose(in_order(videos, wish), wish, size_of)
                assert len(set(taken)) == count and sum(video.hours for video in taken) <= limit * 1.001
            elif sum(sorted(hours)[:count]) > limit * 1.001:
                with pytest.raises(InputError, match=f"there are not {count} videos within"):
                    choose(in_order(videos, wish), wish, size_of)


def test_what_is_not_to_be_had_is_passed_over():
    ordered = in_order(candidates(20), SelectionCriteria())
    absent = {video.uid for video in ordered[:3]}
    asked = []
    taken = choose(ordered, SelectionCriteria(4), lambda uid: asked.append(uid) or (None if uid in absent else 1))
    assert taken == ordered[3:7] and asked == [video.uid for video in ordered[:7]]  # no more than is needed
    assert choose(ordered, SelectionCriteria(0), lambda uid: 1) == []
    with pytest.raises(InputError, match="there are not 16 videos within 5 GB and 99 hours: 12 can be had, of 15 that"):
        choose(ordered, SelectionCriteria(16, max_gb=5, max_hours=99), lambda uid: None if uid in absent else 1)


def test_help_loads_neither_boto3_nor_torch():
    command = [sys.executable, "-X", "importtime", "cli.py", "download-ego4d", "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--num-videos" in ran.stdout and "boto3" not in ran.stderr and "torch" not in ran.stderr


# -- who is annotated for what ---------------------------------------------------------------------------------------


def tasks(folder: Path, videos: list[dict], **files) -> dict[str, str]:
    path = folder / "ego4d.json"
    path.write_text(json.dumps({"videos": [{"duration_sec": 1.0} | video for video in videos]}))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    problems = Problems()
    found = tasks_by_video(folder, read_metadata(path, path.name, problems), problems)
    problems.check(folder)
    return {uid: "".join(task[0] for task in names) for uid, names in found.items()}


def test_tasks_by_splits_and_by_files(tmp_path):
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


def test_a_broken_annotation_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"narration.json: content: expected an object, got 'a list'"):
        tasks(tmp_path, [{"video_uid": "a"}], narration=[1])


# -- manifests, records, refusals ------------------------------------------------------------------------------------


def test_manifests_are_read_as_the_client_reads_them():
    text = "file_uid,annotation,type,canonical_s3_location\nu1,fho,file,s3://b/public/v2/annotations/fho_main.json\n"
    assert read_manifest(text, "m") == {"u1": S3File("u1", "fho_main.json", "b", "public/v2/annotations/fho_main.json")}
    text = "video_uid,s3_path,benchmarks\nu2,s3://b/x/y.mp4,[EM|FHO]\nu3,,\n"
    assert read_manifest(text, "m") == {"u2": S3File("u2", "u2.mp4", "b", "x/y.mp4")}
    with pytest.raises(PipelineError, match="m is not a manifest of Ego4D: its columns are <html>"):
        read_manifest("<html>\n<body>\n", "m")


def test_a_record_keeps_requests_apart(tmp_path):
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
def test_refusals_in_the_words_of_others(text, message):
    error = refusal(text, "p")
    assert error is None if message is None else message in str(error)


def test_a_profile_that_was_named_is_the_users_mistake():
    codes = [refusal("Could not find AWS profile", profile).exit_code for profile in ("p", "default")]
    assert codes == [2, 5] and isinstance(refusal("Could not find AWS profile", "p"), UnknownProfileError)
