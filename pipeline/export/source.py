"""Which checkpoint an export was made from: source.json, by which a later run tells whether it must export again."""

import json
from pathlib import Path

from embedonce.cache.files import digest
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.files.recognition import changed_options, is_object

SOURCE_NAME = "source.json"
SETTINGS_NAME = "export_config.yaml"
MAY_DIFFER = ("output_dir", "cache_dir", "student_checkpoint", "overwrite", "local_cache_dir", "local_cache_gb")


def source_file(config: ExportConfig) -> bytes:
    """The content of source.json."""
    return json.dumps({"checkpoint": Path(config.student_checkpoint).name, "sha256": _sha256(config)}).encode()


def why_export(config: ExportConfig) -> str | None:
    """Why these settings must be exported; None if the output folder holds just this export."""
    settings, source = config.output_dir / SETTINGS_NAME, config.output_dir / SOURCE_NAME
    if not settings.exists():
        return "there is no export yet"
    if not source.exists():
        return "the last export does not say which checkpoint it is of"
    if changed := changed_options(settings.read_bytes(), config, MAY_DIFFER):
        return f"{', '.join(changed)} changed"
    content = source.read_bytes()
    is_same = is_object(content, ("sha256",)) and json.loads(content)["sha256"] == _sha256(config)
    return None if is_same else "the last export is of another student"


def _sha256(config: ExportConfig) -> str:
    return digest(Path(config.student_checkpoint).resolve())[1]
