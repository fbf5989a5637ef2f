"""UCF101 as a source: its lists, where its videos are, and what is wrong with them."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.registry import choose_source, open_sources
from embedonce.pipeline.sources.ucf101.lists import uid_of
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.folders import touch
from tests.support.image_files import write_frames
from tests.support.labeled_frames import SAMPLED, labeled_clips, shown
from tests.support.ucf101_miniature import TEST, TRAIN, VIDEOS, write_lists
from tests.support.videos import write_video

RATE = Fraction(25)


@pytest.fixture
def root(tmp_path):
    write_lists(tmp_path / "ucfTrainTestlist")
    return touch(tmp_path, *(f"UCF-101/{name}" for name in VIDEOS))


def opened(root, **settings):
    (source,) = open_sources(root, SimpleNamespace(**settings)).values()
    return source


def test_the_lists_give_classes_and_splits(root):
    assert choose_source(root).name == "ucf101"
    source = opened(root)
    assert source.classes == ("YoYo", "ApplyEyeMakeup")  # in the order of classInd.txt
    assert [(clip.video_uid, source.classes[clip.label], clip.split) for clip in source.clips] == [
        ("ApplyEyeMakeup_2Fv_ApplyEyeMakeup_g08_c01_2Eavi", "ApplyEyeMakeup", "train"),
        ("YoYo_2Fv_YoYo_g09_c02_2Eavi", "YoYo", "train"),
        ("ApplyEyeMakeup_2Fv_ApplyEyeMakeup_g01_c01_2Eavi", "ApplyEyeMakeup", "val"),
    ]
    assert source.has_whole_videos
    other = opened(root, ucf_split=2)
    assert [clip.split for clip in other.clips] == ["train", "val"]
    with pytest.raises(InputError, match=r"has no trainlist03.txt and testlist03.txt: --ucf-split is 1, 2 or 3"):
        opened(root, ucf_split=3)


@pytest.mark.parametrize("folder", [".", "videos", "UCF101"])
def test_videos_may_be_in_other_folders_and_keep_their_uids(root, folder):
    before = opened(root)
    (root / folder).mkdir(exist_ok=True)
    for path in (root / "UCF-101").iterdir():
        path.rename(root / folder / path.name)
    moved = opened(root)
    assert moved.clips == before.clips and {v.uid for v in moved.videos} == {v.uid for v in before.videos}
    assert all(video.path.is_file() for video in moved.videos)


def test_videos_may_be_folders_of_frames(root):
    for name in VIDEOS[:2]:
        (root / "UCF-101" / name).unlink()
        write_frames((root / "UCF-101" / name).with_suffix(""), [1, 2, 3])
    with pytest.raises(InputError, match="--frames-layout is for a folder of images"):
        opened(root, frames_rate=25.0, frames_layout="images")
    source = opened(root, frames_rate=25.0)
    assert [(video.path, clip.split) for video, clip in zip(source.videos, source.clips, strict=True)] == [
        (root / "UCF-101" / VIDEOS[2], "train"),
        (ImageSequence((root / "UCF-101" / VIDEOS[0]).with_suffix(""), Fraction(25)), "train"),
        (ImageSequence((root / "UCF-101" / VIDEOS[1]).with_suffix(""), Fraction(25)), "val"),
    ]


def test_missing_videos_are_counted_and_named(root):
    (root / "UCF-101" / VIDEOS[0]).unlink()
    source = opened(root)
    assert len(source.clips) == 2
    assert f"videos that do not exist, whose rows are left out: 1 (UCF-101/{VIDEOS[0]})" in source.notes


def test_without_class_numbers_the_folders_are_the_classes(root):
    (root / "ucfTrainTestlist" / "classInd.txt").unlink()
    assert opened(root).classes == ("ApplyEyeMakeup", "YoYo")


def test_everything_wrong_is_in_one_list(root):
    folder = root / "ucfTrainTestlist"
    (folder / TRAIN).write_text(f"{VIDEOS[0]} 2\n{VIDEOS[1]} 2\n../x/y.avi 1\nDiving/v.avi 3\n\nlost.avi\n")
    (folder / TEST).write_text(f"{VIDEOS[0]}\n")
    (folder / "classInd.txt").write_text("1 YoYo\n2 ApplyEyeMakeup\nDiving\n2 Archery\n")
    with pytest.raises(InputError) as caught:
        opened(root)
    assert str(caught.value).splitlines() == [
        f"8 problems in {folder}:",
        "  trainlist01.txt, line 2: class: expected 1, the number of YoYo, got '2'",
        "  trainlist01.txt, line 3: video: expected the folder of a class and a file, such as Archery/v_1.avi, got "
        "'../x/y.avi'",
        "  trainlist01.txt, line 4: class: expected one of the 2 of classInd.txt, got 'Diving'",
        "  trainlist01.txt, line 6: video: expected the folder of a class and a file, such as Archery/v_1.avi, got "
        "'lost.avi'",
        f"  testlist01.txt, line 1: split: 'UCF-101/{VIDEOS[0]}' is in 'val' here and in 'train' on trainlist01.txt, "
        "line 1; all clips of a video must be in one split",
        "  testlist01.txt, line 1: the same clip as on trainlist01.txt, line 1: remove one of them, or give each a uid",
        "  classInd.txt, line 3: class: expected a number and a name, such as 1 ApplyEyeMakeup, got 'Diving'",
        "  classInd.txt, line 4: class: '2 Archery' repeats a number or a name",
    ]


def test_values_of_any_length_are_problems_in_short_messages(root):
    folder, long = root / "ucfTrainTestlist", "9" * 5000
    (folder / "classInd.txt").write_text(f"1 YoYo\n2 ApplyEyeMakeup\n{long} Archery\n")
    (folder / TRAIN).write_text(f"{VIDEOS[0]} 2\n{VIDEOS[1]} {long}\nYoYo/{long}.avi\n")
    with pytest.raises(InputError) as caught:
        opened(root)
    assert all(len(line) < 600 for line in str(caught.value).splitlines()) and "3 problems in" in str(caught.value)


@pytest.mark.integration
@pytest.mark.usefixtures("forked_workers")
def test_every_video_is_one_clip_of_its_class_and_split_with_all_frames(root, tmp_path):
    for number, name in enumerate(VIDEOS):
        (root / "UCF-101" / name).unlink()
        write_video(root / "UCF-101" / name, 20 + 120 * number, rate=RATE)  # the last one has 10.4 seconds
    cache = tmp_path / "cache"
    output = call(
        "extract-teacher", "--data-dir", root, "--cache-dir", cache, "--fps", SAMPLED, "--decode-workers", "1"
    )
    assert "listed 3 videos = 3 committed" in output
    assert sorted(labeled_clips(cache, "zero-shot").values()) == [
        (uid_of(VIDEOS[2]), "val", ("ApplyEyeMakeup",), [number * 5 // 2 for number in range(104)]),
        (uid_of(VIDEOS[0]), "train", ("ApplyEyeMakeup",), shown(RATE, "0", "0.8")),
        (uid_of(VIDEOS[1]), "train", ("YoYo",), shown(RATE, "0", "5.6")),
    ]
