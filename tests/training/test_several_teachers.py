"""Training from several teachers: a projection and a share of the feature term for each of them."""

import dataclasses
import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from embedonce.cache.errors import TeacherError
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.models.losses.batch import Targets
from embedonce.models.losses.feature import feature_loss
from embedonce.models.losses.registry import loss_settings
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.models.student_output import AddedOutput, MultiTeacherOutput, StudentOutput
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.student_teachers import embedded_teachers, main_teacher
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export import export as exporting
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.training import trainer
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.teacher_choice import choose
from embedonce.pipeline.training.teacher_weights import parse_weights
from tests.commands.test_cli import error_of
from tests.support.fake_teacher import fake_identity
from tests.support.tiny_cache import DIM, make_tiny_cache

OTHER_DIM = 8
SECOND = fake_identity(name="second", weights_sha256="2" * 64, embed_dim=OTHER_DIM)


def add_columns(root: Path, name: str = "second", identity=SECOND, units=None) -> None:
    """Embeddings of another teacher, near one vector for each color; it sees the colors as the first one does."""
    with closing(open_writer(root, read_identity(root))) as writer:
        writer.teachers.create(name, identity)
        reader = writer.reader()
        mixing = np.random.default_rng(5).standard_normal((DIM, identity.embed_dim))
        for unit in reader.teachers.lacking(name) if units is None else units:
            vectors = reader.all_embeddings(unit).astype(np.float32) @ mixing
            vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
            writer.teachers.commit(name, unit, vectors.astype(np.float16), np.zeros(vectors.shape[:2], np.uint32), {})


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    root = make_tiny_cache(tmp_path_factory.mktemp("teachers") / "cache", 6, num_views=1)
    add_columns(root)
    return root


@pytest.fixture
def cache(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "cache")


def config_of(cache: Path, output: Path, **changes) -> TrainConfig:
    usual = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "frames_per_clip": 2}
    run = {"epochs": 2, "batch_size": 6, "num_workers": 0, "device": "cpu"}
    return TrainConfig(cache, output, **usual | run | changes)


def train(cache: Path, output: Path, **changes) -> checkpoint.Checkpoint:
    (path,) = trainer.train(config_of(cache, output, **changes)).best_paths
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def both(original, tmp_path_factory) -> Path:
    """The folder of a student of both teachers."""
    output = tmp_path_factory.mktemp("both")
    train(original, output, teachers="first:1,second:3")
    return output


# -- the option ------------------------------------------------------------------------------------------------------


def test_weights_are_read_in_order():
    assert parse_weights("first:1,dinov3:0.5") == {"first": 1.0, "dinov3": 0.5}
    assert list(parse_weights("dinov3, first:2")) == ["dinov3", "first"] and parse_weights("a") == {"a": 1.0}


@pytest.mark.parametrize("text", ["", "a:", "a:0", "a:-1", "a:nan", "a:inf", "a:1,a:2", "a/b:1", ":1", "a:1,"])
def test_malformed_weights_are_refused(text, tmp_path):
    with pytest.raises(ValueError, match="--teachers must be different names with weights above 0"):
        config_of(tmp_path, tmp_path, teachers=text)


def test_shares_add_up_to_one_and_the_first_teacher_is_the_main_one_if_it_is_named(original):
    reader = open_reader(original)
    assert choose(None, reader).names == ("first",)
    chosen = choose("second:3,first:1", reader)
    assert chosen.names == ("first", "second") and chosen.shares == {"second": 0.75}
    assert "first 25%, second 75%" in str(chosen)
    assert choose("second", reader).names == ("second",) and choose("second", reader).shares == {}
    with pytest.raises(TeacherError, match=r"no teacher 'dino' \(it has: first, second\)"):
        choose("first,dino", reader)


def test_the_option_needs_the_feature_term(tmp_path):
    with pytest.raises(ValueError, match="--teachers weights the feature term, which --alpha 0 turns off"):
        config_of(tmp_path, tmp_path, teachers="first,second", alpha=0.0)


# -- data, loss and student ------------------------------------------------------------------------------------------


