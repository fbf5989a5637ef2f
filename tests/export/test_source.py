"""Whether an export is still the one of its checkpoint and settings, and whole."""

from dataclasses import replace

from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.source import SETTINGS_NAME, SOURCE_NAME, exported_checkpoint, source_file, why_export


def exported(tmp_path) -> ExportConfig:
    student, folder = tmp_path / "best_student.pt", tmp_path / "export"
    student.write_bytes(b"weights")
    folder.mkdir()
    config = ExportConfig(tmp_path / "cache", student, folder)
    assert why_export(config) == "there is no export yet" and exported_checkpoint(folder) is None
    (folder / SETTINGS_NAME).write_text(config.as_yaml())
    assert why_export(config) == "the last export does not say which checkpoint it is of"
    (folder / "frames.onnx").write_bytes(b"model")
    (folder / SOURCE_NAME).write_bytes(source_file(config, {"frames.onnx": b"model"}))
    assert why_export(config) is None
    return config


def test_an_export_is_known_by_its_checkpoint_and_settings(tmp_path):
    config = exported(tmp_path)
    assert why_export(replace(config, cache_dir=tmp_path / "moved")) is None
    assert why_export(replace(config, formats="fp32", seed=3)) == "--formats, --seed changed"
    config.student_checkpoint.write_bytes(b"others")
    assert why_export(config) == "the last export is of another student"
    (config.output_dir / SOURCE_NAME).write_bytes(b"[")
    assert why_export(config) == "the last export is of another student"


def test_an_export_that_lacks_a_file_or_has_a_damaged_one_is_not_done(tmp_path):
    config = exported(tmp_path)
    (config.output_dir / "frames.onnx").write_bytes(b"mod")
    assert why_export(config) == "frames.onnx of the last export is missing or was changed"
    (config.output_dir / "frames.onnx").unlink()
    assert why_export(config) == "frames.onnx of the last export is missing or was changed"
    (config.output_dir / SOURCE_NAME).write_bytes(source_file(config, {}).replace(b"files", b"older"))
    assert why_export(config) == "the last export does not list its files"
