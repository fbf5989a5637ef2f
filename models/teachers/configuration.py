"""Configurations of open_clip models: by name, from JSON files, folders and repositories of the Hugging Face hub.

open_clip is an argument: none of it is imported.
"""

import difflib
import importlib.util
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.models.machine_errors import is_of_the_disk
from embedonce.models.names import FOLDER_SCHEMA, HUB_SCHEMA, has_own_weights, teacher_name
from embedonce.models.plain_files import CONFIG_BYTES, read_plain
from embedonce.models.preprocessing import Preprocessing, from_config
from embedonce.models.teachers.preprocessing import default_preprocessing

SHIPPED = Path(__file__).parent  # configurations and weights that are part of the package
PUBLISHED = "open_clip_config.json"  # in folders and repositories


@dataclass(frozen=True)
class Configuration:
    """What an open_clip model is built from.

    name: in identities and messages. built_as: the name that open_clip has it under. content: open_clip's dict.
    preprocessing: of the file, None if it states none. tokenizer: the name that open_clip finds the tokenizer under.
    is_file: whether it is the user's own, or comes with weights of its own.
    """

    name: str
    built_as: str
    content: dict
    preprocessing: Preprocessing | None
    tokenizer: str
    is_file: bool

    @property
    def activation(self) -> str | None:
        """ "quickgelu" or "gelu"; None if it is not stated."""
        if "quick_gelu" not in self.content:
            return None
        return "quickgelu" if self.content["quick_gelu"] else "gelu"


def read_configuration(open_clip, model: str) -> Configuration:
    """The configuration of a model. One from a file is registered with open_clip."""
    if has_own_weights(model):
        return _published(open_clip, model)
    shipped = SHIPPED / f"{model}.json"
    if shipped.is_file():
        model = str(shipped)
    if model.endswith(".json"):
        name = Path(model).stem
        content, preprocessing = _from_file(open_clip, Path(model), name)
        return Configuration(name, name, content, preprocessing, name, True)
    known = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if known is None:
        close = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.3)
        raise ModelOptionError(
            f"open_clip has no model {model!r}; close names: {', '.join(close) or 'none'} "
            "(a configuration file must end in .json; a teacher of your own needs --teacher-module FILE.py)"
        )
    return Configuration(model, model, known, None, model, False)


def own_weights(open_clip, model: str) -> Path:
    """The weights file in the folder or repository of a model. Raises ModelError or ModelOptionError if it has none."""
    schema, _, place = model.partition(":")
    if schema + ":" == HUB_SCHEMA:
        return _downloaded(open_clip, place, None)
    found = open_clip.factory._find_checkpoint_in_dir(Path(place))
    if found is None:
        raise ModelOptionError(
            f"the folder {place} has no weights file beside {PUBLISHED} (.safetensors, .bin or .pth)"
        )
    return Path(found)


def _published(open_clip, model: str) -> Configuration:
    """The configuration in the folder or repository of a model."""
    schema, _, place = model.partition(":")
    if not place:
        raise ModelOptionError(
            f"--teacher-model {model} names no model: write {FOLDER_SCHEMA}FOLDER or {HUB_SCHEMA}ORG/NAME"
        )
    if schema + ":" == HUB_SCHEMA:
        path = _downloaded(open_clip, place, PUBLISHED)
    else:
        path = Path(place, PUBLISHED)
        if not path.is_file():
            raise ModelOptionError(
                f"{model}: there is no file {path}; give the folder with --teacher-model {FOLDER_SCHEMA}FOLDER"
            )
    name = teacher_name(model)
    built_as = name.replace(":", "-").replace("/", "-")
    content, preprocessing = _from_file(open_clip, path, built_as)
    return Configuration(name, built_as, content, preprocessing, model, True)


def _downloaded(open_clip, repository: str, filename: str | None) -> Path:
    """A file of a repository of the hub, by default its weights, from the local copies or downloaded."""
    try:
        return Path(open_clip.factory.download_pretrained_from_hf(repository, filename=filename))
    except Exception as error:  # the hub's client raises many kinds
        if is_of_the_disk(error):
            raise
        what = filename or "the weights"
        raise ModelError(
            f"{what} of {HUB_SCHEMA}{repository} could not be downloaded; check the name, connect to the network once, "
            f"or use a local copy with --teacher-model {FOLDER_SCHEMA}FOLDER"
        ) from error


def _from_file(open_clip, path: Path, name: str) -> tuple[dict, Preprocessing | None]:
    """The content of a file, registered with open_clip under this name, and its preprocessing."""
    try:
        config = json.loads(read_plain(path, CONFIG_BYTES))
    except OSError as error:
        raise ModelOptionError(f"the model configuration {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelOptionError(f"the model configuration {path} is not valid JSON ({error})") from error
    preprocessing = config.pop("preprocess_cfg", None) if isinstance(config, dict) else None
    config = _model_of(config)
    missing = [k for k in ("embed_dim", "vision_cfg", "text_cfg") if not isinstance(config, dict) or k not in config]
    if missing:
        raise ModelOptionError(f"{path} is not an open_clip model configuration: it lacks {', '.join(missing)}")
    _register(open_clip, name, config)
    if preprocessing is not None:
        preprocessing = from_config(preprocessing, f'"preprocess_cfg" of {path}', default_preprocessing(open_clip))
    return config, preprocessing


def _model_of(config):
    """The model's part of a configuration in the form in which models are published."""
    return config["model_cfg"] if isinstance(config, dict) and isinstance(config.get("model_cfg"), dict) else config


def _register(open_clip, name: str, config: dict) -> None:
    """Register a configuration, through a file without `preprocess_cfg`, the only form that open_clip accepts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.json")
        file.write_text(json.dumps(config))
        open_clip.add_model_config(file)


def shape_of(model: str) -> tuple[int, int] | None:
    """(input size in pixels, embedding dimension); None if no configuration file states them."""
    for path in _candidates(model):
        try:
            config = _model_of(json.loads(read_plain(path, CONFIG_BYTES)))
            side, dim = config["vision_cfg"]["image_size"], config["embed_dim"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        side = side[0] if isinstance(side, list) and side else side
        if type(side) is int and type(dim) is int and side > 0 and dim > 0:
            return side, dim
    return None


def _candidates(model: str) -> list[Path]:
    """The paths where a model's configuration may be."""
    if model.endswith(".json"):
        return [Path(model)]
    if model.startswith(FOLDER_SCHEMA):
        return [Path(model.removeprefix(FOLDER_SCHEMA), PUBLISHED)]
    library = importlib.util.find_spec("open_clip")
    folders = [SHIPPED] + [
        Path(place) / "model_configs" for place in (library and library.submodule_search_locations) or ()
    ]
    return [folder / f"{model}.json" for folder in folders if "/" not in model]
