"""docs/api.md: it is up to date, complete, and its examples run."""

import re
from pathlib import Path

import pytest

import embedonce
from embedonce.pipeline.api.cache import Cache
from embedonce.pipeline.api.document import document
from tests.support.documentation import code_blocks
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
RUNNING = "Extract, train, evaluate, export"


def test_the_page_is_up_to_date():
    command = "python -m embedonce.pipeline.api.document > docs/api.md"
    assert PAGE.read_text() == f"{document()}\n", f"run `{command}`"


def test_the_page_has_every_public_name():
    text = PAGE.read_text()
    missing = [name for name in embedonce.__all__ if name != "__version__" and not re.search(rf"\b{name}\b", text)]
    assert missing == []
    assert [name for name in vars(Cache) if not name.startswith("_") and f"#### `cache.{name}" not in text] == []


def run_blocks(blocks: list[str], scope: dict | None = None) -> dict:
    """The names that code defines, one block after another."""
    scope = {} if scope is None else scope
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), scope)
    return scope


@pytest.mark.integration
def test_the_examples_of_reading_run(tmp_path, monkeypatch, capsys):
    make_tiny_cache(tmp_path / "results" / "teacher_cache", 6)
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for heading in ("Read a cache", "With NumPy", "With PyTorch", "Search", "Errors"):
        blocks = code_blocks(PAGE, heading)
        assert len(blocks) == 1
        run_blocks(blocks, scope)
    assert (
        scope["embeddings"].shape[1:] == (4, 16)
        and (scope["predicted"] == scope["table"].label[~scope["is_train"]]).all()
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == repr(scope["cache"]) and "has no video 'no such video'" in printed[-1]


@pytest.mark.slow
def test_the_examples_of_running_run(tmp_path, monkeypatch, capsys):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        for label in ("open", "close"):
            folder = tmp_path / "my_videos" / split / label
            folder.mkdir(parents=True, exist_ok=True)
            write_video(folder / f"{name}.mp4", 30)
    (tmp_path / "my_videos" / "train" / "open" / "broken.mp4").write_bytes(b"no video")
    monkeypatch.chdir(tmp_path)
    scope = run_blocks(code_blocks(PAGE, RUNNING))
    assert scope["extracted"].committed == 6 and scope["evaluated"].results.num_clips == 2
    printed = capsys.readouterr().out
    assert "6 of 7 videos" in printed and "cannot be used: train/open/broken.mp4" in printed
    assert all(path.is_file() for path in scope["exported"].files.values())
