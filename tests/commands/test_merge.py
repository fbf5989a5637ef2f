"""The command merge: what it shows, how it ends, and what an extraction makes of the result."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.removal_document import Removal, begin_removal
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.local import LocalStore
from tests.conftest import make_cache_identity
from tests.support.cache_parts import make_cache
from tests.support.shared_units import LABELS, PLAIN, content, everything_below

A = {"a": range(6), "b": range(3)}
B = {"b": range(1, 7), "d": range(5)}


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def invoke(*arguments) -> tuple[int, str]:
    ran = CliRunner().invoke(cli.main, ["merge", *map(str, arguments)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.output


@pytest.fixture
def inputs(tmp_path) -> list[Path]:
    """Two caches about whose merging there is something to say of every kind."""
    a = make_cache(tmp_path / "a", A, {"x": range(3)}, label_sets=(LABELS, PLAIN), pending=1)
    same = {"copy": 64 * "d", "d": 64 * "d"}
    b = make_cache(
        tmp_path / "b",
        B | {"gone": range(2), "copy": range(1)},
        label_sets=(LABELS,),
        describe=lambda video: replace(video, fingerprint=same.get(video.uid, video.fingerprint)),
    )
    remove(b, videos_removal(["gone"], is_withdrawal=True))
    with closing(open_writer(b, open_reader(b).identity)) as writer:
        writer.quarantine("broken", QuarantinedVideo("broken.mp4", "no video stream", 1, 2))
    return [a, b]


def expected_lines(a: Path, b: Path, into: Path) -> list[str]:
    return [
        f"{a}: 2 videos with 9 frames",
        f"{b}: 3 videos with 12 frames",
        f"{into} (new): 4 new videos, 0 completed; 19 frames in 7 shards, about",
        "videos in several caches and equal, kept once: 1 (b)",
        f"withdrawn videos of the caches that {into} leaves out from now on: 1",
        "videos not extracted completely, left out as far as they are not; finish extract-teacher: 1 (x)",
        "videos new, with the content of another video: 2 (d, copy)",
        "videos in quarantine, carried over: 1 (broken)",
        "label set main: new, 2 classes, 4 new clips",
        "label set plain: new, 2 classes, 2 new clips",
        f"label set plain: not in {b}, so videos that are only there get no clips in it; label them with relabel",
    ]


def test_the_command_shows_merges_and_tells(tmp_path, inputs):
    into = tmp_path / "into"
    code, text = invoke(*inputs, into)
    lines = [line for line in text.splitlines() if not line.startswith("merging: ")]
    for line, expected in zip(lines, expected_lines(*inputs, into), strict=False):
        assert line.startswith(expected), line
    assert code == 0 and lines[-2:] == [
        f"{into}: 7 shards with 19 frames and 7 shards of logits written; it has 4 videos with 19 frames",
        f"next: python cli.py verify-cache --cache-dir {into}",
    ]
    assert "merging: 7/7 shards" in text and open_reader(into).num_rows == 19


def test_a_dry_run_shows_the_same_and_writes_nothing(tmp_path, inputs):
    into, before = tmp_path / "into", [everything_below(root) for root in inputs]
    code, text = invoke(*inputs, into, "--dry-run")
    assert code == 0 and text.splitlines()[-1] == "dry run: nothing was written"
    for line, expected in zip(text.splitlines(), expected_lines(*inputs, into), strict=False):
        assert line.startswith(expected), line
    assert not into.exists() and [everything_below(root) for root in inputs] == before
    invoke(*inputs, into)
    before = everything_below(into)
    with closing(open_writer(into, open_reader(into).identity)):  # while another process writes
        code, text = invoke(*inputs, into, "--dry-run")
    assert code == 0 and f"{into} (exists): 0 new videos, 0 completed; 0 frames in 0 shards" in text
    assert everything_below(into) == before


def test_what_a_target_makes_of_its_own_plan_and_quarantine_is_shown(tmp_path):
    into = make_cache(tmp_path / "into", {"z": range(2)}, {"d": range(3), "y": range(1)}, pending=1)
    b = make_cache(tmp_path / "b", {"a": range(2), "d": range(3)})
    with closing(open_writer(into, open_reader(into).identity)) as writer:
        writer.quarantine("a", QuarantinedVideo("a.mp4", "no video stream", 1, 2))
    code, text = invoke(b, into)
    assert code == 0 and f"{into} (exists): 1 new videos, 0 completed; 2 frames in 1 shards" in text
    assert "videos taken out of quarantine, because another cache has them: 1 (a)" in text
    assert f"shards that {into} has planned and of which the caches have only some frames: 1" in text
    remove(b, videos_removal(["d"], is_withdrawal=False))
    remove(into, videos_removal(["a"], is_withdrawal=True))
    assert "videos withdrawn from one of the caches (remove --video), left out: 1 (a)" in invoke(b, into)[1]


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        ("one argument", 2, "Missing argument"),
        ("the target twice", 2, "the same folder"),
        ("an input twice", 2, "given twice"),
        ("no cache", 4, "does not exist"),
        ("settings", 4, "fps: 2.0 -> 4.0"),
        ("content", 4, "different content: 1 (b: other files"),
        ("classes", 4, "label set 'main' is not the same in all caches"),
        ("interrupted", 4, "a removal was interrupted"),
        ("damaged", 4, "its SHA-256 is not the one that was committed"),
        ("no space", 5, "needs about"),
        ("unknown scheme", 5, "the scheme 's4' is not one of"),
    ],
)
def test_every_mistake_is_one_sentence_with_its_exit_code(tmp_path, monkeypatch, break_it, code, words):
    changes: dict = {
        "settings": {"identity": replace(make_cache_identity(), fps=4.0)},
        "content": {"describe": lambda video: replace(video, fingerprint=64 * "e")},
        "classes": {"label_sets": (replace(LABELS, classes=("cut", "peel")),)},
    }.get(break_it, {})
    a, b = make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", B, **changes)
    arguments = {
        "one argument": [a],
        "the target twice": [b, a, a],
        "an input twice": [a, b, a, tmp_path / "into"],
        "no cache": [a, tmp_path / "none", tmp_path / "into"],
        "unknown scheme": [a, "s4://bucket/cache"],
    }.get(break_it, [a, b, tmp_path / "into"])
    if break_it == "interrupted":
        begin_removal(Layout.at(a), Removal(videos=("a",)))
    if break_it == "damaged":
        shard = sorted((a / "frames").iterdir())[0]
        shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    if break_it == "no space":
        monkeypatch.setattr(LocalStore, "free_bytes", lambda store: 1000)
    found, text = invoke(*arguments)
    assert found == code and words in text and "Traceback" not in text, text
    assert break_it == "damaged" or not (tmp_path / "into").exists()
    error = next(line for line in text.splitlines() if "Error" in line)
    assert error == text.splitlines()[-1]


def test_urls_are_merged_as_folders_are(tmp_path):
    make_cache(tmp_path / "a", A)
    url = f"memory://{tmp_path.name}/into"
    for number, videos in enumerate((A, B)):
        root = make_cache(tmp_path / str(number), videos)
        assert invoke(root, url)[0] == 0
    assert content(url) == content(make_cache(tmp_path / "whole", {"a": range(6), "b": range(7), "d": range(5)}))
