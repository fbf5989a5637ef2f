"""Text from outside is escaped wherever it is shown: on a terminal, in logs, in tables, in Markdown."""

import ast
import csv
import fcntl
import io
import logging
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.pipeline import progress
from embedonce.pipeline.commands import repair_cache
from embedonce.pipeline.console import standard_streams
from embedonce.pipeline.console.next_commands import command
from embedonce.pipeline.console.printable import block, csv_cell, markdown, markdown_code, one_line, printable
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.compare import _as_csv
from embedonce.pipeline.export.card import model_card
from embedonce.pipeline.export.facts import HeldOutFacts
from embedonce.pipeline.export.parity import Parity
from embedonce.pipeline.export.registry import load_format
from tests.support.export_facts import make_facts

ROOT = Path(__file__).parents[2]
EVIL = "x\nsound: everything\r\x1b[2K\x1b]0;t\x07\u202eevil\u2066\x9b31m\u2028\x00\udcff"
EFFECTS = ("\r", "\x1b", "\x07", "\u202e", "\u2066", "\x9b", "\u2028", "\x00", "\udcff", "\x85", "\u200b")


def check_harmless(text: str) -> None:
    assert not [char for char in EFFECTS if char in text], repr(text)
    assert not [line for line in text.splitlines() if line.startswith("sound")], text


def test_control_characters_are_escaped_and_other_text_is_unchanged():
    check_harmless(one_line(EVIL))
    assert one_line("a\nb\tc\x1b[0m\u202e\U000e0041") == "a\\nb\\tc\\x1b[0m\\u202e\\U000e0041"
    for word in ("café", "切る", "می‌خواهم", "👩‍🍳 cooks", "plain / text = 'yes'"):
        assert one_line(word) == printable(word) == word
    assert printable("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert block(["a\nb", Path("c\rd")]) == "a\\nb\nc\\rd"


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify-cache", "--cache-dir", f"/nowhere/{EVIL}".replace("\x00", "")],
        ["extract-teacher", "--classes", EVIL.replace("\x00", "")],
        ["extract-teacher", "--data-dir", EVIL.replace("\x00", "")],
        ["extract-teacher", f"--{EVIL}"],
        ["extract-teacher", "--backend", EVIL],
        ["extract-teacher", "--fps", EVIL],
        [EVIL],
    ],
)
def test_messages_of_click_and_errors_are_escaped(arguments):
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code in (2, 4) and "Error: " in result.output
    check_harmless(result.output)


def test_details_of_an_error_are_one_line_each(monkeypatch):
    def refuse(*_):
        raise InputError(f"first {EVIL}").with_details([f"second {EVIL}", "third"])

    monkeypatch.setattr(repair_cache, "_repaired", refuse)
    output = CliRunner().invoke(cli.main, ["repair-cache"]).output
    check_harmless(output)
    assert [line.split(" ")[0] for line in output.splitlines()] == ["Error:", "second", "third"]


