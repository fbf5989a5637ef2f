"""Error messages for configurations that cannot be built and for weights that nearly fit."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from embedonce.models.errors import ModelOptionError, WeightsError
from embedonce.models.teachers import weights
from embedonce.models.teachers.open_clip import load_teacher
from tests.models.teachers.test_teacher import SMALL

CPU = torch.device("cpu")
PREPROCESS = "mean=0.5,0.5,0.5;std=0.5,0.5,0.5;interpolation=bicubic;resize=squash"  # files do not say it


def write(folder: Path, name: str, changes: dict) -> str:
    document = json.loads(json.dumps(SMALL))
    for key, value in changes.items():
        document[key] = document[key] | value if isinstance(value, dict) else value
    (folder / name).write_text(json.dumps(document))
    return str(folder / name)


@pytest.mark.parametrize(
    "changes",
    [
        {"vision_cfg": {"bogus": 1}},
        {"text_cfg": {"heads": 3}},
        {"embed_dim": "x"},
        {"vision_cfg": [1]},
        {"bogus": 3},
        {"vision_cfg": {"timm_model_name": "nope"}},
    ],
)
def test_configurations_that_cannot_be_built_are_refused(tmp_path, changes):
    with pytest.raises(ModelOptionError, match="odd-clip cannot be built from its configuration") as caught:
        load_teacher(write(tmp_path, "odd-clip.json", changes), "random", None, CPU, 0)
    assert "download" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"vision_cfg": {"image_size": 96}}, {"text_cfg": {"context_length": 24}}])
@pytest.mark.integration
def test_weights_of_another_input_size_are_refused(tmp_path, changes):
    small = load_teacher(write(tmp_path, "small-clip.json", {}), "random", None, CPU, 0)
    safetensors.torch.save_file(small._clip.state_dict(), tmp_path / "w.safetensors")
    torch.save(small._clip.state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        with pytest.raises(WeightsError, match=r"does not hold weights of other-clip.*positional_embedding"):
            load_teacher(write(tmp_path, "other-clip.json", changes), str(tmp_path / name), None, CPU, 0, PREPROCESS)


def test_the_error_for_a_wrong_activation_names_the_configuration_field(tmp_path):
    small = load_teacher(write(tmp_path, "small-clip.json", {}), "random", None, CPU, 0)
    safetensors.torch.save_file(small._clip.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelOptionError, match=r'set "quick_gelu": false in its configuration$'):
        load_teacher(str(tmp_path / "small-clip.json"), str(tmp_path / "w.safetensors"), "gelu", CPU, 0)


UNREADABLE = [
    PermissionError(13, "Permission denied"),
    OSError(5, "Input/output error"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] data. DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", UNREADABLE)
def test_io_errors_of_weights_are_not_reported_as_damage(tmp_path, monkeypatch, error):
    def fail(path):
        raise error

    monkeypatch.setattr(weights, "check_entries", fail)
    (tmp_path / "w.safetensors").write_bytes(b"whole, for all we know")
    with pytest.raises(type(error)):
        load_teacher(write(tmp_path, "small-clip.json", {}), str(tmp_path / "w.safetensors"), None, CPU, 0, PREPROCESS)
