"""Data sets of torch made from a cache: their items, and how loader processes and ranks share them."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader

import embedonce
from tests.support.tiny_cache import DIM, make_tiny_cache


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return embedonce.open_cache(make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6, num_views=1))


def test_items_have_embeddings_and_labels(tiny):
    dataset = tiny.torch_dataset("tiny", "train", frames=8)
    item, clip = dataset[0], tiny.clips(split="train")[0]
    own = tiny.embeddings(clip.video, clip.start_sec, clip.end_sec).embeddings
    assert len(dataset) == 12 and "frames" not in item and item["embeddings"].shape == (8, DIM)
    assert item["mask"].tolist() == [True] * 5 + [False] * 3
    assert np.allclose(item["embeddings"][:5], own, atol=1e-3)
    assert tiny.classes()[item["label"]] == clip.label


def test_items_have_images_of_the_chosen_view_if_they_are_asked_for(tiny):
    whole, other = (tiny.torch_dataset(frames=2, resolution=64, view=view)[0] for view in (0, 1))
    assert whole["frames"].shape == (2, 3, 64, 64) and whole["frames"].dtype == torch.uint8
    (_, first), *_ = list(tiny.frames("v0"))[1:]
    assert np.array_equal(whole["frames"][0].permute(1, 2, 0), first)
    assert not torch.equal(whole["frames"], other["frames"])
    assert not torch.equal(whole["embeddings"], other["embeddings"])


def test_random_items_change_with_the_epoch(tiny):
    dataset = tiny.torch_dataset(frames=2, random=True)
    before = [item["t_rel_sec"].tolist() for item in dataset]
    dataset.epoch = 1
    assert [item["t_rel_sec"].tolist() for item in dataset] != before


def indexes(batches) -> list[int]:
    return [int(index) for batch in batches for index in batch["index"]]


@pytest.mark.integration
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_processes_share_the_clips(tiny, context):
    options = {"batch_size": 4, "num_workers": 2, "multiprocessing_context": context}
    stream = tiny.torch_iterable(frames=2, shuffle=True)
    assert sorted(indexes(DataLoader(stream, **options))) == list(range(18)) and len(stream) == 18
    assert indexes(DataLoader(tiny.torch_dataset(frames=2), **options)) == list(range(18))


def rank_indexes(rank: int, root: str, folder: str) -> None:
    """The indexes that one of two ranks loads in two spawned processes, written to a file."""
    place = {"rank": rank, "world_size": 2}
    distributed.init_process_group("gloo", f"file://{folder}/group", **place)
    stream = embedonce.open_cache(root).torch_iterable("tiny", "train", frames=1)
    loader = DataLoader(stream, 2, num_workers=2, multiprocessing_context="spawn")
    np.save(f"{folder}/{rank}.npy", [len(stream), *indexes(loader)])
    distributed.destroy_process_group()


@pytest.mark.slow
def test_ranks_share_the_clips(tiny, tmp_path):
    multiprocessing.spawn(partial(rank_indexes), (str(tiny.path), str(tmp_path)), nprocs=2)
    (first, *of_first), (second, *of_second) = (np.load(tmp_path / f"{rank}.npy").tolist() for rank in (0, 1))
    assert (first, second) == (len(of_first), len(of_second)) == (6, 6)
    assert sorted(of_first + of_second) == list(range(12))


def test_a_stream_reads_shard_by_shard_in_another_order_each_epoch(tiny):
    stream = tiny.torch_iterable(frames=1)
    shards = stream.dataset.shard_of_clip[[int(item["index"]) for item in stream]].tolist()
    assert shards == sorted(shards)
    shuffled = tiny.torch_iterable(frames=1, shuffle=True)
    orders = []
    for epoch in range(2):
        shuffled.epoch = epoch
        orders.append([int(item["index"]) for item in shuffled])
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(18))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "test"}, "label set 'tiny' has no clips of split 'test'"),
        ({"frames": 0}, "frames must be a whole number from 1 to 256, got 0"),
        ({"resolution": "224"}, "resolution must be a whole number from 1 to 5792, got '224'"),
        ({"view": 2}, "view must be 0 to 1, got 2"),
        ({"view": 1, "random": True}, "random=True draws the views: leave out view=1"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"seed": "a"}, "seed must be a whole number, 0 or more, got 'a'"),
        ({"label_set": "x"}, "has no label set 'x' (label_set: tiny)"),
        ({"teacher": "x"}, "has no teacher 'x' (it has: first)"),
    ],
)
def test_wrong_arguments_end_with_one_sentence(tiny, options, message):
    for make in (tiny.torch_dataset, tiny.torch_iterable):
        with pytest.raises((ValueError, LookupError), match=re.escape(message)):
            make(**options)
