"""Lists of files as a source: which files are lists, where their videos are, and what is wrong with them."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.registry import choose_source, open_sources, read_sources
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.file_lists_miniature import CLASSES, LISTS, TRAIN, VAL, VIDEOS, write_lists
from tests.support.folders import touch
from tests.support.labeled_frames import SAMPLED, labeled_clips, shown
from tests.support.videos import write_video

RATE = Fraction(25)


@pytest.fixture
def root(tmp_path):
    write_lists(tmp_path)
    return touch(tmp_path, *VIDEOS)


def opened(root, **settings):
    (source,) = open_sources(root, SimpleNamespace(**settings)).values()
    return source


def problems_of(root) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root)
    return str(caught.value).splitlines()


def labels(source) -> list[tuple[str, str]]:
    return [(source.classes[clip.label], clip.split) for clip in source.clips]


def test_lists_give_classes_and_splits(root):
    assert choose_source(root).name == "file_lists"
    source = opened(root)
    assert source.classes == ("abseiling", "air drumming", "zumba")
    assert labels(source) == [("abseiling", "train"), ("zumba", "train"), ("abseiling", "val")]
    assert [clip.video_uid for clip in source.clips] == [path_uid(name) for name in VIDEOS]
    assert source.has_whole_videos and source.one_clip_per_video
    assert source.files == "train.txt, val.txt list 3 clips of 3 videos"


@pytest.mark.parametrize("text", ["", "cut\nstir\n", "a.mp4\n", "video,label\na.mp4,1\n", "frames/a 120 3\n", "\x00"])
def test_other_files_of_these_names_are_no_lists(root, text):
    for name in (TRAIN, VAL):
        (root / name).write_text(text)
    assert choose_source(root).name == "folder"


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train.csv", "val.csv"),
        ("kinetics400_train_list_videos.txt", "kinetics400_val_list_videos.txt"),
        ("annotations/train_list.txt", "annotations/validation_list.txt"),
    ],
)
def test_lists_may_have_the_names_of_other_programs(root, train, val):
    before = opened(root)
    (root / train).parent.mkdir(exist_ok=True)
    for old, new in ((TRAIN, train), (VAL, val), (CLASSES, (root / train).parent / "classes.txt")):
        (root / old).rename(root / new)
    assert opened(root).clips == before.clips and opened(root).classes == before.classes


def test_ambiguous_lists_and_class_names_are_refused(root):
    (root / "labels.txt").write_text("abseiling\n")
    with pytest.raises(InputError, match=r"several files of class names, label_map_k400.txt and labels.txt: leave one"):
        opened(root)
    (root / "train.csv").write_text(f"{VIDEOS[0]} 0\n")
    with pytest.raises(InputError, match=r"has several lists of train videos, train.csv and train.txt: leave one of"):
        opened(root)


@pytest.mark.parametrize("folder", ["videos", "{split}", "videos_{split}", "videos/{split}"])
def test_videos_may_be_in_folders_of_splits(root, folder):
    for name, split in zip(VIDEOS, ("train", "train", "val"), strict=True):
        target = root / folder.format(split=split) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(target)
    source = opened(root)
    assert labels(source) == [("abseiling", "train"), ("zumba", "train"), ("abseiling", "val")]
    for video in source.videos:
        video.path.unlink()
    cached = [video.uid for video in source.videos]
    (again,) = read_sources(root, cached_uids=cached, needs_files=False).values()
    assert again.clips == source.clips


def test_paths_may_be_absolute_and_missing_videos_are_counted(root, tmp_path_factory):
    elsewhere = touch(tmp_path_factory.mktemp("elsewhere"), "x.webm") / "x.webm"
    (root / TRAIN).write_text(f"{elsewhere} 2\ngone.mp4 1\n{VIDEOS[0]}\t1\n")
    source = opened(root)
    assert labels(source) == [("zumba", "train"), ("air drumming", "train"), ("abseiling", "val")]
    assert "videos that do not exist, whose rows are left out: 1 (gone.mp4)" in source.notes


def test_numbers_of_classes_are_those_of_the_file_of_names(root):
    (root / CLASSES).write_text("1 zumba\n2 abseiling\n")
    (root / TRAIN).write_text(f"{VIDEOS[0]} 2\n{VIDEOS[1]} 1\n")
    (root / VAL).write_text(f"{VIDEOS[2]} 2\n")
    assert labels(opened(root)) == [("abseiling", "train"), ("zumba", "train"), ("abseiling", "val")]
    (root / CLASSES).unlink()
    (root / TRAIN).write_text(f"{VIDEOS[0]} 2\n{VIDEOS[1]} 10\n")
    assert opened(root).classes == ("2", "10")  # in the order of the numbers
    (root / "names.csv").write_text("2,abseiling\n10,zumba\n")
    assert opened(root, class_names=root / "names.csv").classes == ("abseiling", "zumba")


def test_a_list_of_test_videos_that_repeats_the_validation_list_is_not_read(root):
    (root / "test.txt").write_text((root / VAL).read_text())
    assert "test.txt is the same as val.txt and is not read" in opened(root).notes
    (root / "test.txt").write_text("f.mp4 1\n")
    touch(root, "f.mp4")
    assert labels(opened(root))[-1] == ("air drumming", "test")


def test_everything_wrong_is_in_one_list(root):
    lines = ["frames/x 120 3", "x.mp4", "x.mp4 1 2", f"{VIDEOS[0]} 3", f"./{VIDEOS[1]} 1", f"{VIDEOS[1]} 2"]
    (root / TRAIN).write_text("\n".join([*LISTS[TRAIN], *lines, ""]))
    (root / VAL).write_text(f"{VIDEOS[1]} 2\n{VIDEOS[2]} 7\n")
    line = "line: expected the path of a video and the number of its class, such as archery/a.mp4 5, got"
    assert problems_of(root) == [
        f"9 problems in {root}:",
        f"  train.txt, line 3: {line} 'frames/x 120 3'",
        f"  train.txt, line 4: {line} 'x.mp4'",
        f"  train.txt, line 5: {line} 'x.mp4 1 2'",
        "  train.txt, line 6: class: 'abseiling/a b.mp4' is of class 3 here and of class 0 on train.txt, line 1",
        "  train.txt, line 7: class: './zumba/c,d.mp4' is of class 1 here and of class 2 on train.txt, line 2",
        "  train.txt, line 8: the same clip as on train.txt, line 2: remove one of them, or give each a uid",
        "  val.txt, line 1: split: 'zumba/c,d.mp4' is in 'val' here and in 'train' on train.txt, line 2; all clips of "
        "a video must be in one split",
        "  val.txt, line 1: the same clip as on train.txt, line 2: remove one of them, or give each a uid",
        "  val.txt, line 2: class: expected the number of one of 3 classes, got '7'",
    ]
    (root / CLASSES).write_text("abseiling\nabseiling\n")
    assert "class 'abseiling' is already on line 1" in problems_of(root)[0]


def test_values_of_any_length_are_problems_in_short_messages(root):
    long = "9" * 5000
    (root / TRAIN).write_text(f"{VIDEOS[0]} 0\n{VIDEOS[1]} {long}\n{long}.mp4 0\n{long}.mp4 1\n{long}\n")
    first, *lines = problems_of(root)
    assert first.startswith("4 problems") and all(len(line) < 600 for line in lines)


@pytest.mark.integration
@pytest.mark.usefixtures("forked_workers")
def test_every_video_is_one_clip_of_its_class_and_split_with_all_frames(root, tmp_path_factory):
    for name, duration in zip(VIDEOS, (4, 3, Fraction("10.4")), strict=True):  # the last one would be two windows
        (root / name).unlink()
        write_video(root / name, round(RATE * duration), rate=RATE, ticks=12800)
    cache = tmp_path_factory.mktemp("cache") / "c"
    output = call(
        "extract-teacher", "--data-dir", root, "--cache-dir", cache, "--fps", SAMPLED, "--decode-workers", "1"
    )
    assert "listed 3 videos = 3 committed" in output
    a, b, c = map(path_uid, VIDEOS)
    assert labeled_clips(cache, "zero-shot") == {
        f"{a}:0": (a, "train", ("abseiling",), shown(RATE, "0", "4")),
        f"{b}:0": (b, "train", ("zumba",), shown(RATE, "0", "3")),
        f"{c}:0": (c, "val", ("abseiling",), [number * 5 // 2 for number in range(104)]),
    }
