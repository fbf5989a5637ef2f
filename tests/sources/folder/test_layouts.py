"""Inference of folder layouts: an unambiguous folder is read, an ambiguous one refused with the options to pass."""

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder.layout_inference import structure_of
from embedonce.pipeline.sources.folder.layouts import (
    CLASSES,
    CLASSES_OF_SPLITS,
    FLAT,
    SPLITS,
    SPLITS_OF_CLASSES,
    exact_split,
    likely_split,
)


def refused(*paths: str, needs_labels: bool = True) -> str:
    with pytest.raises(InputError) as caught:
        structure_of(paths, needs_labels=needs_labels)
    return str(caught.value)


def placed(paths: tuple[str, ...], layout: str | None = None) -> dict[str, tuple[str | None, str | None]]:
    """path -> (class, split)"""
    found = structure_of(paths, layout)
    names = [None if label is None else found.classes[label] for label in found.labels]
    return dict(zip(paths, zip(names, found.splits, strict=True), strict=True))


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "training")),
        *((name, "val") for name in ("val", "valid", "Validation", "dev", "DEV", "eval")),
        *((name, "test") for name in ("test", "Testing", "TEST")),
        ("trains", None),
        ("plane", None),
    ],
)
def test_split_folders_in_any_case(folder, split):
    assert exact_split(folder) == split
    other = "val" if split != "val" else "train"
    paths = (f"{folder}/a/1.mp4", f"{folder}/b/1.mp4", f"{other}/a/2.mp4")
    if split:
        assert placed(paths) == {paths[0]: ("a", split), paths[1]: ("b", split), paths[2]: ("a", other)}
        assert placed((f"{folder}/1.mp4", f"{other}/2.mp4"))[f"{folder}/1.mp4"] == (None, split)
    else:
        assert "named like a split" in refused(*paths)


@pytest.mark.parametrize(
    ("folder", "split"),
    [("train_256", "train"), ("Test Videos", "test"), ("ValSet", "val"), ("trainval", "train"), ("dev-split1", "val"),
     ("CPR_training", None), ("test drive", None), ("train dog", None)],
)  # fmt: skip
def test_split_names_with_numbers_and_filler_words(folder, split):
    assert likely_split(folder) == split


@pytest.mark.parametrize(
    ("paths", "finding", "passed"),
    [
        (("train/1.mp4", "plane/1.mp4"), "train is named like a split, with plane next to it", (CLASSES, FLAT)),
        (("Testing/1.mp4", "a/1.mp4", "b/1.mp4"), "Testing is named like a split", (CLASSES, FLAT)),
        (("train_256/a/1.mp4", "val_256/b/1.mp4"), "train_256, val_256", (SPLITS_OF_CLASSES, CLASSES, FLAT)),
        (("k_train/1.mp4", "k_test/1.mp4"), "k_test, k_train", (SPLITS, CLASSES, FLAT)),
        (("train/a/1.mp4", "val/a/1.mp4", "more/a/1.mp4"), "with more next to them", (CLASSES, FLAT)),
        (("train/a/1.mp4", "1.mp4"), "1 of 2 videos in no folder (1.mp4)", (CLASSES, FLAT)),
        (("a/1.mp4", "b/1.mp4", "README.mp4"), "1 of 3 are not: README.mp4", (CLASSES, FLAT)),
        (("train/a/1.mp4", "train/b/1.mp4", "train/x.mp4"), "1 of 3 are not: train/x.mp4", (SPLITS_OF_CLASSES, SPLITS)),
        (("train/a/1.mp4", "train/b/1.mp4", "test/x.mp4"), "1 of 3 are not: test/x.mp4", (SPLITS_OF_CLASSES, SPLITS)),
        (("dataset/a/1.mp4", "dataset/b/1.mp4"), "single folder 'dataset', which contains 2", (CLASSES, FLAT)),
        (("d/videos/a/1.mp4", "d/videos/b/1.mp4"), "single folder 'd/videos'", (CLASSES, FLAT)),
        (("x.mp4", "dataset/a/1.mp4", "dataset/b/1.mp4"), "except x.mp4 are in the single folder 'dataset'", (FLAT,)),
        (("data/train/a/1.mp4", "data/val/a/1.mp4"), "'data', in which train, val", (SPLITS_OF_CLASSES, CLASSES)),
        (("d/train_1/a/1.mp4", "d/val_1/a/1.mp4"), "in which train_1, val_1", (SPLITS_OF_CLASSES, CLASSES)),
        (("a/train1/1.mp4", "b/test1/1.mp4"), "(test1, train1)", (CLASSES_OF_SPLITS, CLASSES)),
        (("data/train/1.mp4", "data/val/2.mp4"), "'data', in which train, val", (SPLITS, CLASSES)),
        (("a/train/1.mp4", "a/test/1.mp4", "b/train/1.mp4"), "(test, train)", (CLASSES_OF_SPLITS, CLASSES, FLAT)),
        (("rgb/x/train/1.mp4", "rgb/y/val/1.mp4", "flow/x/val/1.mp4"), "(train, val)", (CLASSES, FLAT)),
        (("val/a/1.mp4", "valid/b/1.mp4"), "named after the same split (val, valid)", (SPLITS_OF_CLASSES, SPLITS)),
        (("Train/a/1.mp4", "train/b/1.mp4"), "named after the same split", (SPLITS_OF_CLASSES, SPLITS)),
        (("train/v/a/1.mp4", "train/v/b/1.mp4", "val/v/a/1.mp4"), "all class folders (a, b)", (SPLITS_OF_CLASSES,)),
        (("train/test/1.mp4", "train/val/1.mp4"), "inside each other", (SPLITS, FLAT)),
    ],
)  # fmt: skip
def test_ambiguous_folders_are_refused_with_layouts_that_work(paths, finding, passed):
    message = refused(*paths)
    assert finding in message and "Error" not in message
    assert all(f"--layout {layout} (" in message for layout in passed)
    for layout in passed:
        structure_of(paths, layout)  # what the message offers works


