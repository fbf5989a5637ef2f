"""Write option_types.py, for editors and type checkers: python -m embedonce.pipeline.api.write_option_types"""

from collections.abc import Collection
from pathlib import Path
from types import NoneType
from typing import get_args

from embedonce.pipeline.api.query_options import NOT_TAKEN
from embedonce.pipeline.api.signatures import annotation_of, visible_options
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.search.settings import SearchConfig
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.training.settings import TrainConfig

FILE = Path(__file__).with_name("option_types.py")
HEAD = '''"""The keyword arguments of the functions of the library, for editors and type checkers.

Generated from the settings of the commands: python -m embedonce.pipeline.api.write_option_types
"""

from pathlib import Path
from typing import TypedDict
'''


def text() -> str:
    """The text of option_types.py."""
    types = {"Extract": ExtractConfig, "Train": TrainConfig, "Evaluate": EvaluateConfig, "Export": ExportConfig}
    classes = [_typed_dict(f"{name}Options", settings) for name, settings in types.items()]
    return "\n\n".join([HEAD, *classes, _typed_dict("SearchOptions", SearchConfig, NOT_TAKEN)])


def _typed_dict(name: str, settings: type[Settings], without: Collection[str] = ()) -> str:
    options = visible_options(settings, without)
    fields = [f"    {option.name}: {_spelled(annotation_of(option))}" for option in options]
    return "\n".join([f"class {name}(TypedDict, total=False):", *fields, ""])


def _spelled(annotation: type) -> str:
    members = get_args(annotation) or (annotation,)
    return " | ".join("None" if member is NoneType else member.__name__ for member in members)


if __name__ == "__main__":
    FILE.write_text(text())
