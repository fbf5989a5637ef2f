"""Builds open_clip models and loads their weights, with all checks. The only importer of open_clip."""

import hashlib
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from embedonce.models.archives import check_entries
from embedonce.models.errors import ModelError, ModelOptionError, WeightsError
from embedonce.models.hub import missing_package, quiet_hub, require_text_packages
from embedonce.models.machine_errors import is_of_the_disk, is_of_the_machine
from embedonce.models.names import OWN_WEIGHTS, SHIPPED_WEIGHTS, has_own_weights
from embedonce.models.names import RANDOM_WEIGHTS as RANDOM
from embedonce.models.plain_files import NotPlainError
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.configuration import SHIPPED, Configuration, own_weights, read_configuration
from embedonce.models.teachers.preprocessing import default_preprocessing, from_option, preprocessing_of, tags_of

# What open_clip's constructors raise for a configuration with wrong fields or sizes, or for a missing package
_BUILD_ERRORS: tuple[type[Exception], ...] = (
    *(OSError, RuntimeError, ImportError, TypeError, ValueError),
    *(LookupError, AttributeError, AssertionError, ArithmeticError),
)
POSITIONS = ("visual.positional_embedding", "positional_embedding", "text.positional_embedding")
ACTIVATIONS = {True: "quickgelu", False: "gelu"}


def build(
    model: str,
    weights: str,
    activation: str | None,
    seed: int,
    preprocess: str | None = None,
    known: Preprocessing | None = None,
) -> tuple[nn.Module, object, str]:
    """(model on the CPU in float32, its tokenizer, its name); its preprocessing is in `visual.preprocess_cfg`.

    Arguments and errors as in models.teachers.open_clip.load_teacher().
    """
    open_clip = import_open_clip()
    configuration = read_configuration(open_clip, model)
    to_load = _checked_weights(open_clip, model, weights, activation, configuration)
    name = configuration.name
    option = from_option(open_clip, name, preprocess)
    kind = "file" if weights == OWN_WEIGHTS else weights_kind(weights)
    stated = configuration.preprocessing
    chosen = preprocessing_of(open_clip, (name, configuration.is_file), kind, stated, option, known)
    require_text_packages(name, configuration.content, "hf_model_name", "hf_tokenizer_name")
    return _create(open_clip, configuration, to_load, seed, chosen), _tokenizer(open_clip, configuration), name


def check_options(model: str, weights: str, activation: str | None) -> None:
    """Raise ModelOptionError if these options contradict each other, without loading weights."""
    open_clip = import_open_clip()
    _checked_weights(open_clip, model, weights, activation, read_configuration(open_clip, model))


def _checked_weights(open_clip, model: str, weights: str, activation: str | None, configuration: Configuration) -> str:
    """The weights to load: a tag, a file or "random". Raises ModelOptionError if the activation does not fit them."""
    name, actual = configuration.name, configuration.activation or "gelu"
    kind = weights_kind(weights)
    if kind == "file":
        _check_local_activation(configuration, activation, Path(weights))
        return weights
    if is_shipped(name, weights):
        weights = str(_shipped_weights(name, model))
    elif kind == OWN_WEIGHTS and has_own_weights(model):
        weights = str(own_weights(open_clip, model))
    elif kind != RANDOM:
        _check_tag(open_clip, name, kind, actual)
    if activation is not None and activation != actual:
        raise ModelOptionError(
            f"{name} with the weights {kind!r} uses {actual}, not {activation}; leave out --teacher-activation: it is "
            "for local weights files"
        )
    return weights


def architecture(model: str) -> nn.Module:
    """A model with random weights and default preprocessing on the CPU, for timing; without a tokenizer."""
    open_clip = import_open_clip()
    configuration = read_configuration(open_clip, model)
    require_text_packages(configuration.name, configuration.content, "hf_model_name")
    return _create(open_clip, configuration, RANDOM, 0, default_preprocessing(open_clip))


def weights_kind(weights: str) -> str:
    """What the weights are: "random", "file", or the tag itself."""
    return "file" if weights != RANDOM and (Path(weights).suffix or Path(weights).is_file()) else weights


def is_shipped(name: str, weights: str) -> bool:
    """Whether these weights are part of the package."""
    return SHIPPED_WEIGHTS.get(name) == weights


def _shipped_weights(name: str, model: str) -> Path:
    """The weights file of a shipped model, with its SHA-256 checked: safetensors files have no checksum."""
    path = SHIPPED / f"{name}.safetensors"
    if model.endswith(".json") and Path(model).resolve() != (SHIPPED / f"{name}.json").resolve():
        raise ModelOptionError(f"{model} is not the {name} of the weights {SHIPPED_WEIGHTS[name]!r} in embedonce")
    try:
        expected = path.with_suffix(".sha256").read_text().split()[:1]
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is not text"
        raise WeightsError(f"{path}, a part of embedonce, cannot be read ({problem}); reinstall embedonce") from error
    if expected != [actual]:
        raise WeightsError(f"{path} is damaged: its SHA-256 is not the expected one; reinstall embedonce")
    return path


def import_open_clip():
    """The module open_clip. ModelError if it is not installed."""
    quiet_hub()
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("open_clip is not installed; install it with: pip install open-clip-torch") from error
    return open_clip


