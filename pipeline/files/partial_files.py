"""Files that appear under their names when they are whole, for what is generated. Knows paths and JSON, no content."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.errors import InputError

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
    partial_path(path).write_bytes(_json_bytes(document))
    publish(path)


def check_documents(documents: Mapping[Path, dict]) -> None:
    """InputError where one of these paths is taken by anything else than this very document."""
    for path, document in documents.items():
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == _json_bytes(document)):
            raise InputError(
                f"{path} is there and was not generated with these options: it is not replaced; give another folder, "
                "or move it away"
            )


def _json_bytes(document: dict) -> bytes:
    return json.dumps(document, indent=1).encode()
