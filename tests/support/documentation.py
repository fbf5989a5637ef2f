"""Code blocks of the documents, so that tests can run what readers are told to write."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(path: Path, heading: str) -> str:
    """The text under a heading of a Markdown file (`## Heading`), up to the next heading of that level."""
    parts = re.split(r"^## (.+)$", path.read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    return sections[heading]


def code_blocks(path: Path, heading: str, language: str = "python") -> list[str]:
    """The fenced code blocks of one language under a heading, in order."""
    return [code for name, code in FENCE.findall(section(path, heading)) if name == language]
