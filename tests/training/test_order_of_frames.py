"""Students that tell clips by the order of their frames, and those that cannot; and options about time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.schema import FrameBatch, Segment
from embedonce.cache.store import open_reader, open_writer
from embedonce.models.names import ATTENTION, MEAN
from embedonce.models.student import VideoStudent
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions, predict
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.frames.canonical_frame import encode_canonical
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.sources.synthetic.scene.render import make_scene, render
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.recipe import datasets, loss_settings_for
from embedonce.pipeline.training.student_run import StudentRun
from tests.conftest import make_cache_identity
from tests.support import small_students
from tests.support.fake_teacher import SIZE, FakeTeacher
from tests.support.small_students import best_of, settings
from tests.support.tiny_cache import make_tiny_cache

DIM, FRAMES, CROP = 64, 4, 240
SCENES = {"train": 96, "val": 32}
CLASSES = ("open box", "close box")
BATCH = 8


class CoarseBackbone(nn.Sequential):
    """Two convolutions on 32 by 32 pixels, which is enough to see a lid."""

    num_features = 32 * 16

    def __init__(self):
        first = nn.Conv2d(3, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.SiLU()
        second = nn.Conv2d(16, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.SiLU()
        super().__init__(*first, *second, nn.AdaptiveAvgPool2d(4), nn.Flatten())


def opening(number: int) -> np.ndarray:
    """(T, 240, 240, 3) uint8: a box is opened; each number is another box, place, light and person."""
    scene = make_scene(np.random.default_rng(number), [0])
    start, end = scene.stations[0].start_sec, scene.stations[0].end_sec
    frames = (render(scene, start + (end - start) * (i + 0.5) / FRAMES) for i in range(FRAMES))
    return np.stack([frame[:, 40 : 40 + CROP] for frame in frames])


def batch_of(uid: str, frames: np.ndarray, teacher: FakeTeacher) -> FrameBatch:
    """The rows of a video with these frames, one every half second."""
    index, views = np.arange(FRAMES, dtype=np.int64), np.array([[0, 0, CROP, CROP, 0, 3]], np.int32)
    segment = Segment(uid, (1, 1000), 0, views, index, 500 * index, index, np.zeros(FRAMES, np.uint8), index)
    small = np.ascontiguousarray(frames[:, :: CROP // SIZE, :: CROP // SIZE][:, :SIZE, :SIZE])
    embeddings = teacher.embed(small)[:, None].astype(np.float16)
    jpegs = tuple(encode_canonical(frame, 0, 90) for frame in frames)
    return FrameBatch((segment,), jpegs, embeddings, np.zeros((FRAMES, 1), np.uint32))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory) -> Path:
    """A cache of boxes that are opened, and of the same frames in reverse order. Logits are of a head on one frame."""
    root, teacher = tmp_path_factory.mktemp("boxes") / "cache", FakeTeacher(embed_dim=DIM)
    head = np.random.default_rng(0).standard_normal((DIM, 2)).astype(np.float32)
    writer, clips, batches = open_writer(root, make_cache_identity(num_views=0, embed_dim=DIM)), [], []
    for number, split in enumerate(split for split, count in SCENES.items() for _ in range(count)):
        frames = opening(number)
        for label, shown in enumerate((frames, frames[::-1])):
            uid = f"{number}-{label}"
            batches.append(batch_of(uid, shown, teacher))
            clips.append(ClipLabel(uid, uid, 0.0, FRAMES / 2, label, split))
            writer.commit_frames(f"{len(batches) - 1:06d}", batches[-1], {})
    writer.create_label_set(LabelSet("boxes", "fitted", CLASSES, (), None, {}, stores_logits=True), None)
    writer.publish_clips("boxes", 0, clips)
    for number, batch in enumerate(batches):
        writer.commit_logits("boxes", f"{number:06d}", batch.keys, batch.embeddings.astype(np.float32) @ head, {})
    writer.close()
    return root


def clips_of(root: Path, split: str) -> ClipDataset:
    reader = open_reader(root)
    clips = [clip for clip in reader.label_set().clips if clip.split == split]
    return ClipDataset(reader, reader.label_set(), clips, ClipSampling(FRAMES, 32, random=False, seed=0))


def trained(boxes: Path, folder: Path, pooling: str, epochs: int, seed: int = 0) -> VideoStudent:
    """A student that is trained with labels, at a high weight; its items are read once."""
    torch.manual_seed(seed)
    config = settings(boxes, folder, lr=3e-3, gamma=1.0, beta=0.0)
    student = VideoStudent(student_config("tiny", DIM, 2, 128, "linear", pooling), CoarseBackbone())
    items, generator = list(clips_of(boxes, "train")), np.random.default_rng(seed)
    steps = epochs * len(items) // BATCH
    run = StudentRun(student, config, loss_settings_for(config, open_reader(boxes).label_set()), World(), steps)
    run.train_mode()
    for _ in range(epochs):
        for indexes in generator.permutation(len(items)).reshape(-1, BATCH):
            run.step(ClipBatch.from_items(default_collate([items[index] for index in indexes])))
    return student.eval()


def evaluated(boxes: Path, student: VideoStudent) -> Predictions:
    return predict(student, clips_of(boxes, "val"), 32, 0, torch.device("cpu"))


@pytest.mark.integration
def test_a_student_learns_the_order_of_frames_from_labels_and_its_teacher_has_none(boxes, tmp_path):
    """Among 64 held-out clips, 45 right ones would be far above chance already."""
    found = evaluated(boxes, trained(boxes, tmp_path, ATTENTION, epochs=30))
    assert accuracy.top_k_accuracy(found.teacher_logits, found.labels, 1) == 0.5
    assert found.top1 >= 0.75


@pytest.mark.integration
def test_a_student_without_attention_cannot_tell_the_order_of_frames(boxes, tmp_path):
    """Both clips of a pair have the same mean: one of them is right, but where rounding decides."""
    found = evaluated(boxes, trained(boxes, tmp_path, MEAN, epochs=6))
    np.testing.assert_allclose(found.logits[::2], found.logits[1::2], rtol=0, atol=1e-4)
    assert 0.4 <= found.top1 <= 0.6


# -- options -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache")


@pytest.mark.parametrize(("pooling", "rank"), [(ATTENTION, 16), (MEAN, 0)])
def test_pooling_is_that_of_the_option(tiny, tmp_path, monkeypatch, pooling, rank):
    small_students.use(monkeypatch)
    training.train(settings(tiny, tmp_path, pooling=pooling, epochs=1))
    stored = best_of(tmp_path)
    assert stored["student"]["attention_rank"] == rank
    assert any(name.startswith("attention.") for name in stored["model"]) == bool(rank)
    student, _ = checkpoint.load_student(tmp_path / "best_student.pt")
    assert student.config.attention_rank == rank


def test_training_clips_are_moved_by_the_option_and_selection_clips_are_not(tiny, tmp_path):
    reader = open_reader(tiny)
    sets = [datasets(settings(tiny, tmp_path, time_shift=s), reader, reader.label_set()) for s in (0.0, 0.4)]
    train, selection = zip(*sets, strict=True)
    items = [[item["embeddings"] for one.epoch in range(4) for item in one] for one in train]
    assert train[1].sampling.time_shift == 0.4 and not all(map(torch.equal, *items))
    assert all(map(torch.equal, *([item["embeddings"] for item in one] for one in selection)))
    plain, moved = (list(one.described_clips()) for one in train)
    assert plain != moved