@pytest.mark.parametrize(
    ("paths", "layout", "note"),
    [
        (("1.mp4", "2.mp4"), FLAT, "no classes"),
        (("videos/1.mp4", "videos/2.mp4"), FLAT, "the single folder 'videos'"),
        (("a/1.mp4", "b/deep/2.mp4"), CLASSES, ""),
        (("1.mp4", "more/2.mp4"), FLAT, "1 of 2 videos are outside the sub-folders (1.mp4)"),
        (("train/1.mp4",), SPLITS, "no classes"),
        (("CPR_training/1.mp4", "test drive/1.mp4", "run/1.mp4"), CLASSES, ""),
        (("p1/run/1.mp4", "p1/jump/1.mp4", "p2/run/1.mp4", "p2/jump/1.mp4"), CLASSES, "same sub-folders (jump, run)"),
        (("a/1.mp4", "b/1.mp4", "c/1.mp4", "d/1.mp4"), CLASSES, "every folder used as a class has one video"),
    ],
)
def test_unambiguous_folders_need_no_option(paths, layout, note):
    found = structure_of(paths)
    assert found.layout == layout
    assert note in " ".join(found.notes) and bool(note) == bool(found.notes)


def test_a_given_layout_is_followed():
    mixed = ("train/1.mp4", "plane/1.mp4", "stray.mp4")
    assert placed(mixed, CLASSES) == {mixed[0]: ("train", None), mixed[1]: ("plane", None), mixed[2]: (None, None)}
    assert "1 of 3 videos are in no class folder and are unlabeled (stray.mp4)" in structure_of(mixed, CLASSES).notes
    assert set(placed(mixed, FLAT).values()) == {(None, None)}
    inside = ("a/Train/1.mp4", "a/test/x/2.mp4", "b/dev/3.mp4")
    assert list(placed(inside, CLASSES_OF_SPLITS).values()) == [("a", "train"), ("a", "test"), ("b", "val")]
    sized = ("k400_train/a/1.mp4", "k400_val/b/2.mp4", "k400_val/3.mp4")
    assert list(placed(sized, SPLITS_OF_CLASSES).values()) == [("a", "train"), ("b", "val"), (None, "val")]
    assert list(placed(sized, SPLITS).values()) == [(None, "train"), (None, "val"), (None, "val")]
    merged = ("val/a/1.mp4", "valid/b/2.mp4")
    assert list(placed(merged, SPLITS_OF_CLASSES).values()) == [("a", "val"), ("b", "val")]


@pytest.mark.parametrize(
    ("prefix", "layout", "expected"),
    [
        ("", CLASSES, [("x", None), ("y", None)]),
        ("data/", CLASSES, [("x", None), ("y", None)]),
        ("data/videos/", CLASSES, [("x", None), ("y", None)]),
        ("train/", SPLITS_OF_CLASSES, [("x", "train"), ("y", "train")]),
        ("data/val/", SPLITS_OF_CLASSES, [("x", "val"), ("y", "val")]),
        ("test/videos/", SPLITS_OF_CLASSES, [("x", "test"), ("y", "test")]),
    ],
)
def test_wrapper_folders_are_skipped_by_a_given_layout(prefix, layout, expected):
    assert list(placed((f"{prefix}x/1.mp4", f"{prefix}y/deep/2.mp4"), layout).values()) == expected


def test_one_class_is_enough_if_the_layout_is_given():
    assert placed(("wave/1.mp4", "wave/2.mp4"), CLASSES)["wave/1.mp4"] == ("wave", None)


@pytest.mark.parametrize(
    ("paths", "layout", "message"),
    [
        (("1.mp4",), CLASSES, "--layout classes does not fit"),
        (("a/1.mp4",), SPLITS_OF_CLASSES, "--layout splits/classes does not fit"),
        (("train/a/1.mp4", "more/a/1.mp4"), SPLITS_OF_CLASSES, "more/a/1.mp4 is in no folder named like a split"),
        (("a/train/1.mp4", "a/1.mp4"), CLASSES_OF_SPLITS, "a/1.mp4 is in no folder named like a split"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(paths, layout, message):
    with pytest.raises(InputError, match=message):
        structure_of(paths, layout)


def test_only_splits_matter_if_labels_are_not_needed():
    assert structure_of(("a/1.mp4", "b/1.mp4", "stray.mp4"), needs_labels=False).layout == FLAT
    assert structure_of(("train/a/1.mp4", "val/x.mp4"), needs_labels=False).splits == ("train", "val")
    assert "--layout splits" in refused("data/train/1.mp4", "data/val/1.mp4", needs_labels=False)
