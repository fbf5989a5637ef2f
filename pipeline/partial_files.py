"""Files that appear under their names when they are whole, for what is generated. Knows paths and JSON, no content."""

import json
import os
from pathlib import Path

PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """Where a file is written before it gets its name; hidden, so that nobody takes it for a finished one."""
    return path.with_name(f".{path.name}{PARTIAL}")


def publish(path: Path) -> None:
    """Give a finished file its name, its bytes on disk first: what has the name counts as whole ever after."""
    partial = partial_path(path)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, document: dict) -> None:
    """Publish a document under path, in a folder that is made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path(path).write_text(json.dumps(document, indent=1), "utf-8")
    publish(path)
