"""Writing generated files under a temporary name, so that a file with its final name is always complete."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.errors import InputError

PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """The hidden temporary path that a file is written to before it is complete."""
    return path.with_name(f".{path.name}{PARTIAL}")


def publish(path: Path) -> None:
    """Flush a complete file to disk and rename it from its temporary path to its final one."""
    partial = partial_path(path)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, document: dict) -> None:
    """Write a JSON document and publish it; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path(path).write_bytes(_json_bytes(document))
    publish(path)


def check_documents(documents: Mapping[Path, dict]) -> None:
    """InputError if one of these paths exists and does not hold exactly this document."""
    for path, document in documents.items():
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == _json_bytes(document)):
            raise InputError(
                f"{path} exists and was not generated with these options: it is not replaced; give another folder, or "
                "move the file away"
            )


def _json_bytes(document: dict) -> bytes:
    return json.dumps(document, indent=1).encode()