def test_log_records_are_one_line_each_and_progress_bars_escape_names(capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    with standard_streams.guarded():
        standard_streams.log_to_stderr()
        logging.getLogger("embedonce.pipeline.some").info("found %s", EVIL)
        with progress.Progress(2, "scanning", "videos") as bar:
            bar.note(f"quarantined {EVIL}")
        sys.stderr.write(f"{EVIL}\n")  # anything else, such as a library's warning
        click.echo(f"a title\nand {EVIL.splitlines()[-1]}")
    output = capsys.readouterr()
    assert [line.split(" ")[0] for line in output.err.splitlines()[:2]] == ["found", "quarantined"]
    check_harmless("".join(output.err.splitlines()[:2]) + output.out)
    assert not [char for char in EFFECTS if char in output.err]


def test_a_progress_bar_on_a_terminal_redraws_its_line_and_escapes_notes():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    code = (
        "from embedonce.pipeline import progress; from embedonce.pipeline.console import standard_streams as streams\n"
        "with streams.guarded(), progress.Progress(2, 'scanning', 'videos') as bar:\n"
        "    bar.update(); bar.note('quarantined a\\nsound\\x1b[2K\\r'); bar.update()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=slave, check=True)
    os.close(slave)
    output = b""
    try:
        while piece := os.read(master, 65536):
            output += piece
    except OSError:  # Linux's end of a terminal
        pass
    os.close(master)
    assert b"\rscanning" in output and b"quarantined a\\nsound\\x1b[2K\\r" in output and b"\x1b" not in output


def test_suggested_commands_can_be_pasted_for_any_path():
    path = "a b'\n\x1b[31m\u202e$(x)`y`\\n\udcff"
    line = command("verify-cache", {"cache_dir": path})
    check_harmless(line)
    script = f'set -- {line}; printf %s "$5"'
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
    assert found == os.fsencode(path)
    plain = command("verify-cache", {"cache_dir": "a b"})
    assert shlex.split(plain)[-1] == "a b" and "$'" not in plain


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r", " =", "\n=", "＝"])
def test_spreadsheets_do_not_evaluate_text_cells(start):
    row = {"name": f'{start}HYPERLINK("x")', "top1": -0.5, "count": -3, "none": None, "word": "a=b"}
    (read,) = csv.DictReader(io.StringIO(_as_csv([row]).decode(), newline=""))
    assert read["name"] == f"'{row['name']}"
    assert (read["top1"], read["count"], read["none"], read["word"]) == ("-0.5", "-3", "", "a=b")
    assert csv_cell(-1.5) == -1.5 and csv_cell(None) is None


def test_a_model_card_escapes_markup_in_names():
    evil = "x\n---\nlicense: mine\n# Title <script>alert(1)</script> [a](http://b) ![i](u) | *b* `c` www.d.e"
    parity = Parity(clips=3, max_difference=0.0, rounding=0.0, agreement=1.0, cosine=1.0, top1=0.5)
    exported = {"frames.int8.onnx": 1}, {"int8": parity}, {"int8": load_format("int8")}

    def card_of(text: str, classes: list[str]) -> str:
        student = {"size": text, "resolution": 128, "embed_dim": 8}
        facts = make_facts(student, classes, text, crop="none", interpolation=text)
        return model_card(facts, HeldOutFacts(text, text, text, 0.5, None), *exported)

    card, plain = card_of(evil, [evil, "wash_dishes"]), card_of("s", ["c", "d"])
    assert len(card.splitlines()) == len(plain.splitlines())
    assert card.split("---\n")[1] == plain.split("---\n")[1] and "<script" not in card.replace("`", "")[:400]
    outside_code = "".join(card.split("``")[::2])
    for markup in ("<script", "[a](", "![i]", " *b*", "www.d"):
        assert markup not in outside_code, markup
    assert "wash\\_dishes" in card
    assert markdown("a|b") == "a\\|b" and markdown_code("a`b") == "`` a`b ``"


@pytest.mark.integration
def test_output_is_printed_only_by_the_modules_that_escape_it():
    """click.echo, print and the standard streams are used only where text is escaped."""
    doors = {
        "commands/output.py",
        "commands/error_reporting.py",
        "console/standard_streams.py",
        "progress.py",
        "demo_teacher/train.py",
        "api/document.py",
    }
    doors = {ROOT / "pipeline" / name for name in doors}
    past = []
    before_imports = ("cli.py", "sys.stderr.write")  # that nothing is installed
    for path in [ROOT / "cli.py", *(ROOT / "pipeline").rglob("*.py"), *(ROOT / "cache").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            is_past = name in ("click.echo", "print", "sys.stdout.write", "sys.stderr.write")
            if is_past and path not in doors and (path.name, name) != before_imports:
                past.append(f"{path.name}:{node.lineno} {name}")
    assert past == []