def test_items_have_the_embeddings_of_each_teacher_for_the_same_rows_and_view(original):
    reader = open_reader(original)
    labels, sampling = reader.label_set(), ClipSampling(2, 128, random=True, seed=3)
    clips = [clip for clip in labels.clips if clip.split == "train"]
    data = ClipDataset(reader, labels, clips, sampling, teachers=("first", "second"))
    alone, usual = (ClipDataset(reader, labels, clips, sampling, teachers=(name,)) for name in ("second", "first"))
    for index in range(4):
        item = data[index]
        torch.testing.assert_close(item["embeddings of second"], alone[index]["embeddings"], rtol=0, atol=0)
        torch.testing.assert_close(item["embeddings"], usual[index]["embeddings"], rtol=0, atol=0)
        assert item["embeddings of second"].shape == (2, OTHER_DIM) and "embeddings of second" not in usual[index]
    batch = ClipBatch.from_items(torch.utils.data.default_collate([data[0], data[1]]))
    assert batch.added.keys() == {"second"} == batch.targets.added.keys()
    assert batch.to(torch.device("meta")).added["second"].device.type == "meta"
    assert ClipBatch.from_items(torch.utils.data.default_collate([usual[0]])).targets.added is None


def test_computed_logits_are_those_of_the_first_teacher_whoever_is_learned_from(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 3, stores_logits=False)
    add_columns(root)
    reader = open_reader(root)
    labels, sampling = reader.label_set(), ClipSampling(2, 128, random=False, seed=0)
    usual, other = (
        ClipDataset(reader, labels, list(labels.clips), sampling, teachers=(name,)) for name in ("first", "second")
    )
    torch.testing.assert_close(other[0]["logits"], usual[0]["logits"], rtol=0, atol=0)
    assert other[0]["embeddings"].shape == (2, OTHER_DIM)


def _case(shares: dict[str, float]):
    torch.manual_seed(0)
    frames, clip, other_frames, other_clip = (
        functional.normalize(torch.randn(shape), dim=-1) for shape in ((2, 3, 4), (2, 4), (2, 3, 5), (2, 5))
    )
    output = StudentOutput(frames, clip, torch.zeros(2, 3, 0), torch.zeros(2, 0))
    several = MultiTeacherOutput.of(output, {"second": AddedOutput(other_frames, other_clip)})
    mask = torch.tensor([[True, True, True], [True, False, False]])
    teacher, other = (functional.normalize(torch.randn(shape), dim=-1) for shape in ((2, 3, 4), (2, 3, 5)))
    targets = Targets(teacher, None, torch.tensor([0, 1]), mask, added={"second": other})
    settings = dataclasses.replace(loss_settings(), teacher_shares=shares)
    swapped = StudentOutput(other_frames, other_clip, *output[2:])
    alone = Targets(other, None, targets.labels, mask)
    return (several, targets, settings), (output, targets, loss_settings()), (swapped, alone, loss_settings())


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_the_feature_term_is_the_weighted_mean_of_those_of_the_teachers(share):
    several, first, second = _case({"second": share})
    for found, one, other in zip(feature_loss(*several), feature_loss(*first), feature_loss(*second), strict=True):
        torch.testing.assert_close(found, (1 - share) * one + share * other)


def test_of_a_teacher_of_windows_only_clips_are_learned():
    (output, targets, settings), first, second = _case({"second": 0.25})
    settings = dataclasses.replace(settings, window_teachers=frozenset(["second"]))
    frames, clips = feature_loss(output, targets, settings)
    torch.testing.assert_close(frames, feature_loss(*first)[0])
    torch.testing.assert_close(clips, 0.75 * feature_loss(*first)[1] + 0.25 * feature_loss(*second)[1])


def test_clips_are_not_classified_in_the_space_of_a_teacher_of_windows(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 3)
    add_columns(root)
    windows = dataclasses.replace(SECOND, name="video", weights_sha256="3" * 64, window=4, window_stride=2)
    add_columns(root, "video", windows)
    reader = open_reader(root)
    chosen = choose("video:1,second:3", reader)
    assert (chosen.main, dict(chosen.shares), chosen.of_windows) == ("second", {"video": 0.25}, {"video"})
    assert choose("video,first", reader).main == "first"
    with pytest.raises(InputError, match=r"'video' embeds windows of 4 frames.*as in --teachers first:1,video:2"):
        choose("video:2", reader)
    metrics = train(root, tmp_path / "out", teachers="first:1,video:1")
    assert "selection_cosine_video" in (tmp_path / "out" / "train_log.csv").read_text(), metrics


def test_the_text_term_needs_the_space_of_the_first_teacher(cache, tmp_path):
    with pytest.raises(InputError, match=r"in the space of the cache's teacher.*add first to --teachers"):
        config = config_of(cache, tmp_path, teachers="second", text_weight=0.5)
        reader = open_reader(cache)
        datasets(config, reader, reader.label_set(), ("second",))


def test_without_shares_the_feature_term_is_the_first_teachers():
    several, first, _ = _case({})
    assert [x.item() for x in feature_loss(*several)] == [x.item() for x in feature_loss(*first)]


