"""Every command that a run names as the next one is run as it is printed, in a shell's words."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.console.next_commands import command
from embedonce.pipeline.extraction import extract_teacher
from tests.commands.test_cli import HERE, SMALL, call
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

ODD = 'it\'s a "folder" $HOME'  # of a name that no shell leaves alone


class Teacher(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch):
    monkeypatch.setattr(extract_teacher, "_load_teacher", lambda config, cached=None: Teacher())


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("next") / ODD
    for split, num_frames in (("train", 30), ("test", 33)):  # a copy in another split would be refused
        for name in ("cut", "stir"):
            (root / split / name).mkdir(parents=True)
            write_video(root / split / name / "1.mp4", num_frames)
    return root


def follow(told: str, *more, code: int = 0) -> str:
    """Run what was printed as next."""
    (line,) = re.findall(r"next: (.*)", told)
    program, script, *words = shlex.split(line)
    assert (program, script) == ("python", "cli.py")
    return call(*words, *more, code=code)


CHAINS = {  # name -> options of extraction; what must be among the words of the commands to train and to judge
    "labels and logits": (["--teacher-head", "zero-shot"], [], ["--split", "test"]),
    "labels alone": (["--teacher-head", "none"], ["--beta", "0"], ["--split", "test"]),
    "a named label set": (["--label-set", "mine"], [], ["--split", "test"]),
}


LONG = {"labels and logits": pytest.mark.slow}  # which a named label set has, too


@pytest.mark.parametrize(
    ("options", "to_train", "to_judge"),
    [pytest.param(*chain, id=name, marks=LONG.get(name, ())) for name, chain in CHAINS.items()],
)
def test_a_chain_of_commands_from_videos_to_a_judgement(videos, tmp_path, options, to_train, to_judge):
    cache = tmp_path / ODD
    cache.mkdir()  # what is there is meant as it is written
    told = call("extract-teacher", "--data-dir", videos, "--cache-dir", cache, *options)
    assert " ".join(to_train) in told.splitlines()[-1]
    told = follow(told, "--output-dir", tmp_path / ODD / "out", *SMALL, *HERE)
    assert " ".join(to_judge) in told.splitlines()[-1]
    told = follow(told, *HERE)
    assert "report:" in told and (tmp_path / ODD / "out" / "evaluation_results.json").exists()


@pytest.mark.slow
def test_embeddings_alone_are_trained_without_the_terms_that_have_no_data(videos, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(8):
        write_video(flat / f"{number}.mp4", 30)
    told = call("extract-teacher", "--data-dir", flat, "--cache-dir", tmp_path / "c")
    assert told.rstrip().endswith("--beta 0 --gamma 0")
    follow(follow(told, "--output-dir", tmp_path / "out", *SMALL, *HERE), *HERE)


@pytest.mark.slow
def test_of_several_label_sets_the_one_that_was_just_made_is_named(videos, tmp_path):
    call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c")
    (tmp_path / "names.txt").write_text("open\nshut\n")
    told = call("relabel", "--cache-dir", tmp_path / "c", "--classes", tmp_path / "names.txt")
    assert told.rstrip().endswith("--label-set names --gamma 0")
    told = follow(told, "--output-dir", tmp_path / "out", *SMALL, *HERE)
    assert "--label-set names" in told.splitlines()[-1]
    follow(told, *HERE)
    told = call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c")
    assert "--label-set zero-shot" in told.splitlines()[-1]


def test_where_nothing_can_be_trained_or_judged_no_command_is_offered(videos, tmp_path):
    shutil.copytree(videos / "test", tmp_path / "v" / "test")
    told = call("extract-teacher", "--data-dir", tmp_path / "v", "--cache-dir", tmp_path / "c")
    assert "has no training clip with a frame (0 train, 0 val, 2 test): add training videos" in told
    shutil.copytree(videos / "train", tmp_path / "w" / "train")
    told = call("extract-teacher", "--data-dir", tmp_path / "w", "--cache-dir", tmp_path / "d")
    told = follow(told, "--output-dir", tmp_path / "out", *SMALL, *HERE)
    assert "has no clip to evaluate the student on (2 train, 0 val, 0 test)" in told and "next:" not in told


def test_a_damaged_cache_is_repaired_extracted_again_converted_and_verified(videos, tmp_path):
    cache = tmp_path / ODD
    cache.mkdir()
    call("extract-teacher", "--data-dir", videos, "--cache-dir", cache, "--shard-frames", "2")
    shard = cache / "frames" / "000001.h5"
    shard.write_bytes(shard.read_bytes()[:-3])
    told = call("verify-cache", "--cache-dir", cache, code=4)
    assert "no terminal to ask on" in follow(told, code=2)
    told = follow(told, "--yes")
    told = follow(told)
    assert "committed + 0 quarantined + 0 pending" in told
    told = call("convert-cache", "--cache-dir", cache, "--output-dir", tmp_path / "b c", "--backend", "webdataset")
    assert "sound: everything is as it was committed" in follow(told)


def test_a_repaired_cache_without_its_settings_gets_no_command_that_fails(videos, tmp_path):
    cache = tmp_path / "c"
    call("extract-teacher", "--data-dir", videos, "--cache-dir", cache)
    (cache / "extract_config.yaml").unlink()
    (cache / "frames" / "000000.h5").unlink()
    told = call("repair-cache", "--cache-dir", cache, "--yes")
    assert "next:" not in told and "run extract-teacher again with its original options" in told


@pytest.mark.slow
def test_several_students_are_judged_one_by_one(tmp_path):
    cache = make_tiny_cache(tmp_path / "c d", 6)
    small = ["--student-size", "tiny,xxs", "--no-student-pretrained", *SMALL[2:]]
    told = call("train-student", "--cache-dir", cache, "--output-dir", tmp_path / "o p", *small, *HERE)
    follow(told, *HERE)
    assert (tmp_path / "o p" / "tiny" / "evaluation_results.json").exists()


def test_words_are_quoted_and_options_without_a_value_left_out():
    options = {"cache_dir": Path("a b"), "label_set": None, "beta": 0, "overwrite": True, "student_size": ("a", "b")}
    assert command("x", options) == "python cli.py x --cache-dir 'a b' --beta 0 --overwrite --student-size a,b"
    odd = command("x", {"cache_dir": f"/tmp/{ODD}"})
    assert shlex.split(odd)[-1] == f"/tmp/{ODD}"
    assert shlex.split(command("x", {"cache_dir": Path("./~root")}))[-1] == "./~root"


def test_what_lacks_of_ego4d_is_told_with_a_command(tmp_path):
    from embedonce.pipeline.sources.ego4d.layout import ANNOTATIONS_ALONE, how_to_download

    told = how_to_download(tmp_path / "a b", ANNOTATIONS_ALONE)
    words = shlex.split(told.partition(": ")[2])
    assert words == ["python", "cli.py", "download-ego4d", "--data-dir", str(tmp_path / "a b"), "--num-videos", "0"]


def test_a_video_of_damage_that_is_not_listed_is_counted(tmp_path):
    cache = make_tiny_cache(tmp_path / "c", 1)
    reader = open_reader(cache)
    from embedonce.cache.errors import DamagedError, some

    assert some("abcdefgh", 5) == "a, b, c, d, e and 3 more" and some("ab") == "a, b"
    (cache / "frames" / "000000.h5").unlink()
    with pytest.raises(DamagedError, match=r"it holds the videos v0$"):
        reader.frames("000000")
