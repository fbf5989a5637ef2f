"""Mistakes that would silently corrupt a distillation: each is made here, and the check against it must fail."""

from dataclasses import replace

import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models import heads
from embedonce.models.losses import registry, response
from embedonce.models.losses.feature import FEATURE
from embedonce.models.losses.term import LossTerm
from embedonce.pipeline.clips import dataset as datasets
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling, choose_view
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames import canonical_frame, views
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.sources.source import Clip, Source, Video
from tests.models import test_models
from tests.models.test_models import case
from tests.support.fake_teacher import SIZE, FakeTeacher
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

assert case  # a fixture

VIEWS = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> ClipDataset:
    """Clips of a real extraction with stored views, at the teacher's own resolution."""
    root = tmp_path_factory.mktemp("mutants")
    write_video(root / "a.mp4", 90, size=(180, 320))
    videos = (Video("a", root / "a.mp4", "a.mp4"),)
    windows = tuple(Clip(f"a:{i}", "a", float(i), i + 1.0, i, "train") for i in range(3))
    source = Source(root, "folder", videos, windows, ("x", "y", "z"))
    config = ExtractConfig(root, False, root / "cache", views=VIEWS, fps=3.0, decode_workers=1)
    writer, _, _ = extract(config, source, FakeTeacher)
    write_labels(writer, request_label_set(source, "", "none"), seed=0)
    writer.close()
    reader = open_reader(root / "cache")
    labels = reader.label_set()
    return ClipDataset(reader, labels, list(labels.clips), ClipSampling(2, SIZE, random=True, seed=0))


def check_pixels(clips: ClipDataset) -> set[int]:
    """The student's crops are, byte for byte, those that the teacher saw in that view; returns the views met."""
    reader, met = clips.reader, set()
    for clips.epoch in range(VIEWS):
        for index, clip in enumerate(clips.clips):
            item, timeline = clips[index], reader.timeline(clip.video_uid)
            view = choose_view(1 + VIEWS, clips.sampling, clips.epoch, index)
            met.add(view)
            times = item["t_rel_sec"].double().numpy() + clip.start_sec
            for frame, sec in zip(item["frames"], times, strict=True):
                i = int(abs(timeline.t_sec - sec).argmin())
                shard, row = reader.frames(timeline.unit[i]), int(timeline.row[i])
                seen = frame.permute(1, 2, 0).contiguous().numpy()
                assert canonical_frame.crc32(seen[None])[0] == shard.columns()["crop_crc32"][row, view]
                embedding = FakeTeacher().embed(seen[None])[0]
                assert embedding @ shard.embeddings(row, row + 1, view)[0] > 0.999
    return met


@pytest.mark.integration
def test_the_student_sees_what_the_teacher_saw_in_every_view(clips):
    assert check_pixels(clips) == set(range(1, 1 + VIEWS))
    flags = clips.reader.timeline("a").views[1:, 4]
    assert 0 < flags.sum() < VIEWS  # mirrored ones and others


def test_stored_crop_boxes_are_read_not_drawn_again(clips, monkeypatch):
    def never(*arguments):
        raise AssertionError("a box was drawn again")

    monkeypatch.setattr(views, "make_views", never)
    monkeypatch.setattr(views, "_random_box", never)
    check_pixels(clips)


def not_mirrored(jpeg, view, size, short_side=None):
    view = view.copy()
    view[4] = 0
    return canonical_frame.crop(canonical_frame.decode_jpeg(jpeg), view, size)


def off_by_one(jpeg, view, size, short_side=None):
    view = view.copy()
    view[0] += 1 if view[0] + view[2] < 256 else -1
    return canonical_frame.crop(canonical_frame.decode_jpeg(jpeg), view, size)


@pytest.mark.parametrize("mutant", [not_mirrored, off_by_one])
def test_a_missing_flip_and_a_box_off_by_one_are_detected(clips, monkeypatch, mutant):
    monkeypatch.setattr(datasets.canonical_frame, "load_view", mutant)
    with pytest.raises(AssertionError):
        check_pixels(clips)


def test_a_view_of_another_epoch_is_detected(clips, monkeypatch):
    monkeypatch.setattr(datasets, "choose_view", lambda num, sampling, epoch, index: 1 + (epoch + index) % VIEWS)
    with pytest.raises(AssertionError):
        check_pixels(clips)


def without_square(student, teacher, temperature):
    return _KL(student, teacher, temperature) / temperature**2


_KL = response.kl_divergence


def feature_times(factor: float) -> LossTerm:
    """The feature term times a factor."""
    return replace(FEATURE, function=lambda *arguments: tuple(factor * mean for mean in FEATURE.function(*arguments)))


def replace_feature(monkeypatch, term: LossTerm) -> None:
    monkeypatch.setitem(registry._terms, "feature", term)


LOSSES = {
    "sign of the feature term": lambda patch: replace_feature(patch, feature_times(-1)),
    "sign of the response term": lambda patch: patch.setattr(response, "kl_divergence", lambda *a: -_KL(*a)),
    "T squared is missing": lambda patch: patch.setattr(response, "kl_divergence", without_square),
    "the mask is ignored": lambda patch: patch.setattr(heads, "masked_mean", lambda frames, mask: frames.mean(1)),
    "the mean over dimensions": lambda patch: replace_feature(patch, feature_times(1 / 8)),
}


@pytest.mark.parametrize("mistake", LOSSES.values(), ids=LOSSES.keys())
def test_a_wrong_loss_is_detected(case, monkeypatch, mistake):
    test_models.test_every_term_matches_its_formula(case)
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        test_models.test_every_term_matches_its_formula(case)


def test_a_loss_over_padding_is_detected(case, monkeypatch):
    test_models.test_padding_does_not_change_the_loss(case)

    def unmasked(output, targets, settings):
        return FEATURE.function(output, replace(targets, mask=torch.ones_like(targets.mask)), settings)

    replace_feature(monkeypatch, replace(FEATURE, function=unmasked))
    with pytest.raises(AssertionError):
        test_models.test_padding_does_not_change_the_loss(case)
