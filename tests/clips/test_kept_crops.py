"""Decoded crops in memory: each is decoded once by whichever process needs it first, and never a wrong one is read."""

import multiprocessing

import numpy as np
import pytest

from embedonce.pipeline.clips.kept_crops import KeptCrops

SIDE = 4
FRAMES = [("b", np.array([7, 3])), ("a", np.arange(3)), ("b", np.array([3, 5]))]


def pixels(uid: str, position: int, view: int) -> np.ndarray:
    """The crop of a frame: no two are equal."""
    return np.full((SIDE, SIDE, 3), 1 + 50 * (uid == "b") + 10 * view + position, np.uint8)


def read(kept: KeptCrops, uid: str, at: list[int], view: int) -> list[int]:
    """Reads crops, checks them, and returns the positions that were decoded for it."""
    decoded = []

    def decode(position: int) -> np.ndarray:
        decoded.append(position)
        return pixels(uid, position, view)

    found = kept.read(uid, np.array(at), view, decode)
    assert np.array_equal(found, [pixels(uid, position, view) for position in at])
    return decoded


def allocated(is_shared: bool = False, views: range = range(3)) -> KeptCrops:
    kept = KeptCrops(FRAMES, views, SIDE)
    kept.allocate(is_shared)
    return kept


@pytest.mark.parametrize("is_shared", [False, True])
def test_each_crop_of_each_view_is_decoded_once(is_shared):
    kept = allocated(is_shared)
    assert kept.num_bytes == 6 * 3 * (SIDE * SIDE * 3 + 4)  # six frames, three views
    wanted = [(uid, at, view) for uid, at in (("b", [3, 5, 7]), ("a", [0, 1, 2])) for view in range(3)]
    assert [read(kept, *one) for one in wanted] == [at for _, at, _ in wanted]
    assert [read(kept, *one) for one in wanted] == [[]] * 6
    assert read(kept, "b", [7], 1) == []


def test_what_is_read_is_a_copy():
    kept = allocated()
    kept.read("a", np.array([0]), 0, lambda position: pixels("a", 0, 0))[:] = 0
    assert read(kept, "a", [0], 0) == []


def test_a_crop_that_was_not_written_to_the_end_is_decoded_again():
    kept = allocated()
    read(kept, "a", [0, 1, 2], 1)
    kept._crops[kept._first["a"] + 3 + 1, -1] = 0  # of position 1
    assert read(kept, "a", [0, 1, 2], 1) == [1]
    assert read(kept, "a", [0, 1, 2], 1) == []


def test_a_view_that_there_is_no_room_for_is_an_error():
    with pytest.raises(ValueError, match="3 is not in range"):
        read(allocated(), "a", [0], 3)
    assert read(allocated(views=range(2, 3)), "a", [0], 2) == [0]


def read_elsewhere(kept: KeptCrops, pipe) -> None:
    pipe.send(read(kept, "b", [3, 5], 2))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.integration)])
def test_processes_share_what_each_of_them_decodes(method):
    kept, context = allocated(is_shared=True), multiprocessing.get_context(method)
    read(kept, "b", [5], 2)
    ours, theirs = context.Pipe()
    process = context.Process(target=read_elsewhere, args=(kept, theirs))
    process.start()
    assert ours.recv() == [3]
    process.join()
    assert read(kept, "b", [3, 5, 7], 2) == [7]