def test_a_student_begins_with_the_same_weights_with_and_without_added_teachers():
    students = []
    for widths in ({}, {"keys": 5, "b": 7}):  # a teacher may have the name of a method
        torch.manual_seed(3)
        students.append(build_student(student_config("tiny", DIM, 3, 128), pretrained=False))
        students[-1].add_teachers(widths)
    plain, several = (student.state_dict() for student in students)
    assert plain.keys() < several.keys() and all(torch.equal(plain[name], several[name]) for name in plain)
    assert students[1].added_teachers == ("keys", "b") and students[0].added_teachers == ()
    frames, mask = torch.randint(0, 256, (2, 3, 3, 128, 128), dtype=torch.uint8), torch.ones(2, 3, dtype=torch.bool)
    mask[1, 1:] = False
    with torch.inference_mode():
        ours, theirs = (student.eval()(frames, torch.zeros(2, 3), mask) for student in students)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)) and ours.added == {}
    added = theirs.added["keys"]
    assert added.frame_embeddings.shape == (2, 3, 5) and added.clip_embedding.shape == (2, 5)
    torch.testing.assert_close(added.frame_embeddings[1, 0], added.clip_embedding[1])  # its only frame
    torch.testing.assert_close(added.clip_embedding.norm(dim=1), torch.ones(2))


# -- runs ------------------------------------------------------------------------------------------------------------


def test_without_the_option_nothing_changes(cache, original, tmp_path):
    """The same weights and content as from a cache without added teachers, and as with the first teacher alone."""
    plain = tmp_path / "plain"
    shutil.copytree(original, plain)
    shutil.rmtree(plain / "teachers")
    usual = train(plain, tmp_path / "a")
    for name, options in (("b", {}), ("c", {"teachers": "first:2"})):
        found = train(cache, tmp_path / name, **options)
        assert all(torch.equal(found.model[key], usual.model[key]) for key in usual.model)
        assert found.as_dict().keys() == usual.as_dict().keys() and found.added_teachers is None
        assert found.selection.keys() == usual.selection.keys()


@pytest.mark.integration
def test_both_teachers_are_learned(cache, tmp_path):
    """The student is nearer to each of its teachers than after one epoch, and its selection log shows it."""
    options = {"beta": 0.0, "gamma": 0.0, "lr": 3e-3, "seed": 1, "teachers": "first,second", "epochs": 12}
    trainer.train(config_of(cache, tmp_path / "two", **options))
    log = json.loads((tmp_path / "two" / "train_log.json").read_text())
    for name in ("selection_cosine", "selection_cosine_second"):
        assert log[-1][name] > log[0][name] + 0.05, name
    assert log[-1]["feature"] < log[0]["feature"]


def test_the_checkpoint_records_the_teachers_and_their_shares(both):
    found = checkpoint.load(both / "best_student.pt")
    assert found.teacher.embed_dim == DIM
    (added,) = found.added_teachers
    assert (added.label, added.share, added.embed_dim) == ("second", 0.75, OTHER_DIM)
    assert (added.name, added.weights_sha256) == ("second", "2" * 64)
    student, _ = checkpoint.load_student(both / "best_student.pt")
    assert student.added_teachers == ("second",) and "selection_cosine_second" in found.selection


