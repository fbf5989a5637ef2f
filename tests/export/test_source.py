"""Whether an export is still the one of its checkpoint and settings."""

from dataclasses import replace

from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.source import SETTINGS_NAME, SOURCE_NAME, source_file, why_export


def test_an_export_is_known_by_its_checkpoint_and_settings(tmp_path):
    student, folder = tmp_path / "best_student.pt", tmp_path / "export"
    student.write_bytes(b"weights")
    folder.mkdir()
    config = ExportConfig(tmp_path / "cache", student, folder)
    assert why_export(config) == "there is no export yet"
    (folder / SETTINGS_NAME).write_text(config.as_yaml())
    assert why_export(config) == "the last export does not say which checkpoint it is of"
    (folder / SOURCE_NAME).write_bytes(source_file(config))
    assert why_export(config) is None and why_export(replace(config, cache_dir=tmp_path / "moved")) is None
    assert why_export(replace(config, formats="fp32", seed=3)) == "--formats, --seed changed"
    student.write_bytes(b"others")
    assert why_export(config) == "the last export is of another student"
    (folder / SOURCE_NAME).write_bytes(b"[")
    assert why_export(config) == "the last export is of another student"
