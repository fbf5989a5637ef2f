"""Write docs/api.md, the reference of the library: python -m embedonce.pipeline.api.document > docs/api.md

It begins with introduction.md, which is written by hand and whose examples the tests run.
"""

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedonce.pipeline.api import embeddings, progress_events, results
from embedonce.pipeline.api.cache import Cache
from embedonce.pipeline.api.contents import Clip, Video
from embedonce.pipeline.api.datasets import ClipStream
from embedonce.pipeline.api.evaluate import evaluate
from embedonce.pipeline.api.export import export
from embedonce.pipeline.api.extract import extract
from embedonce.pipeline.api.open_cache import open_cache
from embedonce.pipeline.api.search import search
from embedonce.pipeline.api.signatures import OPTIONS_HEADING
from embedonce.pipeline.api.train import train
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.export.parity import Parity
from embedonce.pipeline.predict.prediction import Prediction
from embedonce.pipeline.predict.student import Student
from embedonce.pipeline.search.moments import Moment

INTRODUCTION = Path(__file__).with_name("introduction.md")
COMMANDS = {
    extract: "extract-teacher",
    train: "train-student",
    evaluate: "evaluate",
    export: "export-student",
}
VALUES: tuple[type, ...] = (
    *(Video, Clip, embeddings.Embeddings, embeddings.EmbeddingTable, progress_events.ProgressEvent),
    *(
        Moment,
        Prediction,
        results.Extraction,
        results.Training,
        results.TrainedStudent,
        results.Evaluation,
        results.Export,
        Parity,
    ),
)


def document() -> str:
    """The text of docs/api.md."""
    return "\n".join([INTRODUCTION.read_text(), *_reference()]).rstrip()


def _reference() -> Iterator[str]:
    yield from ("## Reference", "", "### Opening a cache", "")
    yield from _function(open_cache)
    yield from ("### Cache", "", _prose(Cache), "")
    for name, member in vars(Cache).items():
        if not name.startswith("_"):
            yield from _member("cache", name, member)
    yield from ("### Functions", "")
    for function, command in COMMANDS.items():
        yield from _function(function)
        yield from (f"`options`: those of [{command}](options.md#{command}), with `_` for `-`.", "")
    yield from _function(search)
    yield from ("`options`: those of [search-cache](options.md#search-cache) that concern the query.", "")
    yield from ("### Student", "", _prose(Student), "")
    for name in ("load", "classes", "embed", "predict"):
        yield from _member("student", name, getattr(Student, name))
    yield from ("### Data sets of torch", "")
    for data_set in (ClipDataset, ClipStream):
        yield from (f"#### `{data_set.__name__}`", "", _prose(data_set), "")
    yield from ("### Values", "", "All are frozen dataclasses.", "")
    for value in VALUES:
        fields = ", ".join(field.name for field in dataclasses.fields(value))
        yield from (f"#### `{value.__name__}({fields})`", "", _prose(value), "")


def _function(function: Any) -> Iterator[str]:
    yield from (f"#### `{function.__name__}({_arguments(function)})`", "", _prose(function), "")


def _member(owner: str, name: str, member: Any) -> Iterator[str]:
    """A method or a property. owner: what the object is called."""
    skipped = 0 if inspect.ismethod(member) else 1
    shown = name if isinstance(member, property) else f"{name}({_arguments(member, skipped)})"
    yield from (f"#### `{owner if skipped else owner.title()}.{shown}`", "", _prose(member), "")


def _arguments(function: Any, skipped: int = 0) -> str:
    """The arguments with their defaults, as they are declared. skipped: how many first ones are left out."""
    if function in COMMANDS:
        return "*, on_progress=None, **options"
    if function is search:
        return "cache, **options"
    return ", ".join(map(_argument, list(inspect.signature(function).parameters.values())[skipped:]))


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = parameter.default
    return f"{parameter.name}={getattr(default, '__name__', repr(default))}"


def _prose(documented: Any) -> str:
    """The docstring, without the list of options that follows it."""
    return (inspect.getdoc(documented) or "").partition(f"\n\n{OPTIONS_HEADING}")[0]


if __name__ == "__main__":
    sys.stdout.write(f"{document()}\n")
