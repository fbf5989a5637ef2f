"""The input size and embedding dimension of an open_clip model, read from its configuration without open_clip."""

import importlib.util
import json
from pathlib import Path

from embedonce.models.plain_files import CONFIG_BYTES, read_plain

SHIPPED = Path(__file__).parent


def shape_of(model: str) -> tuple[int, int] | None:
    """(input size in pixels, embedding dimension); None if no configuration file states them."""
    for path in _configurations(model):
        try:
            config = json.loads(read_plain(path, CONFIG_BYTES))
            side, dim = config["vision_cfg"]["image_size"], config["embed_dim"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        side = side[0] if isinstance(side, list) and side else side
        if type(side) is int and type(dim) is int and side > 0 and dim > 0:
            return side, dim
    return None


def _configurations(model: str) -> list[Path]:
    """The paths where a model's configuration may be."""
    if model.endswith(".json"):
        return [Path(model)]
    library = importlib.util.find_spec("open_clip")
    folders = [SHIPPED] + [
        Path(place) / "model_configs" for place in (library and library.submodule_search_locations) or ()
    ]
    return [folder / f"{model}.json" for folder in folders if "/" not in model]
