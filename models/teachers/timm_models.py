"""Image models of timm as teachers: pooled features without a classifier, and no text tower."""

import difflib
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from embedonce.models.archives import check_entries
from embedonce.models.errors import ModelError, ModelOptionError, WeightsError
from embedonce.models.hub import import_timm
from embedonce.models.machine_errors import is_of_the_disk, is_of_the_machine
from embedonce.models.names import RANDOM_WEIGHTS
from embedonce.models.plain_files import NotPlainError
from embedonce.models.preprocessing import INTERPOLATIONS
from embedonce.models.teachers.image_encoder import ImageEncoder
from embedonce.models.teachers.tensors import num_bytes, num_parameters, weights_sha256

PRETRAINED = "pretrained"  # weights: those that timm has for the name
PREFIX = "timm:"  # of names in identities
_CROP_MODES = {"center": "shortest", "squash": "squash"}  # timm's -> ours


def load_timm(name: str, weights: str, device: torch.device, seed: int) -> "TimmEncoder":
    """Load a model, ready to embed.

    Args:
        name: of timm, with or without a tag: `vit_small_patch14_dinov2.lvd142m`.
        weights: "pretrained", a local file, or "random".
        device: where to compute.
        seed: of random weights.

    Raises ModelError or a subclass.
    """
    full_name = checked_name(name, weights)
    model = _created(full_name, weights, seed)
    if weights not in (PRETRAINED, RANDOM_WEIGHTS):
        _load_file(model, full_name, Path(weights))
    kind = weights if weights in (PRETRAINED, RANDOM_WEIGHTS) else "file"
    return TimmEncoder(model.eval().requires_grad_(False), (full_name, kind), device)


class TimmEncoder(ImageEncoder):
    """A model of timm that embeds image crops."""

    def __init__(self, model: nn.Module, name_and_weights: tuple[str, str], device: torch.device):
        description = _describe(model, *name_and_weights)
        self._model: Any = model.to(device)
        super().__init__(description, device)

    def _encode(self, images: Tensor) -> Tensor:
        return _features(self._model, images)


def checked_name(name: str, weights: str) -> str:
    """The name with the tag that timm chooses if it has none. ModelOptionError if there is no such model, tag or file,
    or if the name must say which of its tags a file belongs to, because they are preprocessed differently."""
    timm = import_timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.3)
        raise ModelOptionError(f"timm has no model {architecture!r}; close names: {', '.join(close) or 'none'}")
    published = timm.list_pretrained(f"{architecture}.*")
    tags = [full_name.partition(".")[2] for full_name in published]
    if tag and tag not in tags:
        raise ModelOptionError(f"timm has no weights {tag!r} of {architecture}; it has {', '.join(tags) or 'none'}")
    if weights == PRETRAINED and not tags:
        raise ModelOptionError(f"timm has no weights of {architecture}: give a file with --teacher-weights FILE")
    if weights not in (PRETRAINED, RANDOM_WEIGHTS):
        _check_file(Path(weights), architecture, tag, published)
    default = timm.get_pretrained_cfg(architecture).tag
    return name if tag or not default else f"{architecture}.{default}"


def _check_file(path: Path, architecture: str, tag: str, published: list[str]) -> None:
    if not path.is_file():
        raise ModelOptionError(f"the weights file {path} does not exist")
    if not tag and len({_preprocessing_text(name) for name in published}) > 1:
        raise ModelOptionError(
            f"the weights of {architecture} that timm has are preprocessed differently: name the one that {path} was "
            f"trained from, such as --teacher-model {PREFIX}{published[0]}"
        )


def _preprocessing_text(full_name: str) -> str:
    config = import_timm().get_pretrained_cfg(full_name).to_dict()
    return str(sorted(import_timm().data.resolve_data_config(pretrained_cfg=config).items()))


