"""Which checkpoint an export was made from, and its files: source.json, by which a later run tells whether it must
export again."""

import json
from collections.abc import Mapping
from pathlib import Path

from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError
from embedonce.cache.files import digest
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.files.recognition import changed_options, is_object

SOURCE_NAME = "source.json"
SETTINGS_NAME = "export_config.yaml"
MAY_DIFFER = ("output_dir", "cache_dir", "student_checkpoint", "overwrite", "local_cache_dir", "local_cache_gb")


def source_file(config: ExportConfig, files: Mapping[str, bytes]) -> bytes:
    """The content of source.json. files: content by name, of the files of the export that nobody edits."""
    hashes = {name: sha256(data) for name, data in files.items()}
    source = {"checkpoint": Path(config.student_checkpoint).name, "sha256": _sha256(config), "files": hashes}
    return json.dumps(source).encode()


def exported_checkpoint(folder: Path) -> str | None:
    """The SHA-256 of the checkpoint that the export in a folder was made from; None if it does not say."""
    source = folder / SOURCE_NAME
    content = source.read_bytes() if source.exists() else b""
    return str(json.loads(content)["sha256"]) if is_object(content, ("sha256",)) else None


def why_export(config: ExportConfig) -> str | None:
    """Why these settings must be exported; None if the output folder holds just this export."""
    settings, source = config.output_dir / SETTINGS_NAME, config.output_dir / SOURCE_NAME
    if not settings.exists():
        return "there is no export yet"
    if not source.exists():
        return "the last export does not say which checkpoint it is of"
    if changed := changed_options(settings.read_bytes(), config, MAY_DIFFER):
        return f"{', '.join(changed)} changed"
    if exported_checkpoint(config.output_dir) != _sha256(config):
        return "the last export is of another student"
    return _why_not_whole(config.output_dir, json.loads(source.read_bytes()).get("files"))


def _why_not_whole(folder: Path, hashes: object) -> str | None:
    """Which file of an export is not as it was written; None if all are. hashes: file name -> SHA-256."""
    if not isinstance(hashes, dict):
        return "the last export does not list its files"
    changed = (name for name, sha256 in hashes.items() if _hash(folder / name) != sha256)
    return next((f"{name} of the last export is missing or was changed" for name in changed), None)


def _hash(path: Path) -> str | None:
    try:
        return digest(path)[1]
    except (DamagedError, OSError):
        return None


def _sha256(config: ExportConfig) -> str:
    return digest(Path(config.student_checkpoint).resolve())[1]
