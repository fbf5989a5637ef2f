"""The benchmark of real photographs: its figures, its table, and its runs on a small folder with a numpy teacher."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import feature_distances, photo_runs
from benchmarks.own_teacher import is_near, write_clips
from benchmarks.photo_conditions import BASE, CONDITIONS, DISTANCES, chosen_conditions, parse_condition
from benchmarks.photo_figures import difference, markdown, photo_figures
from benchmarks.photo_runs import training_config
from benchmarks.photos import main
from embedonce.models.losses import registry
from tests.support import small_students
from tests.support.numpy_teacher import write_teacher
from tests.support.videos import write_video

VIDEOS = [f"v{i}" for i in range(8) for _ in range(2)]


def unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, float)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# -- figures -----------------------------------------------------------------------------------------------------------


def test_a_student_like_its_teacher_has_the_best_figures():
    teacher = unit(np.random.default_rng(0).standard_normal((20, 8)) + 2)
    found = photo_figures(teacher, teacher, teacher.mean(0))
    assert all(np.allclose(values, 1) and values.shape == (20,) for values in found.values())


def test_a_student_of_the_mean_vector_alone_has_a_cosine_and_nothing_else():
    generator = np.random.default_rng(0)
    teacher = unit(0.5 * generator.standard_normal((200, 16)) + 1)
    center = teacher.mean(0)
    student = unit(center + 1e-3 * generator.standard_normal((200, 16)))
    means = {name: values.mean() for name, values in photo_figures(student, teacher, center).items()}
    assert means["cosine"] > 0.85 and abs(means["centered cosine"]) < 0.1
    assert means["retrieval@1"] < 0.05 and means["retrieval@5"] < 0.1


def test_the_centered_cosine_by_hand():
    student, teacher, center = unit([[1.0, 0.0]]), unit([[0.0, 1.0]]), np.array([0.5, 0.5])
    assert photo_figures(student, teacher, center)["centered cosine"] == pytest.approx([-1.0])
    assert photo_figures(student, teacher, center)["cosine"] == pytest.approx([0.0])


def test_retrieval_counts_teachers_vectors_that_are_nearer():
    teacher = unit([[1, 0], [0.9, 0.1], [0.8, 0.2], [0, 1]])
    student = unit([[1, 0], [1, 0], [1, 0], [0, 1]])
    assert is_near(student, teacher, 1).tolist() == [1, 0, 0, 1]
    assert is_near(student, teacher, 2).tolist() == [1, 1, 0, 1]
    assert is_near(student, teacher, 3).tolist() == [1, 1, 1, 1]


def runs(*means: float) -> list[dict[str, np.ndarray]]:
    noise = np.linspace(-0.1, 0.1, len(VIDEOS))
    names = ("cosine", "centered cosine", "retrieval@1", "retrieval@5")
    return [dict.fromkeys(names, mean + noise) for mean in means]


def test_differences_are_paired_and_of_means_over_seeds():
    mean, interval = difference(runs(0.6, 0.8), runs(0.4, 0.6), "cosine", VIDEOS)
    assert mean == pytest.approx(0.2) and interval is None  # the same everywhere: no width
    worse = [{"cosine": np.where(np.arange(16) < 4, -0.5, 0.5)}]
    mean, (low, high) = difference(worse, [{"cosine": np.zeros(16)}], "cosine", VIDEOS)
    assert mean == pytest.approx(0.25) and low < 0.25 < high and low < 0 and high <= 2
    assert difference(worse, [{"cosine": np.zeros(16)}], "cosine", ["v"] * 16)[1] is None


def test_the_table_has_each_seed_and_compares_with_the_first_condition():
    lines = markdown({"a": runs(0.5, 0.6), "b": runs(0.6, 0.8)}, {"a": 61.4, "b": 2.0}, VIDEOS)
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| condition | cosine | minus a | centered cosine | minus a | retrieval@1 |")
    assert lines[2].startswith("| a | 0.550 (0.500, 0.600) |  | 0.550") and lines[2].endswith("| 61 s |")
    assert lines[3].startswith("| b | 0.700 (0.600, 0.800) | +0.150 (no interval) | 0.700")


# -- conditions --------------------------------------------------------------------------------------------------------


def test_every_condition_is_a_valid_training_of_its_own(tmp_path):
    configs = {name: training_config(tmp_path, tmp_path, name, overrides, 0) for name, overrides in CONDITIONS.items()}
    plain = [json.dumps({**config.as_dict(), "output_dir": ""}, sort_keys=True) for config in configs.values()]
    assert len(set(plain)) == len(plain) == len({config.output_dir for config in configs.values()})
    assert training_config(tmp_path, tmp_path, "K=8", {}, 1).output_dir != configs["K=8"].output_dir
    assert all(config.gamma == config.beta == 0 and config.epochs in (10, 40, 160) for config in configs.values())


def test_conditions_are_chosen_by_name_and_added_from_the_command_line():
    assert chosen_conditions((), ()) == CONDITIONS
    assert list(chosen_conditions(("K=1", "jitter"), ())) == ["K=1", "jitter 0", "jitter 0.5"]
    added = chosen_conditions(("K=0",), ("K=8 wide=views:16,evaluation-view-share:0.5,amp:false",))
    assert list(added) == ["K=0", "K=8 wide"]
    assert added["K=8 wide"] == {"views": 16, "evaluation_view_share": 0.5, "amp": False}
    assert parse_condition("base=") == ("base", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("views:16", "must be NAME=option:value"),
        ("a=depth:3", "'depth' is not an option of train-student"),
        ("a=views:many", "views must be of type int, got 'many'"),
        ("a=amp:1", "amp must be true or false, got '1'"),
    ],
)
def test_conditions_that_cannot_be_read_are_refused(text, words):
    with pytest.raises(ValueError, match=f"--condition {text}: {words}"):
        parse_condition(text)


def test_a_weight_of_a_distance_that_is_not_used_is_none_of_the_settings(tmp_path, monkeypatch):
    plain = photo_runs._settings(training_config(tmp_path, tmp_path, "K=8", {}, 0))
    monkeypatch.setattr(registry, "_terms", dict(registry._terms))
    feature_distances.register()
    feature_distances.register()  # once is enough
    assert photo_runs._settings(training_config(tmp_path, tmp_path, "K=8", {}, 0)) == plain
    halves = {"clip_distance_weight", "frame_distance_weight"}  # the same for clips of one frame: of ablate.py alone
    weights = {name for values in DISTANCES.values() for name in values} - {"alpha"}
    assert weights == feature_distances.WEIGHTS - halves
    used = [training_config(tmp_path, tmp_path, name, values, 0) for name, values in DISTANCES.items()]
    assert all(len(photo_runs._settings(config)) == len(plain) + 1 for config in used)


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for i in range(8):
        write_video(root / f"v{i}.mp4", 60, size=(64, 96))
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher"))


def benchmark(folder, teacher, work_dir, *arguments: str):
    fixed = ["--data-dir", folder, "--teacher-module", teacher, "--work-dir", work_dir, "--train-videos", 6]
    fixed += ["--clips", 2, "--views", 2, "--size", "tiny", "--epochs", 1, "--seeds", 1]
    return CliRunner().invoke(main, [str(word) for word in (*fixed, *arguments)])


def test_the_table_of_clips(folder, tmp_path):
    write_clips(folder, tmp_path / "clips.csv", 6, 2, 1.0)
    lines = (tmp_path / "clips.csv").read_text().split()
    assert lines[0] == "video,start,end,split" and lines[1:3] == ["v0.mp4,0.0,1.0,train", "v0.mp4,1.0,2.0,train"]
    assert len(lines) == 17 and [line.rpartition(",")[2] for line in lines[1:]] == 12 * ["train"] + 4 * ["val"]


@pytest.mark.integration
def test_students_are_trained_once_and_judged_on_all_held_out_photos(folder, teacher, tmp_path, monkeypatch):
    further = tmp_path / "further"
    further.mkdir()
    for i in range(3):
        Image.fromarray(np.full((64, 96, 3), 40 + 60 * i, np.uint8)).save(further / f"photo{i}.png")
    options = ("--condition", "K=2=views:2", "--condition", "K=0=views:0", "--held-out", further, "--seeds", 2)
    first = benchmark(folder, teacher, tmp_path / "work", *options)
    assert first.exit_code == 0, first.output
    assert "held-out photos: 4 of 2 videos" in first.output and "further photos: 3 of 3 videos" in first.output
    rows = [line for line in first.output.splitlines() if line.startswith("| K=")]
    assert [row.split(" | ")[0] for row in rows] == ["| K=2", "| K=0"] * 2
    results = json.loads(first.output.splitlines()[-1])
    assert results["benchmark"] == "photos" and len(results["tables"]["further photos"]["K=0"]["cosine"]["seeds"]) == 2
    assert len((tmp_path / "work" / "results.jsonl").read_text().splitlines()) == 4

    monkeypatch.setattr(photo_runs, "train", None)  # would be called
    again = benchmark(folder, teacher, tmp_path / "work", *options)
    assert again.exit_code == 0 and json.loads(again.output.splitlines()[-1])["tables"] == results["tables"]
    other = benchmark(folder, teacher, tmp_path / "work", *options, "--epochs", 2)
    assert isinstance(other.exception, TypeError)  # it was called


@pytest.mark.integration
def test_the_training_set_is_all_clips_that_are_not_held_out(folder, teacher, tmp_path, monkeypatch):
    seen = []

    def train(config):
        seen.append(config)
        raise ValueError("no training is needed")

    monkeypatch.setattr(photo_runs, "train", train)
    result = benchmark(folder, teacher, tmp_path, "--only", "K=1")
    assert result.exit_code == 1 and result.output.splitlines()[-1] == "Error: no training is needed"
    ours = photo_runs.Photos.of(seen[0].cache_dir, "train")
    assert len(ours.videos) == 12 and set(ours.videos) == {f"v{i}_2Emp4" for i in range(6)}
    assert ours.embeddings().shape == (12, 16) and (seen[0].views, seen[0].batch_size) == (1, BASE["batch_size"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data-dir", "nowhere"), "Directory 'nowhere' does not exist"),
        (("--only", "other"), "no condition has that in its name"),
        (("--condition", "wide=views:3"), "condition 'wide' needs a cache with 3 views: give --views 3"),
        (("--condition", "fast=lr:-1"), "--lr must be greater than 0"),
        (("--train-videos", "8"), "has 8 videos and images: none is left to judge students on"),
        (("--teacher-module", "nowhere.py"), "nowhere.py"),
    ],
)
def test_mistakes_are_one_sentence(folder, teacher, tmp_path, arguments, words):
    result = benchmark(folder, teacher, tmp_path, "--only", "K=1", *arguments)
    assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit)
    assert words in result.output and "Traceback" not in result.output
