"""The synthetic data set: its videos, its annotations, and that both agree."""

import json
import os
import shutil
import uuid
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.synthetic import generate
from embedonce.pipeline.sources.synthetic.annotations import NOT_PRIMARY, moments_document
from embedonce.pipeline.sources.synthetic.generate import MAX_ACTIONS, make_synthetic, write_video
from embedonce.pipeline.sources.synthetic.plan import CLIPS_PER_VIDEO, FPS, Parameters, plan_videos
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS, hands_at, object_of
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH, action_at, make_scene, render

pytestmark = pytest.mark.integration

SAMPLES, ACTION_COUNT, SEED = 15, 3, 7
PARAMETERS = Parameters(SAMPLES, ACTION_COUNT, SEED)


class Counting:
    count = 0

    def update(self, amount: int = 1) -> None:
        self.count += amount


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    progress = Counting()
    root = make_synthetic(tmp_path_factory.mktemp("data") / "new", SAMPLES, ACTION_COUNT, SEED, progress)
    assert progress.count == len(plan_videos(PARAMETERS)) == 3
    return root


def files(root: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and modification time, to detect rewriting."""
    found = {path: path.stat() for path in sorted(root.rglob("*")) if path.is_file()}
    return {path.relative_to(root).as_posix(): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


# what is on disk


@pytest.mark.slow
def test_the_source_reads_the_generated_files(made):
    source = open_sources(made)["moments"]
    plans = {plan.uid: plan for plan in plan_videos(PARAMETERS)}
    assert source.kind == "ego4d"
    assert source.classes == tuple(sorted(ACTIONS[:ACTION_COUNT]))
    assert {video.uid for video in source.videos} == set(plans)
    assert len(source.clips) == SAMPLES
    assert Counter(clip.video_uid for clip in source.clips).most_common(1)[0][1] == CLIPS_PER_VIDEO
    for uid, plan in plans.items():
        clips = sorted((c for c in source.clips if c.video_uid == uid), key=lambda c: c.start_sec)
        assert [source.classes[clip.label] for clip in clips] == [ACTIONS[label] for label in plan.labels]
        assert {clip.split for clip in clips} == {plan.split}
        for clip, station in zip(clips, plan.stations, strict=True):
            assert abs(clip.start_sec - station.start_sec) <= 0.061
            assert abs(clip.end_sec - station.end_sec) <= 0.061
    assert {clip.split for clip in source.clips} == {"train", "val"}


@pytest.mark.slow
def test_frames_on_disk_show_the_labeled_action(made):
    """Each window is more similar to the scene of its label than to the same scene with another action."""
    source = open_sources(made)["moments"]
    plans = {plan.uid: plan for plan in plan_videos(PARAMETERS)}
    video = source.videos[0]
    decoded, plan = frames(video.path), plans[video.uid]
    scene = plan.scene()
    other = make_scene(PARAMETERS.rng(1, plan.index), [(label + 1) % ACTION_COUNT for label in plan.labels])
    for clip in (clip for clip in source.clips if clip.video_uid == video.uid):
        for t in np.linspace(clip.start_sec + 0.5, clip.end_sec - 0.5, 4):
            index = round(t * FPS)
            mine, theirs = (difference(decoded[index], render(s, index / FPS)) for s in (scene, other))
            assert mine < 6
            assert theirs > 1.5 * mine


def test_the_files_are_h264_with_reordered_frames(made):
    for plan in plan_videos(PARAMETERS):
        with av.open(str(made / "v2" / "full_scale" / f"{plan.uid}.mp4")) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", 320, 240)
            decoded = list(container.decode(stream))
            assert [float(frame.pts * frame.time_base) for frame in decoded] == [i / 10 for i in range(len(decoded))]
            assert len(decoded) == plan.num_frames
            assert {frame.pict_type for frame in decoded} == {1, 2, 3}  # I, P and B
            keyframes = [i for i, frame in enumerate(decoded) if frame.key_frame]
            assert max(np.diff(keyframes)) <= 50


def test_ego4d_json_describes_the_files(made):
    document = json.loads((made / "ego4d.json").read_text())
    assert document["synthetic"] == asdict(PARAMETERS)
    assert {video["video_uid"] for video in document["videos"]} == {plan.uid for plan in plan_videos(PARAMETERS)}
    for video in document["videos"]:
        about = video["video_metadata"]
        with av.open(str(made / "v2" / "full_scale" / f"{video['video_uid']}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.frames == about["num_frames"]
            assert (stream.time_base.numerator, stream.time_base.denominator) == (
                about["video_base_numerator"],
                about["video_base_denominator"],
            )
            assert stream.start_time == about["video_start_pts"] == 0
            assert stream.duration == about["video_duration_pts"]
            assert (stream.width, stream.height) == (
                about["display_resolution_width"],
                about["display_resolution_height"],
            )
            assert about["fps"] == float(stream.average_rate)
            assert about["video_duration_sec"] == video["duration_sec"] == float(stream.duration * stream.time_base)
        assert (about["video_codec"], about["video_start_sec"]) == ("h264", 0.0)
        assert video["split_em"] in ("train", "val")
        assert (video["is_stereo"], video["has_redacted_regions"], video["redacted_intervals"]) == (False, False, [])
        assert uuid.UUID(video["video_uid"]).version == 4


def test_moments_have_ego4ds_schema():
    videos = plan_videos(Parameters(120, 12, 0))
    documents = {split: moments_document(videos, split) for split in ("train", "val")}
    opinions = []
    for split, document in documents.items():
        for video in document["videos"]:
            assert (set(video), video["split"]) == ({"video_uid", "split", "clips"}, split)
            (clip,) = video["clips"]
            for prefix in ("video", "clip"):
                assert clip[f"{prefix}_start_frame"] == round(clip[f"{prefix}_start_sec"] * FPS)
                assert clip[f"{prefix}_end_frame"] == round(clip[f"{prefix}_end_sec"] * FPS)
            opinions.append(len(clip["annotations"]))
            assert len({annotation["annotator_uid"] for annotation in clip["annotations"]}) == opinions[-1]
            for label in (label for annotation in clip["annotations"] for label in annotation["labels"]):
                assert label["start_time"] == label["video_start_time"] - clip["video_start_sec"]
                assert label["video_end_frame"] == round(label["video_end_time"] * FPS)
                assert label["primary"] is (label["label"] != NOT_PRIMARY)
                assert 0 <= label["video_start_time"] < label["video_end_time"] <= clip["video_end_sec"]
    assert set(opinions) == {1, 2}


# the plan


@pytest.mark.parametrize(("samples", "actions", "seed"), [(480, 12, 0), (480, 12, 1), (100, 5, 2), (121, 12, 3)])
def test_plan_balances_classes_and_splits_by_video(samples, actions, seed):
    videos = plan_videos(Parameters(samples, actions, seed))
    assert sum(len(video.labels) for video in videos) == samples
    assert all(len(video.labels) == CLIPS_PER_VIDEO for video in videos[:-1])
    assert len({video.uid for video in videos}) == len(videos)
    assert sum(video.split == "val" for video in videos) == round(len(videos) / 4)
    for split in ("train", "val"):
        counts = Counter(label for video in videos if video.split == split for label in video.labels)
        assert set(counts) == set(range(actions))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_the_default_size_holds_out_enough():
    assert sum(len(v.labels) for v in plan_videos(Parameters(480, MAX_ACTIONS, 0)) if v.split == "val") >= 100
    assert MAX_ACTIONS >= 12


def test_stations_have_the_documented_times():
    for video in plan_videos(Parameters(120, 12, 4)):
        edges = [0.0]
        for station in video.stations:
            assert 0.3 <= station.start_sec - edges[-1] <= 0.7 + 1e-9
            assert 2.5 <= station.end_sec - station.start_sec <= 3.5
            edges.append(station.end_sec)
        assert 0.2 <= video.duration_sec - edges[-1] <= 0.8


def test_too_few_clips_for_the_classes_are_logged(caplog):
    plan_videos(Parameters(12, 12, 0))
    assert "too few for 12 classes" in caplog.text


# the scene


def test_frames_depend_on_seed_time_and_action_alone():
    labels = [0, 3, 5]
    scenes = [make_scene(Parameters(12, 12, seed).rng(1, 0), labels) for seed in (1, 1, 2)]
    for t in (0.0, 1.5, 3.6, 7.25):
        first, again, other = (render(scene, t) for scene in scenes)
        assert first.shape == (FRAME_HEIGHT, FRAME_WIDTH, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
        assert difference(first, other) > 10
    moving = render(scenes[0], 1.5)
    assert difference(moving, render(scenes[0], 1.6)) > 1
    assert np.array_equal(moving, render(scenes[0], 1.5))  # no state is kept between calls


def test_every_action_moves_and_differs_from_the_others():
    """In the same scene, the pixels of any two actions differ during the action."""
    shots = []
    for label in range(len(ACTIONS)):
        scene = make_scene(np.random.default_rng(3), [label])
        station = scene.stations[0]
        times = station.start_sec + (station.end_sec - station.start_sec) * np.array([0.25, 0.4, 0.7])
        shots.append(np.stack([render(scene, t) for t in times]))
    for label, shot in enumerate(shots):
        assert (np.ptp(shot.astype(int), axis=0) > 30).mean() > 0.03, ACTIONS[label]
        for other in range(label):
            assert difference(shot, shots[other]) > 3, (ACTIONS[label], ACTIONS[other])


def test_open_and_close_differ_by_the_direction_of_time_alone():
    opening, closing = (make_scene(np.random.default_rng(0), [ACTIONS.index(a)]) for a in ("open box", "close box"))
    first, second = opening.stations[0], closing.stations[0]
    for fraction in np.linspace(0, 1, 9):
        length = first.end_sec - first.start_sec
        forward, grip = action_at(first, first.start_sec + fraction * length)
        backward, same_grip = action_at(second, second.end_sec - fraction * length)
        assert grip == pytest.approx(same_grip)
        for one, other in zip(hands_at(forward), hands_at(backward), strict=True):
            assert vars(one) == pytest.approx(vars(other))


def test_hands_reach_for_the_object_and_leave():
    for label in range(len(ACTIONS)):
        station = make_scene(np.random.default_rng(label), [label]).stations[0]
        middle = (station.start_sec + station.end_sec) / 2
        grips = [action_at(station, t)[1] for t in (0.0, middle, station.end_sec + 1)]
        assert grips == [0.0, 1.0, 0.0]
        assert action_at(station, 0.0)[0].progress == 0.0
        assert action_at(station, station.end_sec)[0].progress == 1.0
        assert any(hand is not None for hand in hands_at(action_at(station, middle)[0]))


def test_objects_have_several_verbs():
    assert all(count >= 2 for count in Counter(map(object_of, ACTIONS)).values())
    assert len(set(ACTIONS)) == len(ACTIONS)


# making it again


def test_a_complete_data_set_is_not_written_again(made):
    before = files(made)
    progress = Counting()
    assert make_synthetic(made, SAMPLES, ACTION_COUNT, SEED, progress) == made
    assert files(made) == before
    assert progress.count == 3


def test_an_interrupted_data_set_is_completed(made, tmp_path):
    root = tmp_path / "part"
    shutil.copytree(made, root)
    (root / "ego4d.json").unlink()
    videos = sorted((root / "v2" / "full_scale").iterdir())
    content = videos[0].read_bytes()
    videos[0].rename(videos[0].with_name(f".{videos[0].name}.partial"))
    kept = files(root)
    make_synthetic(root, SAMPLES, ACTION_COUNT, SEED)
    after = files(root)
    assert set(after) == set(files(made))  # no partial file is left
    assert videos[0].read_bytes() == content  # deterministic
    for path in videos[1:]:
        name = path.relative_to(root).as_posix()
        assert after[name] == kept[name]
    assert (root / "ego4d.json").read_bytes() == (made / "ego4d.json").read_bytes()


def test_a_missing_video_is_generated_again(made, tmp_path):
    root = tmp_path / "lost"
    shutil.copytree(made, root)
    video = next((root / "v2" / "full_scale").iterdir())
    video.unlink()
    make_synthetic(root, SAMPLES, ACTION_COUNT, SEED)
    assert video.is_file()


def test_a_failed_video_leaves_no_file_with_its_final_name(tmp_path, monkeypatch):
    (plan, *_) = plan_videos(PARAMETERS)
    drawn = []

    def fails_late(scene, t_sec):
        drawn.append(t_sec)
        if len(drawn) > 20:
            raise MemoryError
        return render(scene, t_sec)

    monkeypatch.setattr(generate, "render", fails_late)
    with pytest.raises(MemoryError):
        write_video(tmp_path, plan)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


# refusals


@pytest.mark.parametrize("changes", [(30, 3, 7), (15, 4, 7), (15, 3, 8)])
def test_other_parameters_are_refused(made, changes):
    before = files(made)
    with pytest.raises(InputError, match=r"made with num_samples 15, num_actions 3, seed 7.*not num_samples"):
        make_synthetic(made, *changes)
    assert files(made) == before


def test_an_incomplete_data_set_of_other_parameters_is_refused(made, tmp_path):
    shutil.copytree(made / "v2", tmp_path / "v2")
    with pytest.raises(InputError, match="contains files that do not belong"):
        make_synthetic(tmp_path, SAMPLES, ACTION_COUNT, SEED + 1)


def test_folders_with_other_files_are_refused(tmp_path):
    (tmp_path / "holiday.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"do not belong .*holiday\.mp4; give another folder"):
        make_synthetic(tmp_path, 12, 2, 0)
    with pytest.raises(InputError, match="is a file"):
        make_synthetic(tmp_path / "holiday.mp4", 12, 2, 0)
    assert os.listdir(tmp_path) == ["holiday.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "does not describe synthetic data"), ("[]", "does not describe synthetic data"), ("{", "cannot be read")],
)
def test_a_real_download_is_never_written_to(tmp_path, content, message):
    (tmp_path / "ego4d.json").write_text(content)
    with pytest.raises(InputError, match=message):
        make_synthetic(tmp_path, 12, 2, 0)
    assert os.listdir(tmp_path) == ["ego4d.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((11, 2, 0), "--num-samples must be at least 12 .*got 11"),
        ((12, 1, 0), f"--num-actions must be from 2 to {MAX_ACTIONS} .*got 1"),
        ((12, MAX_ACTIONS + 1, 0), f"--num-actions must be from 2 to {MAX_ACTIONS} .*got {MAX_ACTIONS + 1}"),
        ((12, 2, -1), "--seed must be 0 or more, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        make_synthetic(tmp_path / "new", *arguments)
    assert not (tmp_path / "new").exists()


def test_an_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PipelineError, match="cannot write synthetic videos"):
        make_synthetic(tmp_path / "file" / "below", 12, 2, 0)


def test_light_and_noise_saturate():
    """Integer overflow would make white dark and black bright."""
    scene = make_scene(np.random.default_rng(11), [0])
    white, black = ((lambda t, gain=gain: gain, lambda t: 0.0, lambda t: 0.0) for gain in (50.0, -1.0))
    assert np.median(render(replace(scene, light=white, vignette=scene.vignette * 0 + 140), 1.0)) == 255
    assert render(replace(scene, light=black), 1.0).max() < 30
    assert abs(scene.noise.mean()) < 0.1
