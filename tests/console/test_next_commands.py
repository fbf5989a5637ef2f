"""The next commands that runs suggest can be run exactly as they are printed."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.cache.command_lines import as_argument, quoted
from embedonce.cache.store import open_reader
from embedonce.pipeline.console.next_commands import command, extract_line
from embedonce.pipeline.extraction import teacher_loading
from tests.commands.test_cli import HERE, SMALL, call
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

ROOT = Path(__file__).parents[2]
ODD = 'it\'s a "folder" $HOME'  # a name that every shell would change unless it is quoted


class Teacher(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("next") / ODD
    for split, num_frames in (("train", 30), ("test", 33)):  # a copy in another split would be refused
        for name in ("cut", "stir"):
            (root / split / name).mkdir(parents=True)
            write_video(root / split / name / "1.mp4", num_frames)
    return root


def follow(output: str, *more, code: int = 0) -> str:
    """Run the command that was printed as the next one."""
    (line,) = re.findall(r"next: (.*)", output)
    program, script, *words = shlex.split(line)
    assert (program, script) == ("python", "cli.py")
    return call(*words, *more, code=code)


CHAINS = {  # name -> options of extraction, expected options of the suggested training and evaluation
    "labels and logits": (["--teacher-head", "zero-shot"], [], ["--split", "test"]),
    "labels alone": (["--teacher-head", "none"], ["--beta", "0"], ["--split", "test"]),
    "a named label set": (["--label-set", "mine"], [], ["--split", "test"]),
}


LONG = {"labels and logits": pytest.mark.slow}  # also covered by a named label set


@pytest.mark.parametrize(
    ("options", "to_train", "to_judge"),
    [pytest.param(*chain, id=name, marks=LONG.get(name, ())) for name, chain in CHAINS.items()],
)
@pytest.mark.slow
def test_suggested_commands_lead_from_videos_to_an_evaluation(videos, tmp_path, options, to_train, to_judge):
    cache = tmp_path / ODD
    cache.mkdir()  # an existing folder is not expanded
    output = call("extract-teacher", "--data-dir", videos, "--cache-dir", cache, *options)
    assert " ".join(to_train) in output.splitlines()[-1]
    output = follow(output, "--output-dir", tmp_path / ODD / "out", *SMALL, *HERE)
    assert " ".join(to_judge) in output.splitlines()[-1]
    output = follow(output, *HERE)
    assert "report:" in output and (tmp_path / ODD / "out" / "evaluation_results.json").exists()


@pytest.mark.slow
def test_suggested_training_on_embeddings_alone_disables_the_other_terms(videos, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(8):
        write_video(flat / f"{number}.mp4", 30)
    output = call("extract-teacher", "--data-dir", flat, "--cache-dir", tmp_path / "c")
    assert output.rstrip().endswith("--beta 0 --gamma 0")
    follow(follow(output, "--output-dir", tmp_path / "out", *SMALL, *HERE), *HERE)


@pytest.mark.slow
def test_suggested_commands_name_the_newest_of_several_label_sets(videos, tmp_path):
    call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c")
    (tmp_path / "names.txt").write_text("open\nshut\n")
    output = call("relabel", "--cache-dir", tmp_path / "c", "--classes", tmp_path / "names.txt")
    assert output.rstrip().endswith("--label-set names --gamma 0")
    output = follow(output, "--output-dir", tmp_path / "out", *SMALL, *HERE)
    assert "--label-set names" in output.splitlines()[-1]
    follow(output, *HERE)
    output = call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c")
    assert "--label-set zero-shot" in output.splitlines()[-1]


@pytest.mark.integration
def test_no_command_is_suggested_without_clips_for_it(videos, tmp_path):
    shutil.copytree(videos / "test", tmp_path / "v" / "test")
    output = call("extract-teacher", "--data-dir", tmp_path / "v", "--cache-dir", tmp_path / "c")
    assert "has no training clip with a frame (0 train, 0 val, 2 test): add training videos" in output
    shutil.copytree(videos / "train", tmp_path / "w" / "train")
    output = call("extract-teacher", "--data-dir", tmp_path / "w", "--cache-dir", tmp_path / "d")
    output = follow(output, "--output-dir", tmp_path / "out", *SMALL, *HERE)
    assert "has no clip to evaluate the student on (2 train, 0 val, 0 test)" in output and "next:" not in output


@pytest.mark.integration
def test_suggested_commands_repair_a_damaged_cache(videos, tmp_path):
    cache = tmp_path / ODD
    cache.mkdir()
    call("extract-teacher", "--data-dir", videos, "--cache-dir", cache, "--shard-frames", "2")
    shard = cache / "frames" / "000001.h5"
    shard.write_bytes(shard.read_bytes()[:-3])
    output = call("verify-cache", "--cache-dir", cache, code=4)
    assert "no terminal to ask on" in follow(output, code=2)
    output = follow(output, "--yes")
    output = follow(output)
    assert "committed + 0 quarantined + 0 pending" in output
    output = call("convert-cache", "--cache-dir", cache, "--output-dir", tmp_path / "b c", "--backend", "webdataset")
    assert "sound: everything is as it was committed" in follow(output)


@pytest.mark.integration
def test_no_extraction_command_is_suggested_for_a_cache_without_saved_settings(videos, tmp_path):
    cache = tmp_path / "c"
    call("extract-teacher", "--data-dir", videos, "--cache-dir", cache)
    (cache / "extract_config.yaml").unlink()
    (cache / "frames" / "000000.h5").unlink()
    output = call("repair-cache", "--cache-dir", cache, "--yes")
    assert "next:" not in output and "run extract-teacher again with its original options" in output


@pytest.mark.slow
def test_suggested_evaluation_of_several_students_names_the_first(tmp_path):
    cache = make_tiny_cache(tmp_path / "c d", 6)
    small = ["--student-size", "tiny,xxs", "--no-student-pretrained", *SMALL[2:]]
    output = call("train-student", "--cache-dir", cache, "--output-dir", tmp_path / "o p", *small, *HERE)
    follow(output, *HERE)
    assert (tmp_path / "o p" / "tiny" / "evaluation_results.json").exists()


HOSTILE = '-it\'s a "folder"\n$HOME `id` me@host:x'  # what no shell, parser or log may take for anything else
PROGRAM = """
import sys
from embedonce import cli
from embedonce.pipeline.extraction import teacher_loading
from tests.console.test_next_commands import Teacher
teacher_loading.load_teacher = lambda config, cached=None: Teacher()
cli.run()
"""


def run_in_bash(line: str, folder: Path, code: int = 0) -> str:
    """Run a line as a user who pastes it; the whole output. Only the teacher is a fake."""
    ran = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == code, (line, ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.slow
def test_every_suggestion_runs_in_a_shell_whatever_folders_are_called(videos, tmp_path):
    """A chain of commands, each being what the one before printed, in a folder with a hostile name."""
    here = tmp_path / HOSTILE
    here.mkdir()
    shutil.copytree(videos, here / HOSTILE)
    (here / "cli.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}")
    python = f"{shlex.quote(sys.executable)} cli.py"
    odd = quoted(as_argument(HOSTILE))

    def suggested(output: str) -> str:
        (line,) = re.findall(r"next: (.*)", output)
        assert line.startswith((f"{python} ", "python cli.py ", "python3 cli.py ")), line
        return line

    def follow_in_bash(output: str, more: str = "", code: int = 0) -> str:
        return run_in_bash(f"{suggested(output)} {more}", here, code)

    cache = Path(HOSTILE) / "cache"
    small = shlex.join(map(str, [*SMALL, *HERE]))
    planned = run_in_bash(f"{python} plan --data-dir {odd} --no-store-logits", here)
    assert "--no-store-logits" in suggested(planned)
    extracted = follow_in_bash(planned, f"--cache-dir {quoted(as_argument(str(cache)))} --decode-workers 1")
    trained = follow_in_bash(extracted, f"--output-dir {odd}/out {small}")
    assert "report:" in follow_in_bash(trained, shlex.join(map(str, HERE)))
    # a second label set: from now on, one must be named
    (here / "names.txt").write_text("open\nshut\n")
    relabeled = run_in_bash(f"{python} relabel --cache-dir {odd}/cache --classes names.txt", here)
    trained = follow_in_bash(relabeled, f"--output-dir {odd}/out2 {small}")
    assert "--label-set names" in suggested(trained)
    follow_in_bash(trained, shlex.join(map(str, HERE)))
    # damage, repair, and the extraction that follows
    shard = next((here / cache / "frames").glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[:-3])
    verified = run_in_bash(f"{python} verify-cache --cache-dir {odd}/cache", here, code=4)
    repaired = follow_in_bash(verified, "--yes")
    assert "0 pending" in follow_in_bash(repaired)
    converted = run_in_bash(
        f"{python} convert-cache --cache-dir {odd}/cache --output-dir {odd}/b --backend webdataset", here
    )
    assert "sound: everything" in follow_in_bash(converted)


def test_settings_that_name_folders_elsewhere_are_no_command(tmp_path, monkeypatch):
    cache = make_tiny_cache(tmp_path / "c", 1)
    assert extract_line(cache).endswith("which this cache has not recorded")
    (cache / "extract_config.yaml").write_text("data_dir: my videos\nclasses: null\nmanifest: s3://b/c.csv\n")
    monkeypatch.chdir(tmp_path)
    assert "in the folder that it was run in: there is no my videos here" in extract_line(cache)
    (tmp_path / "my videos").mkdir()
    assert extract_line(cache).startswith("next: python cli.py extract-teacher --config ")
    (cache / "extract_config.yaml").write_text("- a list")
    assert extract_line(cache).startswith("next: python cli.py extract-teacher --config ")
    assert "which are in" in extract_line_of_a_bucket(cache, monkeypatch)


def extract_line_of_a_bucket(cache: Path, monkeypatch) -> str:
    from embedonce.cache.layout import Layout
    from embedonce.pipeline.console import next_commands

    layout = Layout.at(cache)
    monkeypatch.setattr(next_commands, "Layout", type("Layout", (), {"at": staticmethod(lambda where: layout)}))
    return extract_line("s3://bucket/cache")


def test_command_lines_are_quoted_and_options_without_a_value_left_out():
    options = {"cache_dir": Path("a b"), "label_set": None, "beta": 0, "overwrite": True, "student_size": ("a", "b")}
    assert command("x", options) == "python cli.py x --cache-dir 'a b' --beta 0 --overwrite --student-size a,b"
    odd = command("x", {"cache_dir": f"/tmp/{ODD}"})
    assert shlex.split(odd)[-1] == f"/tmp/{ODD}"
    assert shlex.split(command("x", {"cache_dir": Path("./~root")}))[-1] == "./~root"


def test_missing_ego4d_files_are_explained_with_a_download_command(tmp_path):
    from embedonce.pipeline.sources.ego4d.layout import ANNOTATIONS_ONLY, download_hint

    output = download_hint(tmp_path / "a b", ANNOTATIONS_ONLY)
    words = shlex.split(output.partition(": ")[2])
    assert words == ["python", "cli.py", "download-ego4d", "--data-dir", str(tmp_path / "a b"), "--num-videos", "0"]


def test_damage_names_the_first_affected_videos_and_counts_the_rest(tmp_path):
    cache = make_tiny_cache(tmp_path / "c", 1)
    reader = open_reader(cache)
    from embedonce.cache.errors import DamagedError, some

    assert some("abcdefgh", 5) == "a, b, c, d, e and 3 more" and some("ab") == "a, b"
    (cache / "frames" / "000000.h5").unlink()
    with pytest.raises(DamagedError, match=r"it holds the videos v0$"):
        reader.frames("000000")