def _check_tag(open_clip, name: str, tag: str, activation: str) -> None:
    tags = tags_of(open_clip, name)
    if tag not in tags:
        available = ", ".join(tags) or "none"
        raise ModelOptionError(
            f"{tag!r} is neither a file nor a weights tag of {name} (available: {available}); use --teacher-weights "
            "random for a test run without weights"
        )
    trained_with = ACTIVATIONS[bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False))]
    if trained_with != activation:
        raise ModelOptionError(_mismatch(f"the weights {tag!r}", trained_with, name, activation))


def _check_local_activation(configuration: Configuration, option: str | None, path: Path) -> None:
    """Weights files do not state their activation, and a wrong one silently corrupts every embedding."""
    name, configured, from_file = configuration.name, configuration.activation, configuration.is_file
    if not path.is_file():
        raise ModelOptionError(f"the weights file {path} does not exist")
    if option is None and not (from_file and configured):
        raise ModelOptionError(
            f"the activation that {path} was trained with is not known: use --teacher-activation quickgelu (OpenAI's "
            "weights) or gelu"
        )
    if option is not None and option != (configured or "gelu"):
        raise ModelOptionError(_mismatch(str(path), option, name, configured or "gelu", from_file))


def _mismatch(what: str, trained_with: str, name: str, activation: str, from_file: bool = False) -> str:
    model = f"{name}-quickgelu" if trained_with == "quickgelu" else name.removesuffix("-quickgelu")
    value = "true" if trained_with == "quickgelu" else "false"
    remedy = f'set "quick_gelu": {value} in its configuration' if from_file else f"use --teacher-model {model}"
    return f"{what} were trained with {trained_with}, but {name} uses {activation}; {remedy}"


def _create(
    open_clip, configuration: Configuration, weights: str, seed: int, preprocessing: Preprocessing
) -> nn.Module:
    name, built_as = configuration.name, configuration.built_as
    settings = {"precision": "fp32", "device": "cpu", "force_preprocess_cfg": preprocessing.as_config()}
    logging.disable(logging.ERROR)  # open_clip warns about chosen random weights and logs the errors that it raises
    try:
        if weights_kind(weights) not in ("file", RANDOM):
            return open_clip.create_model(built_as, pretrained=weights, **settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = open_clip.create_model(built_as, pretrained=None, pretrained_text=False, **settings)
    except _BUILD_ERRORS as error:
        if is_of_the_disk(error):
            raise
        if weights_kind(weights) in ("file", RANDOM) or not isinstance(error, (OSError, RuntimeError)):
            problem = " ".join(str(error).split())[:300]
            raise ModelOptionError(f"{name} cannot be built from its configuration: {problem}") from error
        raise ModelError(
            f"the weights {weights!r} of {name} could not be downloaded; connect to the network once, or use "
            "--teacher-weights FILE with --teacher-activation, or --teacher-weights random for a test run"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    if weights != RANDOM:
        _load_file(open_clip, model, name, Path(weights))
    return model


def _load_file(open_clip, model: nn.Module, name: str, path: Path) -> None:
    """Load weights whose tensors all match the model. Pickles are read with weights_only: none of their code runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about TorchScript archives before it raises
            check_entries(path)
            if path.suffix not in (".npz", ".npy"):  # open_clip does not interpolate positions of these
                _check_positions(model, open_clip.factory.load_state_dict(str(path), weights_only=True))
            open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except NotPlainError as error:
        raise WeightsError(f"{path} holds no weights: it {error.strerror}") from error
    except Exception as error:  # torch's readers raise nearly every type of exception for damaged files
        if is_of_the_machine(error):
            raise
        if "TorchScript" in str(error):
            problem = "is a TorchScript archive, which runs code when opened; use the same weights as safetensors"
        elif isinstance(error, RuntimeError) and "state_dict" in str(error):
            problem = f"does not hold weights of {name}: {' '.join(str(error).split())[:300]}"
        else:
            problem = "is damaged or not a plain weights file, and was not loaded: use safetensors"
        raise WeightsError(f"{path} {problem}") from error


def _check_positions(model: nn.Module, state: dict) -> None:
    """Raise RuntimeError for position embeddings of another input size, which open_clip would silently interpolate."""
    own = model.state_dict()
    for key in POSITIONS:
        if key in state and key in own and state[key].shape != own[key].shape:
            raise RuntimeError(f"state_dict has {key} {tuple(state[key].shape)}, not {tuple(own[key].shape)}")


def _tokenizer(open_clip, configuration: Configuration):
    name = configuration.name
    try:
        return open_clip.get_tokenizer(configuration.tokenizer)
    except (ImportError, OSError, RuntimeError, ValueError, LookupError, AttributeError) as error:
        problem = " ".join(str(error).split())[:300]
        package = missing_package(problem)
        if package is not None:
            raise ModelError(f"the tokenizer of {name} needs a package: pip install {package} ({problem})") from error
        if isinstance(error, ImportError):
            raise ModelError(f"the tokenizer of {name} needs a package that is not installed: {problem}") from error
        raise ModelError(
            f"the tokenizer of {name} could not be loaded ({problem}); connect to the network once, or use a model "
            "with CLIP's own tokenizer, such as ViT-B-32-quickgelu"
        ) from error
