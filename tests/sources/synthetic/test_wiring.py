"""The synthetic data and the demo teacher's training: what their seeds draw."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from embedonce.pipeline.demo_teacher import batches as teacher_batches
from embedonce.pipeline.demo_teacher import train
from embedonce.pipeline.demo_teacher.batches import CaptionedCrops
from embedonce.pipeline.sources.synthetic.plan import Parameters, plan_videos
from tests.support.fake_teacher import fake_identity


def test_validation_videos_are_drawn_by_the_seed():
    held_out = []
    for seed in range(4):
        videos = plan_videos(Parameters(240, 4, seed))
        held_out.append([video.index for video in videos if video.split == "val"])
    count = len(held_out[0])
    assert all(len(found) == count for found in held_out)
    assert list(range(count)) not in held_out and len(set(map(tuple, held_out))) == 4


@pytest.fixture
def drawn(monkeypatch):
    """(seed, epoch) -> for each of 60 frames, which of its two views and which of five captions was drawn."""
    monkeypatch.setattr(teacher_batches, "make_views", lambda *arguments: [0, 1])
    monkeypatch.setattr(teacher_batches.canonical_frame, "load_view", lambda jpeg, view, size: np.array(view))
    monkeypatch.setattr(
        teacher_batches, "matches", lambda captions, frames: np.array([[False, True, True, False, True]])
    )
    frames = SimpleNamespace(jpegs=[b""] * 60, attributes=np.zeros((60, 1)))
    captions = SimpleNamespace(attributes=None)

    def draw(seed: int, epoch: int) -> tuple[list[int], list[int]]:
        data = CaptionedCrops(frames, captions, fake_identity(), seed)
        data.epoch = epoch
        items = [data[i] for i in range(60)]
        return [int(item["crop"]) for item in items], [item["caption"] for item in items]

    return draw


def test_half_of_the_crops_are_random_ones_and_captions_are_true(drawn):
    views, captions = drawn(0, 0)
    assert 15 < sum(views) < 45 and set(captions) == {1, 2, 4}
    assert drawn(0, 0) == (views, captions)
    for other in (drawn(0, 1), drawn(1, 0)):
        assert other[0] != views and other[1] != captions


def test_the_demo_teacher_sees_its_frames_in_the_order_of_its_seed(monkeypatch):
    orders, clip = [], nn.Module()
    clip.visual = nn.Linear(2, 2)
    teacher = SimpleNamespace(describe=lambda: dataclasses.asdict(fake_identity()))

    def batches(data, planned, workers):
        orders.append([index for batch in planned for index in batch])
        raise InterruptedError

    monkeypatch.setattr(train, "build", lambda *arguments: (clip, lambda texts: torch.zeros(1), ""))
    monkeypatch.setattr(train, "ClipTeacher", lambda *arguments: teacher)
    monkeypatch.setattr(train, "batches", batches)
    for seed in (0, 0, 1):
        with pytest.raises(InterruptedError):
            train.train(range(100), 1, seed)
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2]) == list(range(100))
