"""Kinetics as a source: its tables, where its clips are, and what is wrong with them."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.folders import touch
from tests.support.kinetics_miniature import CLIPS, FILES, HEADER, MISSING, ROWS, TEST, TRAIN, VAL, write_tables
from tests.support.labeled_frames import SAMPLED, labeled_clips, shown
from tests.support.videos import write_video

RATE = Fraction(25)


@pytest.fixture
def root(tmp_path):
    write_tables(tmp_path / "annotations")
    return touch(tmp_path, *FILES)


def opened(root, **settings):
    (source,) = open_sources(root, SimpleNamespace(**settings)).values()
    return source


def problems_of(root) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root)
    return str(caught.value).splitlines()


def test_the_columns_of_the_tables_choose_the_source(root, tmp_path):
    assert choose_source(root).name == "kinetics"
    other = touch(tmp_path / "other", "cut/a.mp4", "stir/b.mp4")
    for name, text in ((TRAIN, "video,label\na.mp4,cut\n"), (TEST, "youtube_id,time_start,time_end\na,1,2\n")):
        (other / name).write_text(text)
        assert choose_source(other).name == "folder"


@pytest.mark.parametrize(
    "names",
    [
        ("kinetics-400_train.csv", "kinetics-400_val.csv"),
        ("kinetics700_2020_train.csv", "validate.csv"),
        ("Kinetics_train.csv", "k600_validation.csv"),
    ],
)
def test_tables_may_have_the_names_of_other_downloads(root, names):
    before = opened(root)
    for old, new in zip((TRAIN, VAL), names, strict=True):
        (root / "annotations" / old).rename(root / new)
    (root / "annotations" / TEST).unlink()
    assert opened(root).clips == before.clips
    touch(root, names[0].replace(".csv", ".txt"))
    (root / "k700_train.csv").write_text((root / names[0]).read_text())
    with pytest.raises(InputError, match=r"has several tables of the same split, .*: leave one of them there"):
        opened(root)


def test_each_file_that_exists_is_a_clip_and_the_others_are_counted(root):
    source = opened(root)
    assert source.classes == ("abseiling", "massaging person's head")
    assert [(clip.clip_id, clip.video_uid, clip.label, clip.split) for clip in source.clips] == [
        (CLIPS[0], path_uid(CLIPS[0]), 0, "train"),
        (CLIPS[1], path_uid(CLIPS[1]), 1, "train"),
        (CLIPS[2], path_uid(CLIPS[2]), 0, "val"),
    ]
    assert source.has_whole_videos and source.one_clip_per_video
    assert source.files == "train.csv, val.csv list 4 clips of 4 videos"
    assert f"videos that do not exist, whose rows are left out: 1 (val/abseiling/{MISSING}.mp4)" in source.notes
    assert "test.csv has no labels and is not read" in source.notes


@pytest.mark.parametrize(
    "places",
    [
        ("videos/train/abseiling", "videos/train/massaging person's head", "videos/val/abseiling"),
        ("train", "train", "val"),
        ("videos_train/abseiling", "videos_train/massaging_person's_head", "videos_val/abseiling"),
        ("train/abseiling", "replacement/replacement_for_corrupted_k400", "validate"),
        ("videos", "videos", "videos"),
        (".", ".", "."),
    ],
)
def test_clips_may_be_where_other_downloaders_put_them(root, places):
    before = opened(root)
    for name, place in zip(FILES, places, strict=True):
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / name).rename((root / place / (root / name).name).with_suffix(".webm"))
    after = opened(root)
    assert after.clips == before.clips and all(video.path.suffix == ".webm" for video in after.videos)


def test_replacements_of_corrupted_clips_are_preferred(root):
    name = f"replacement/replacement_for_corrupted_k400/{CLIPS[0]}.mp4"
    touch(root, name)
    source = opened(root)
    assert name in {video.source for video in source.videos} and len(source.videos) == 3
    several = f"videos that have several files, of which the first is used: 1 ({name} and {FILES[0]})"
    assert several in source.notes


def test_a_test_table_with_labels_is_the_test_split(root):
    (root / "annotations" / TEST).write_text(f"{HEADER}\nabseiling,8aZ-zJ0bTvE,3,13,test,0\n")
    touch(root, "test/8aZ-zJ0bTvE_000003_000013.mp4")
    assert [clip.split for clip in opened(root).clips] == ["train", "train", "val", "test"]


def test_everything_wrong_is_in_one_list(root):
    train = [
        *ROWS[TRAIN],
        "abseiling,-3B32lodo2M,59,69,train,0",
        "yoga,-3B32lodo2M,59,69,train,0",
        "abseiling,../x,1.5,69,train,0",
        ",abcdefghijk,10,5,val,0",
        "abseiling,abcdefghijk,soon,,train,0",
        "abseiling,abcdefghijk,1,2",
    ]
    write_tables(root / "annotations", train, [*ROWS[VAL], "abseiling,-3B32lodo2M,59,69,val,0"])
    clip = CLIPS[0]
    assert problems_of(root) == [
        f"11 problems in {root / 'annotations'}:",
        f"  train.csv, line 4: uid: '{clip}' is the uid of train.csv, line 2, too; every clip needs its own",
        f"  train.csv, line 5: uid: '{clip}' is the uid of train.csv, line 2, too; every clip needs its own",
        "  train.csv, line 6: time_start: expected whole seconds, which are part of the names of files, got '1.5'",
        "  train.csv, line 6: youtube_id: expected the id of a YouTube video, got '../x'",
        "  train.csv, line 7: label: expected the name of a class, got nothing",
        "  train.csv, line 7: split: expected train, as the name of the table says, got 'val'",
        "  train.csv, line 7: time_end: expected a time after 10, got '5'",
        "  train.csv, line 8: time_end: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), got nothing",
        "  train.csv, line 8: time_start: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), got 'soon'",
        "  train.csv, line 9: expected 6 cells, as in the header line, got 4",
        f"  val.csv, line 4: uid: '{clip}' is the uid of train.csv, line 2, too; every clip needs its own",
    ]


def test_values_of_any_length_are_problems_in_short_messages(root):
    long = "9" * 5000
    rows = [
        f"{long},abcdefghijk,1,2,train,0",
        f"abseiling,{long},1,2,train,0",
        f"abseiling,abcdefghijk,1,{long},train,0",
    ]
    write_tables(root / "annotations", [*ROWS[TRAIN], *rows])
    first, *lines = problems_of(root)
    assert first.startswith("4 problems") and all(len(line) < 600 for line in lines)


def test_a_table_without_labels_is_refused(root):
    (root / "annotations" / VAL).write_text((root / "annotations" / TEST).read_text())
    expected = "  val.csv, line 1: expected a column label, got youtube_id, time_start, time_end, split"
    assert problems_of(root)[1:] == [expected]


@pytest.mark.integration
@pytest.mark.usefixtures("forked_workers")
def test_every_file_is_one_clip_of_its_class_and_split_with_all_frames(root, tmp_path):
    seconds = (8, 3, Fraction("10.4"))  # the last one would be two windows
    for name, duration in zip(FILES, seconds, strict=True):
        (root / name).unlink()
        write_video(root / name, round(RATE * duration), rate=RATE, ticks=12800)
    cache = tmp_path / "cache"
    output = call(
        "extract-teacher", "--data-dir", root, "--cache-dir", cache, "--fps", SAMPLED, "--decode-workers", "1"
    )
    assert "listed 3 videos = 3 committed" in output
    assert labeled_clips(cache, "zero-shot") == {
        f"{CLIPS[0]}:0": (path_uid(CLIPS[0]), "train", ("abseiling",), shown(RATE, "0", "8")),
        f"{CLIPS[1]}:0": (path_uid(CLIPS[1]), "train", ("massaging person's head",), shown(RATE, "0", "3")),
        f"{CLIPS[2]}:0": (path_uid(CLIPS[2]), "val", ("abseiling",), [number * 5 // 2 for number in range(104)]),
    }