def test_a_resumed_run_ends_like_one_without_a_stop_and_other_weights_are_another_run(cache, tmp_path, monkeypatch):
    options = {"teachers": "first:1,second:1", "epochs": 2}
    whole = train(cache, tmp_path / "whole", **options)

    def stop(run):
        if run.epoch == 1:
            raise KeyboardInterrupt
        return real(run)

    real = trainer.run_epoch
    monkeypatch.setattr(trainer, "run_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(cache, tmp_path / "cut", **options)
    monkeypatch.undo()
    resumed = train(cache, tmp_path / "cut", **options)
    assert all(torch.equal(resumed.model[name], whole.model[name]) for name in whole.model)
    with pytest.raises(
        InputError, match=r"holds another training run .*teachers: first:1,second:1 -> first:1,second:2"
    ):
        train(cache, tmp_path / "cut", **options | {"teachers": "first:1,second:2"})


def test_missing_embeddings_are_refused_in_one_sentence_that_names_the_command(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 6)
    add_columns(root, units=["000000", "000001"])
    words = ("--cache-dir", root, "--output-dir", tmp_path / "o", "--device", "cpu", "--teachers", "first,second")
    output = error_of("train-student", *words, code=2)
    assert "teacher 'second' has not embedded 2 of the shards" in output
    assert "run add-teacher --name second again with its original options" in output
    assert "no teacher 'dino' (it has: first, second)" in error_of("train-student", *words[:-1], "first,dino", code=4)
    assert not (tmp_path / "o" / "best_student.pt").exists()


# -- evaluation and export -------------------------------------------------------------------------------------------


def evaluate(cache: Path, checkpoint_path: Path, output: Path):
    return evaluating.evaluate(EvaluateConfig(cache, checkpoint_path, output_dir=output, num_workers=0, device="cpu"))


def test_evaluation_compares_with_the_first_teacher_and_logs_the_others(original, both, tmp_path, caplog):
    with caplog.at_level("INFO"):
        results = evaluate(original, both / "best_student.pt", tmp_path / "e")
    assert "mean cosine with each teacher: first " in caplog.text and ", second " in caplog.text
    assert (results.teacher.name == "fake" and results.note is None) or "added teacher" not in (results.note or "")


def test_evaluation_works_with_a_cache_that_lacks_the_other_teacher(original, both, tmp_path, caplog):
    plain = shutil.copytree(original, tmp_path / "plain")
    shutil.rmtree(plain / "teachers")
    with caplog.at_level("INFO"):
        found = evaluate(plain, both / "best_student.pt", tmp_path / "e")
    assert "mean cosine with each teacher" not in caplog.text
    usual = evaluate(original, both / "best_student.pt", tmp_path / "f")
    assert found.comparison == usual.comparison


def test_of_several_teachers_with_the_same_weights_the_students_own_is_meant(cache, tmp_path):
    """A model of windows, before it by name, and one that sees images in another way."""
    add_columns(cache, "a-video", dataclasses.replace(SECOND, window=3))
    add_columns(cache, "bilinear", dataclasses.replace(SECOND, interpolation="bilinear"))
    found, reader = train(cache, tmp_path / "o", teachers="second", epochs=1), open_reader(cache)
    assert found.main_teacher == "second" and main_teacher(found, reader) == ("second", SECOND)
    shutil.move(cache / "teachers" / "second", tmp_path / "second")
    reader = open_reader(cache)
    assert main_teacher(found, reader)[0] == "bilinear"  # for want of the name; never one of windows
    first = train(cache, tmp_path / "f", epochs=1)
    assert first.main_teacher is None and main_teacher(first, reader)[0] == "first"


def test_a_student_of_an_added_teacher_alone_is_compared_with_that_one(original, tmp_path, caplog):
    found = train(original, tmp_path / "o", teachers="second")
    assert found.student.embed_dim == OTHER_DIM and found.teacher.weights_sha256 == "2" * 64
    reader = open_reader(original)
    assert main_teacher(found, reader) == ("second", SECOND) and embedded_teachers(found, reader) == ("second",)
    with caplog.at_level("WARNING"):
        results = evaluate(original, tmp_path / "o" / "best_student.pt", tmp_path / "e")
    assert "trained in the space of the added teacher second: cosines are with its embeddings" in results.note
    assert results.note.partition("; ")[2] in caplog.text and results.verb_noun is None
    plain = shutil.copytree(original, tmp_path / "plain")
    shutil.rmtree(plain / "teachers")
    with pytest.raises(CheckpointError, match="8-d embeddings, but the cache's teacher has 16-d ones"):
        evaluate(plain, tmp_path / "o" / "best_student.pt", tmp_path / "g")


@pytest.mark.integration
def test_an_export_has_the_projection_of_the_first_teacher_only(original, both, tmp_path):
    config = ExportConfig(original, both / "best_student.pt", tmp_path / "x", formats="fp16", num_samples=2)
    exporting.export(config)
    weights = dict(checkpoint.load(both / "best_student.pt").model)
    assert any("added_projections" in name for name in weights)
    files = [path.read_bytes() for path in (tmp_path / "x").iterdir()]
    assert len(files) > 3 and not any(b"added_projections" in data for data in files)


# -- checkpoints from elsewhere --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"label": "a.b"},
        {"label": ""},
        {"embed_dim": 0},
        {"embed_dim": 10**9},
        {"share": 2.0},
        {"label": "third"},
        {"weights_sha256": 5},
    ],
)
def test_a_checkpoint_with_impossible_teachers_is_refused(both, tmp_path, change):
    content = torch.load(both / "best_student.pt", weights_only=True)
    content["added_teachers"] = [content["added_teachers"][0] | change]
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError):
        checkpoint.load_student(tmp_path / "bad.pt")


def test_a_checkpoint_with_a_teacher_twice_is_refused(both, tmp_path):
    content = torch.load(both / "best_student.pt", weights_only=True)
    content["added_teachers"] *= 2
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="invalid names of added teachers"):
        checkpoint.load(tmp_path / "bad.pt")
