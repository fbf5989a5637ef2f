"""A student that is pushed to the hub is loaded from there by timm; nothing of this machine goes with it."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from embedonce.models.student import VideoStudent
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.checkpoint import CheckpointTeacher
from embedonce.pipeline.export.folder import MARK, publish
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.source import SOURCE_NAME, source_file
from embedonce.pipeline.export.weights import weight_files
from tests.commands.test_cli import call, error_of
from tests.models.test_deploy import student_of
from tests.support.export_facts import make_facts
from tests.support.fake_hub import TOKEN, hub

__all__ = ["hub"]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # huggingface_hub's own
]
REPO, CLASSES = "ann/student", "abcdefg"
CARD = '---\nlibrary_name: timm\n---\n# Student\n\n`timm.create_model("local-dir:THIS_FOLDER", pretrained=True)`\n'


@pytest.fixture(scope="module")
def student() -> VideoStudent:
    return student_of("tiny")


@pytest.fixture
def export(student, tmp_path) -> Path:
    """The folder of an export without ONNX files."""
    facts = make_facts(student=dataclasses.asdict(student.config), classes=list(CLASSES))
    files = weight_files(student, facts) | {"README.md": CARD.encode(), "parity.json": b"{}"}
    publish(tmp_path / "export", files | {MARK: b"cache_dir: /home/ann/cache\n"}, overwrite=False)
    return tmp_path / "export"


def words(export: Path, *more) -> list:
    return ["push-student", "--export-dir", export, "--repo", REPO, "--license", "apache-2.0", *more]


def write_checkpoint(student: VideoStudent, path: Path, classes: str = CLASSES) -> Path:
    meta = {"student": dataclasses.asdict(student.config), "classes": list(classes), "frames_per_clip": 2}
    meta["teacher"] = dataclasses.asdict(CheckpointTeacher("fake", "0" * 64, student.config.embed_dim))
    checkpoint.write_tensors(path, {"format": checkpoint.FORMAT, **meta, "model": student.state_dict()})
    return path


@torch.inference_mode()
def test_timm_loads_a_pushed_student(student, export, hub, tmp_path):
    import timm

    from embedonce.models import timm_registry

    call(*words(export))
    assert timm.is_model(timm_registry.embedonce_tiny.__name__)
    loaded = timm.create_model(f"hf-hub:{REPO}", pretrained=True, cache_dir=tmp_path / "timm").eval()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(loaded(images), student.eval().backbone(images), rtol=1e-5, atol=1e-5)
    uploaded = hub.content(REPO, "model")
    assert set(uploaded) == {
        *("README.md", "config.json", "model.safetensors", "parity.json", "student_parts.safetensors"),
        ".gitattributes",
    }
    assert b"/home/ann" not in b"".join(uploaded.values())
    card = uploaded["README.md"].decode()
    assert card.startswith("---\nlicense: apache-2.0\n") and f"hf-hub:{REPO}" in card and "THIS_FOLDER" not in card


def test_a_checkpoint_is_uploaded_beside_its_export(student, export, hub, tmp_path):
    path = write_checkpoint(student, tmp_path / "best_student.pt")
    call(*words(export, "--student-checkpoint", path, "--private"))
    assert hub.content(REPO, "model")["student.pt"] == path.read_bytes()
    assert hub.repositories["model", REPO].is_private
    other = write_checkpoint(student, tmp_path / "other.pt", classes="abcdefx")
    assert "is another student than the one exported" in error_of(*words(export, "--student-checkpoint", other))


def test_a_checkpoint_with_other_weights_is_refused(student, export, hub, tmp_path):
    path = write_checkpoint(student, tmp_path / "best_student.pt")
    (export / SOURCE_NAME).write_bytes(source_file(ExportConfig(tmp_path, path, export), {}))
    call(*words(export, "--student-checkpoint", path))
    retrained = copy.deepcopy(student)
    torch.nn.init.ones_(next(retrained.parameters()))
    other = write_checkpoint(retrained, tmp_path / "other.pt")  # of the same settings
    assert "is not the checkpoint that was exported" in error_of(*words(export, "--student-checkpoint", other))


def test_a_second_push_replaces_the_first_and_nothing_else(export, hub):
    call(*words(export, "--revision", "v2"))
    (export / "parity.json").unlink()
    (export / "config.json").write_bytes((export / "config.json").read_bytes() + b"\n")
    call(*words(export, "--revision", "v2"))
    uploaded = hub.content(REPO, "model", "v2")
    assert "parity.json" not in uploaded and uploaded["config.json"].endswith(b"\n")
    repository = hub.repositories["model", REPO]
    repository.add_commit({**repository.head, "README.md": b"mine"})
    call(*words(export))
    assert hub.content(REPO, "model")["README.md"] == b"mine"
    repository.add_commit({**repository.head, "notes.md": b"mine"})
    assert "holds notes.md, which is not of a student" in error_of(*words(export))


def test_a_dry_run_sends_nothing(export, hub):
    output = call(*words(export, "--dry-run"))
    assert "model.safetensors: " in output and f"hf-hub:{REPO}" in output and hub.requests == []


def test_what_is_no_whole_export_is_refused(export, hub, tmp_path):
    assert "does not hold an export; next: python cli.py export-student" in error_of(*words(tmp_path))
    data = (export / "model.safetensors").read_bytes()
    (export / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "is damaged" in error_of(*words(export), code=4)
    (export / "model.safetensors").unlink()
    assert "lacks model.safetensors" in error_of(*words(export), code=4)
    assert "--license must be" in error_of("push-student", "--export-dir", export, "--repo", REPO)
    assert hub.requests == []


def test_a_refused_token_is_not_printed(export, hub):
    hub.readers = ()
    error = error_of(*words(export), code=5)
    assert "does not accept the token" in error and TOKEN not in error
