"""The command plan: clips by class and split, and what is odd, for any source."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_cli import ROOT, call, error_of
from tests.support.ego4d_files import U1, U2, label, moments_video, narrated, narration, write
from tests.support.folders import touch


@pytest.fixture
def folder(tmp_path) -> Path:
    touch(tmp_path / "videos", "cut/1.mp4", "cut/2.mp4", "stir pot/3.mp4")
    rows = [
        "video,label,split",
        "videos/cut/1.mp4,cut,train",
        "videos/cut/2.mp4,cut,val",
        "videos/stir pot/3.mp4,stir,train",
    ]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    return tmp_path


def cells(output: str, name: str) -> list[str]:
    """The cells of a row of the table."""
    (line,) = (line for line in output.splitlines() if line.startswith(f"  {name} "))
    return line.removeprefix(f"  {name} ").partition("<-")[0].split()


def test_the_table_of_a_manifest_and_what_is_odd(folder):
    output = call("plan", "--manifest", folder / "clips.csv")
    assert "files: clips.csv lists 3 clips of 3 videos" in output and "videos by class and split" in output
    assert cells(output, "cut") == ["1", "0", "1", "2"] and cells(output, "stir") == ["1", "0", "0", "1"]
    assert "classes with a single clip: 1 of 2 ('stir')" in output
    assert "classes with no validation clip: 1 of 2 ('stir')" in output
    assert output.splitlines()[-1] == f"next: python cli.py extract-teacher --manifest {folder / 'clips.csv'}"


def test_a_video_that_cannot_be_reached_is_named(folder):
    rows = ["video,label", "videos/cut/1.mp4,cut", "http://127.0.0.1:1/a.mp4?token=SECRET,cut"]
    (folder / "clips.csv").write_text("\n".join(rows))
    output = call("plan", "--manifest", folder / "clips.csv")
    assert "videos that cannot be used: 1 (http://127.0.0.1:1/a.mp4: " in output and "SECRET" not in output


def test_the_table_of_a_folder_and_of_each_kind_of_annotation(folder, tmp_path):
    output = call("plan", "--data-dir", folder / "videos")
    assert cells(output, "cut")[-1] == "2" and "layout: classes" in output
    ego4d = write(
        tmp_path / "ego4d",
        {
            "moments_train.json": {"videos": [moments_video(U1, "train", [label("wash hands")])]},
            "moments_val.json": {"videos": [moments_video(U2, "val", [label("cook")])]},
            "narration.json": {uid: narrated(narration(1.0), narration(9.0)) for uid in (U1, U2)},
        },
    )
    output = call("plan", "--data-dir", ego4d, "--annotations", "moments,narrations")
    assert "moments: clips by class and split" in output and "narrations: clips by class and split" in output


def test_prompts_are_checked_as_an_extraction_would(folder, caplog):
    data = ("--manifest", folder / "clips.csv", "--prompts")
    (folder / "same.txt").write_text("{}\n")
    assert call("plan", *data, folder / "same.txt").splitlines()[-1].endswith(f"--prompts {folder / 'same.txt'}")
    (folder / "same.json").write_text('{"cut": "a knife", "stir": "a knife"}')
    call("plan", *data, folder / "same.json")
    assert "class prompts are the same for 'cut' and 'stir'" in caplog.text
    assert "--prompts is for --teacher-head zero-shot" in error_of(
        "plan", *data, folder / "same.txt", "--teacher-head", "fitted"
    )


def test_problems_are_one_list_and_exit_code_2(folder):
    (folder / "clips.csv").write_text("video,end\nvideos/cut/1.mp4,x\nnone.mp4,\n")
    output = call("plan", "--manifest", folder / "clips.csv", code=2)
    assert output.splitlines() == [
        f"Error: 2 problems in {folder / 'clips.csv'}:",
        "  line 2: end: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), got 'x'",
        "  line 3: video: none.mp4: there is no such file",
    ]
    assert error_of("plan").endswith("no data: name a folder with --data-dir, or a table of clips with --manifest")
    assert "--skip-missing requires --manifest" in error_of("plan", "--data-dir", folder, "--skip-missing")


def test_what_extraction_would_refuse_is_refused(folder):
    touch(folder / "codes", "c01/1.mp4", "c02/2.mp4")
    assert "2 of 2 class names are codes ('c01', 'c02')" in error_of("plan", "--data-dir", folder / "codes")
    assert "c01" in call("plan", "--data-dir", folder / "codes", "--teacher-head", "none")


def test_a_plan_follows_its_options(folder):
    videos, table = folder / "videos", folder / "clips.csv"
    (folder / "names.txt").write_text("one\ntwo\n")
    (folder / "map.csv").write_text("cut,Slice\nstir pot,Mix\n")
    plain = call("plan", "--data-dir", videos)

    def planned(*options) -> str:
        output = call("plan", "--data-dir", videos, *options)
        assert output != plain and output.splitlines()[-1].startswith(plain.splitlines()[-1] + " --")
        return output

    assert "layout: flat" in planned("--layout", "flat")
    assert "  2 classes" in planned("--classes", folder / "names.txt") and "one" in planned(
        "--classes", folder / "names.txt"
    )
    assert cells(planned("--class-names", folder / "map.csv"), "Slice")[-1] == "2"
    assert cells(planned("--num-actions", "1"), "(no class)")[-1] == "1"
    for options in (
        ("--label-set", "mine"),
        ("--no-store-logits",),
        ("--prompt-style", "v1"),
        ("--teacher-head", "none"),
    ):
        assert planned(*options).splitlines()[-1].endswith(" ".join(options))
    table.write_text(table.read_text() + "\nnone.mp4,cut,val")
    output = call("plan", "--data-dir", folder, "--manifest", table, "--skip-missing")
    assert "videos that do not exist, whose rows are left out: 1 (none.mp4)" in output
    assert f"--manifest {table} --skip-missing" in output


CODE = """
import json, sys
from embedonce import cli
try:
    cli.main(json.loads(sys.argv[1]), standalone_mode=False)
finally:
    print(sorted(name for name in ("torch", "av", "open_clip", "timm") if name in sys.modules))
"""


@pytest.mark.integration
def test_neither_torch_nor_a_video_decoder_is_loaded(folder):
    arguments = json.dumps(["plan", "--manifest", str(folder / "clips.csv")])
    ran = subprocess.run([sys.executable, "-c", CODE, arguments], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.splitlines()[-1] == "[]", ran.stderr
