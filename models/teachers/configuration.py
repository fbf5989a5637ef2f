"""Configurations of open_clip models, by name or from JSON files. open_clip is an argument: none of it is imported."""

import difflib
import importlib.util
import json
import tempfile
from pathlib import Path

from embedonce.models.errors import ModelOptionError
from embedonce.models.plain_files import CONFIG_BYTES, read_plain
from embedonce.models.preprocessing import Preprocessing, from_config
from embedonce.models.teachers.preprocessing import default_preprocessing

SHIPPED = Path(__file__).parent  # configurations and weights that are part of the package


def read_configuration(open_clip, model: str) -> tuple[str, dict, Preprocessing | None]:
    """(name, configuration, preprocessing of the configuration file or None) of a model.

    A configuration from a file is registered with open_clip.
    """
    shipped = SHIPPED / f"{model}.json"
    if shipped.is_file():
        model = str(shipped)
    if not model.endswith(".json"):
        config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
        if config is None:
            close = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.3)
            raise ModelOptionError(
                f"open_clip has no model {model!r}; close names: {', '.join(close) or 'none'} "
                "(a configuration file must end in .json; a teacher of your own needs --teacher-module FILE.py)"
            )
        return model, config, None
    return _from_file(open_clip, Path(model))


def _from_file(open_clip, path: Path) -> tuple[str, dict, Preprocessing | None]:
    try:
        config = json.loads(read_plain(path, CONFIG_BYTES))
    except OSError as error:
        raise ModelOptionError(f"the model configuration {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelOptionError(f"the model configuration {path} is not valid JSON ({error})") from error
    preprocessing = config.pop("preprocess_cfg", None) if isinstance(config, dict) else None
    if isinstance(config, dict) and isinstance(config.get("model_cfg"), dict):  # the form in which models are published
        config = config["model_cfg"]
    missing = [k for k in ("embed_dim", "vision_cfg", "text_cfg") if not isinstance(config, dict) or k not in config]
    if missing:
        raise ModelOptionError(f"{path} is not an open_clip model configuration: it lacks {', '.join(missing)}")
    _register(open_clip, path.stem, config)
    if preprocessing is not None:
        preprocessing = from_config(preprocessing, f'"preprocess_cfg" of {path}', default_preprocessing(open_clip))
    return path.stem, config, preprocessing


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
            config = json.loads(read_plain(path, CONFIG_BYTES))
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
    library = importlib.util.find_spec("open_clip")
    folders = [SHIPPED] + [
        Path(place) / "model_configs" for place in (library and library.submodule_search_locations) or ()
    ]
    return [folder / f"{model}.json" for folder in folders if "/" not in model]
