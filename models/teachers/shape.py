"""How large a teacher's input and embeddings are, read from its configuration alone: no model library is loaded."""

import importlib.util
import json
from pathlib import Path

from embedonce.models.plain_files import CONFIG_BYTES, read_plain

SHIPPED = Path(__file__).parent


def shape_of(model: str) -> tuple[int, int] | None:
    """(pixels of a side of the input, dimensions of an embedding); None where no configuration says them."""
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
    """Where a model's configuration may lie."""
    if model.endswith(".json"):
        return [Path(model)]
    library = importlib.util.find_spec("open_clip")
    folders = [SHIPPED] + [
        Path(place) / "model_configs" for place in (library and library.submodule_search_locations) or ()
    ]
    return [folder / f"{model}.json" for folder in folders if "/" not in model]
