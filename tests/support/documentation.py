"""Code blocks and links of the documents, so that tests can run what readers are told to write."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("python", "make", "pip", "torchrun", "source")


def documents() -> list[Path]:
    """The Markdown files that a user or contributor reads."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "models" / "teachers" / "README.md",
    ]


def section(path: Path, heading: str) -> str:
    """The text under a heading of a Markdown file (`## Heading` or deeper), up to the next heading of its level.

    KeyError if there is no such heading.
    """
    for level in (2, 3):
        parts = re.split(rf"^#{{{level}}} (.+)$", path.read_text(), flags=re.MULTILINE)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        if heading in sections:
            return re.split(rf"^#{{1,{level}}} ", sections[heading], flags=re.MULTILINE)[0]
    raise KeyError(heading)


def code_blocks(path: Path, heading: str | None = None, language: str = "python") -> list[str]:
    """The fenced code blocks of one language ("" for none), in a whole file or under a heading, in order."""
    text = path.read_text() if heading is None else section(path, heading)
    return [code for name, code in FENCE.findall(text) if name == language]


def shell_commands(path: Path, heading: str | None = None) -> list[list[str]]:
    """The commands of all blocks without a language, as words; lines that continue are joined, comments left out."""
    lines = [line for block in code_blocks(path, heading, "") for line in block.replace("\\\n", " ").splitlines()]
    commands = [line for line in lines if line.split(" ")[0] in PROGRAMS]
    return [shlex.split(line, comments=True) for line in commands]


def links(path: Path) -> list[tuple[str, str]]:
    """The relative links of a file: (path, anchor), either of them empty if there is none."""
    targets = re.findall(r"\]\((?!https?:)([^)\s#]*)#?([^)\s]*)\)", path.read_text())
    return [(file, anchor) for file, anchor in targets if file or anchor]


def anchors(path: Path) -> set[str]:
    """The anchors of a file's headings, as they are made from their text."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, below their heads, without backticks."""
    rows = re.findall(r"^\|(.+)\|$", re.sub(r"^\|.+\|\n\|-.+\|$", "", text, flags=re.MULTILINE), re.MULTILINE)
    return [[cell.strip().replace("`", "") for cell in row.split("|")] for row in rows]
