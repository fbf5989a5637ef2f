"""Settings that are not those of the existing cache: the message ends with the options that are."""

from dataclasses import replace

import pytest

from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.store import claim
from embedonce.pipeline.extraction.identity import OPTIONS, check_settings, check_teacher_name, identity_with
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.support.fake_teacher import FakeTeacher

TEACHER = FakeTeacher().identity


def cache_of(root, **settings):
    """The settings of a new cache at root, with these."""
    config = ExtractConfig(root, False, root / "c", **settings)
    claim(config.cache_dir, identity_with(config, TEACHER))
    return config


def complaint(config: ExtractConfig) -> str:
    with pytest.raises(IdentityMismatchError) as error:
        check_settings(config)
    return str(error.value)


@pytest.mark.parametrize(
    ("stored", "requested", "listed", "options"),
    [
        ({"views": 0}, {}, "num_views: 0 -> 4", "--views 0"),
        ({}, {"views": 0}, "num_views: 4 -> 0", "--views 4"),
        ({"views": 3, "seed": 5}, {"views": 3}, "view_seed: 5 -> 0", "--seed 5"),
        (
            {"fps": 4.0, "jpeg_quality": 95},
            {},
            "jpeg_quality: 95 -> 90; fps: 4.0 -> 2.0",
            "--jpeg-quality 95 --fps 4.0",
        ),
        ({"sampling": "snap"}, {}, "sampling: snap -> fps", "--sampling snap --snap-tolerance 0.25"),
        ({"sampling": "keyframe"}, {}, "sampling: keyframe -> fps; fps: None -> 2.0", "--sampling keyframe"),
        ({"decoder": "nvdec"}, {}, "decoder: pyav-nvdec-1 -> pyav-software-2", "--decoder nvdec"),
        ({"backend": "hdf5"}, {"backend": "webdataset"}, "backend: hdf5 -> webdataset", "--backend hdf5"),
        ({"view_area": 0.1}, {}, "view_area: 0.1 -> 0.35", "--view-area 0.1"),
        ({"views": 0}, {"seed": 7, "view_area": 0.1}, "view_seed: 0 -> 7; view_area: 0.35 -> 0.1", "--views 0"),
    ],
)
def test_the_message_ends_with_the_options_of_the_cache(tmp_path, stored, requested, listed, options):
    config = cache_of(tmp_path, **stored)
    check_settings(config)
    told = complaint(ExtractConfig(tmp_path, False, config.cache_dir, **requested))
    assert listed in told and told.endswith(f"or the options that it was made with: {options}")


def test_these_options_continue_the_cache(tmp_path):
    config = cache_of(tmp_path, views=0, fps=4.0)
    usual = ExtractConfig(tmp_path, False, config.cache_dir)
    assert complaint(usual).endswith("--views 0 --fps 4.0")
    check_settings(replace(usual, views=0, fps=4.0))


@pytest.mark.parametrize("changes", [{}, {"views": 0}])
def test_options_that_would_not_be_enough_are_not_listed(tmp_path, changes):
    config = replace(cache_of(tmp_path), **changes)
    with pytest.raises(IdentityMismatchError, match=r"or the options that it was made with$"):
        check_teacher_name(config, "another", TEACHER.weights)


@pytest.mark.parametrize("changes", [{}, {"views": 0}])
def test_a_cache_of_a_decoder_that_is_no_more_lists_none(tmp_path, changes):
    config = ExtractConfig(tmp_path, False, tmp_path / "c")
    claim(config.cache_dir, replace(identity_with(config, TEACHER), decoder="pyav-software-1"))
    assert complaint(replace(config, **changes)).endswith("or the options that it was made with")


def test_every_option_is_one_of_extract_teacher():
    flags = {option.flag for option in ExtractConfig.options()}
    assert set(OPTIONS.values()) <= flags