def _created(full_name: str, weights: str, seed: int) -> nn.Module:
    is_pretrained = weights == PRETRAINED
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return import_timm().create_model(full_name, pretrained=is_pretrained, num_classes=0)
    except ImportError as error:
        raise ModelError(f"{full_name} of timm needs a package that is not installed: {_line(error)}") from error
    except Exception as error:  # timm's constructors and the hub's client raise many kinds
        if is_of_the_disk(error):
            raise
        if is_pretrained:
            raise ModelError(
                f"the weights of {full_name} could not be downloaded; connect to the network once, or use "
                "--teacher-weights FILE"
            ) from error
        raise ModelOptionError(f"{full_name} of timm cannot be built without a classifier: {_line(error)}") from error


def _load_file(model: nn.Module, full_name: str, path: Path) -> None:
    """Load weights whose tensors all match the model, except those of a classifier. None of a pickle's code runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about TorchScript archives before it raises
            check_entries(path)
            state = _state_of(path)
        model.load_state_dict(_without_classifier(model, state), strict=True)
    except NotPlainError as error:
        raise WeightsError(f"{path} holds no weights: it {error.strerror}") from error
    except Exception as error:  # torch's readers raise nearly every type of exception for damaged files
        if is_of_the_machine(error):
            raise
        if isinstance(error, RuntimeError) and "state_dict" in str(error):
            raise WeightsError(f"{path} does not hold weights of {full_name}: {_line(error)}") from error
        raise WeightsError(
            f"{path} is damaged or not a plain weights file, and was not loaded: use safetensors"
        ) from error


def _state_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name."""
    if path.suffix == ".safetensors":
        import safetensors.torch

        return safetensors.torch.load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):  # what training scripts wrap them in
        content = content[key] if isinstance(content.get(key), dict) else content
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _without_classifier(model: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    classifiers = model.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ([classifiers] if isinstance(classifiers, str) else classifiers))
    own = model.state_dict()
    return {name: tensor for name, tensor in state.items() if name in own or not name.startswith(prefixes)}


def _features(model: Any, images: Tensor) -> Tensor:
    return model.forward_head(model.forward_features(images), pre_logits=True)


def _describe(model: Any, full_name: str, weights: str) -> dict:
    preprocessing = _preprocessing(model, full_name)
    size = preprocessing["input_size"]
    count, size_bytes = num_parameters(model), num_bytes(model)
    return preprocessing | {
        "name": f"{PREFIX}{full_name}",
        "weights": weights,
        "weights_sha256": weights_sha256(model),
        "activation": "none",
        "embed_dim": _embed_dim(model, full_name, size),
        "parameters_image": count,
        "parameters_total": count,
        "bytes_image": size_bytes,
        "bytes_total": size_bytes,
    }


def _preprocessing(model: Any, full_name: str) -> dict:
    """timm's evaluation preprocessing of a model, in the words of a cache's TeacherIdentity."""
    config = import_timm().data.resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ModelOptionError(f"{full_name} takes images of {width}x{height} in {channels} channels, not square RGB")
    for key, known in (("crop_mode", _CROP_MODES), ("interpolation", INTERPOLATIONS)):
        if config[key] not in known:
            raise ModelOptionError(
                f"{full_name} has the {key} {config[key]!r}; only {' and '.join(known)} can be replayed"
            )
    return {
        "input_size": height,
        "mean": tuple(map(float, config["mean"])),
        "std": tuple(map(float, config["std"])),
        "interpolation": config["interpolation"],
        "resize_mode": _CROP_MODES[config["crop_mode"]],
        "crop_fraction": height / math.floor(height / config["crop_pct"]),  # timm resizes to whole pixels
    }


@torch.inference_mode()
def _embed_dim(model: nn.Module, full_name: str, size: int) -> int:
    try:
        vectors = _features(model.eval(), torch.zeros(1, 3, size, size))
        if vectors.ndim != 2:
            raise ValueError(f"its features have the shape {tuple(vectors.shape)}")
        return vectors.shape[1]
    except Exception as error:  # models without forward_head() or with other inputs raise many kinds
        if is_of_the_machine(error):
            raise
        raise ModelOptionError(f"{full_name} of timm gives no pooled features of an image: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
