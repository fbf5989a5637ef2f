"""The smallest area of random views: their boxes, and the identity of a cache with it."""

import json

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.inspect import summary
from embedonce.cache.merging.merge import merge
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.checkpoints import training_state
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.training.recipe import datasets, run_fields
from embedonce.pipeline.training.settings import TrainConfig
from tests.extraction.test_runner import make_source, run
from tests.support.fake_teacher import FakeTeacher
from tests.support.format_reader import FormatReader
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

TEACHER = FakeTeacher().identity
SMALL = {"views": 3, "view_area": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        write_video(root / f"{name}.mp4", 30)
    return root


def areas(size: tuple[int, int], smallest: float) -> np.ndarray:
    """Areas of 400 random views, as shares of the frame."""
    views = make_views("v", size, 400, 0, TEACHER, smallest)[1:]
    top, left, height, width = views[:, :4].T
    assert (np.minimum(top, left) >= 0).all() and (np.minimum(height, width) >= 1).all()
    assert (top + height <= size[0]).all() and (left + width <= size[1]).all()
    return height * width / (size[0] * size[1])


@pytest.mark.parametrize("smallest", [0.001, 0.08, 0.2, 0.4])
def test_random_views_have_at_least_this_share_of_the_frame(smallest):
    found = areas((256, 384), smallest)
    assert smallest - 0.006 <= found.min() < smallest + 0.05 and found.max() > 0.8


def test_the_whole_frame_alone_is_the_largest_box_of_each_shape():
    assert areas((256, 256), 1.0).min() > 0.74  # of shapes from 3:4 to 4:3


def test_elongated_frames_follow_the_share():
    """The largest box of a shape has 7.5 to 13.4 % of a frame of 10 to 1."""
    share = {smallest: areas((256, 2560), smallest) for smallest in (0.01, 0.35, 0.9)}
    assert 0.0095 < share[0.01].min() < 0.02 and share[0.35].min() == pytest.approx(0.35 * 0.075, abs=0.006)
    assert share[0.9].min() > 0.9 * 0.075 - 0.003 and all(found.max() < 0.135 for found in share.values())


def test_the_usual_share_draws_the_views_that_caches_have():
    """Those of programs without the option, so that their caches can grow."""
    assert make_views("a", (256, 640), 3, 0, TEACHER).tolist() == [
        [0, 192, 256, 256, 0, 3], [0, 58, 256, 255, 0, 3], [9, 309, 242, 187, 0, 3], [2, 153, 254, 232, 1, 3],
    ]  # fmt: skip
    assert make_views("a", (256, 2560), 2, 0, TEACHER, 0.35)[1:].tolist() == [
        [68, 1809, 165, 133, 0, 3], [12, 1536, 236, 295, 0, 3],
    ]  # fmt: skip


@pytest.mark.integration
def test_the_share_is_part_of_the_identity_and_the_usual_one_is_absent(folder, tmp_path):
    usual, small = tmp_path / "usual", tmp_path / "small"
    run(make_source(folder, ["a"]), usual, views=3)
    run(make_source(folder, ["a"]), small, **SMALL)
    identities = [json.loads((root / "cache.json").read_bytes()) for root in (usual, small)]
    assert "view_area" not in identities[0] and identities[0]["format_version"] == 1
    assert identities[1]["view_area"] == 0.1 and identities[1]["format_version"] == 2
    assert [open_reader(root).identity.view_area for root in (usual, small)] == [0.35, 0.1]
    expected = make_views("a", tuple(open_reader(small).plan()[0].videos[0].canonical_size), 3, 0, TEACHER, 0.1)
    np.testing.assert_array_equal(open_reader(small).timeline("a").views, expected)
    assert not verify(small).problems and FormatReader(small).identity["view_area"] == 0.1
    assert "3 stored views besides the evaluation crop (of 10 to 100 % of the frame)," in "\n".join(summary(small))
    assert "3 stored views besides the evaluation crop, decoder" in "\n".join(summary(usual))


@pytest.mark.integration
def test_a_cache_goes_on_with_its_own_share_alone(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "usual", views=3)
    run(make_source(folder, ["a"]), tmp_path / "small", **SMALL)
    for name, settings, words in (
        ("usual", SMALL, "view_area: 0.35 -> 0.1"),
        ("small", {"views": 3}, "view_area: 0.1 -> 0.35"),
    ):
        with pytest.raises(IdentityMismatchError, match=rf"\(in the cache -> requested\): {words}\. Nothing"):
            run(make_source(folder, ["a", "b"]), tmp_path / name, **settings)
    run(make_source(folder, ["a", "b"]), tmp_path / "small", **SMALL)
    run(make_source(folder, ["a", "b"]), tmp_path / "once", **SMALL)
    boxes = [open_reader(tmp_path / name).timeline("b").views for name in ("small", "once")]
    np.testing.assert_array_equal(*boxes)


@pytest.mark.integration
def test_conversion_keeps_the_share_and_merging_refuses_another(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "a", **SMALL)
    run(make_source(folder, ["b"]), tmp_path / "b", views=3)
    convert(tmp_path / "a", tmp_path / "tars", "webdataset")
    assert open_reader(tmp_path / "tars").identity.view_area == 0.1
    with pytest.raises(IdentityMismatchError, match=r"view_area: 0\.1 -> 0\.35"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")


def test_values_that_no_view_can_have_are_refused():
    for value, words in ((0.0, "greater than 0"), (1.5, "at most 1"), (0.0001, "at least 0.001")):
        with pytest.raises(ValueError, match=f"--view-area must be {words}"):
            ExtractConfig(use_synthetic=True, views=2, view_area=value)
    with pytest.raises(ValueError, match="--view-area requires random crops to be stored: --views 1 or more"):
        ExtractConfig(use_synthetic=True, views=0, view_area=0.2)


def test_a_training_is_not_continued_on_a_cache_with_another_share(tmp_path):
    """The field is absent from one of the two runs, whichever it is."""
    reader = open_reader(make_tiny_cache(tmp_path / "cache", 6, num_views=2))
    config = TrainConfig(tmp_path / "cache", tmp_path, frames_per_clip=1, student_resolution=128)
    labels = reader.label_set()
    data = datasets(config, reader, labels)
    usual = run_fields(config, reader.identity, labels, data, 1)
    small = usual | {"cache's view_area": 0.1}
    for old, new, words in ((usual, small, "None -> 0.1"), (small, usual, "0.1 -> None")):
        training_state.save_state(tmp_path, training_state.TrainingState(old, "cpu", position=1))
        with pytest.raises(InputError, match=f"cache's view_area: {words}"):
            training_state.load_state(tmp_path, new, [])
