"""Compare students: read their evaluations, evaluate checkpoints first, and write a table, two files and a plot.

torch is imported only if a checkpoint has to be evaluated.
"""

import csv
import io
import json
import logging
import re
from pathlib import Path

from embedonce.cache import commit
from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT
from embedonce.pipeline.console.printable import csv_cell
from embedonce.pipeline.errors import CheckpointError, InputError, ResultsError
from embedonce.pipeline.evaluation import comparison
from embedonce.pipeline.evaluation.comparison import Entry, check_comparable
from embedonce.pipeline.evaluation.output_files import (
    COMPARE_SETTINGS,
    COMPARISON_CSV,
    COMPARISON_JSON,
    COMPARISON_PLOT,
    check_comparison,
    check_evaluation,
)
from embedonce.pipeline.evaluation.predictions import read_predictions
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.files.recognition import sealed
from embedonce.pipeline.metrics.results_file import read_results
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME
from embedonce.pipeline.reporting.comparison_rows import ComparisonTable
from embedonce.pipeline.reporting.plots import comparison_plot

log = logging.getLogger(__name__)

_CHECKPOINT_SUFFIX = ".pt"
_COMMON_STEM = Path(BEST_STUDENT).stem  # the name of every checkpoint, which does not tell students apart


def compare(config: CompareConfig) -> ComparisonTable:
    """Compare the named evaluations and checkpoints; write comparison.csv, .json and .png.

    InputError if fewer than two different ones are named or one is missing; ResultsError if they are not comparable.
    """
    names = display_names(config.evaluations)
    with sole_writer(config.output_dir, "compare"):
        return _compare(config, names)


def _compare(config: CompareConfig, names: dict[Path, str]) -> ComparisonTable:
    checkpoints = [path for path in names if path.suffix == _CHECKPOINT_SUFFIX]
    entries = {path: _read_entry(path, name, path) for path, name in names.items() if path not in checkpoints}
    if entries:
        check_comparable(list(entries.values()))
    _check_before_evaluating(config, {path: names[path] for path in checkpoints}, list(entries.values()))
    for path in checkpoints:
        entries[path] = _read_entry(_evaluate(config, path, names[path]), names[path], path)
    ordered = [entries[path] for path in names]
    check_comparable(ordered)
    table = comparison.compare(ordered)
    files = {
        COMPARE_SETTINGS: config.as_yaml().encode(),
        COMPARISON_CSV: _as_csv([row.as_dict() for row in table.rows]),
        COMPARISON_PLOT: sealed(comparison_plot(table, [entry.results for entry in ordered]), "compare"),
        COMPARISON_JSON: json.dumps(table.as_dict(), indent=2, allow_nan=False).encode(),
    }
    check_comparison(config)  # other files may have appeared meanwhile
    for name, data in files.items():
        commit.replace(config.output_dir / name, data)
    return table


def display_names(paths: tuple[Path, ...]) -> dict[Path, str]:
    """path -> a short unique name: the last parts of the path, as few as tell it apart from the others.

    InputError if there are fewer than two paths, or two of them are the same.
    """
    if len(paths) < 2:
        named = "1 was" if paths else "0 were"
        raise InputError(f"a comparison needs at least two evaluations or checkpoints, and {named} named")
    files: dict[Path, Path] = {}
    for path in paths:
        file = (path / RESULTS_NAME if path.is_dir() else path).resolve()
        if file in files:
            raise InputError(f"{path} and {files[file]} are the same; name each evaluation once")
        files[file] = path
    parts = {path: _name_parts(file) for file, path in files.items()}
    depth = dict.fromkeys(parts, 1)
    while True:
        names = {path: "-".join(parts[path][-depth[path] :]) for path in parts}
        taken = list(names.values())
        ambiguous = [p for p in parts if taken.count(names[p]) > 1 and depth[p] < len(parts[p])]
        if not ambiguous:
            break
        depth |= {path: depth[path] + 1 for path in ambiguous}
    return {path: name if taken.count(name) == 1 else f"{name}-{i}" for i, (path, name) in enumerate(names.items(), 1)}


def _name_parts(file: Path) -> list[str]:
    """The parts of a path that may name an evaluation, with unusual characters replaced."""
    parts = list(file.parent.parts[1:])
    if file.name != RESULTS_NAME and file.stem != _COMMON_STEM:
        parts.append(file.stem)
    return [re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in parts] or ["evaluation"]


def _read_entry(place: Path, name: str, source: Path) -> Entry:
    """The evaluation in a file or folder, with the predictions in the same folder if there are any."""
    results = read_results(place)
    folder = place if place.is_dir() else place.parent
    return Entry(name, str(source), results, read_predictions(folder / PREDICTIONS_NAME, results))


def _check_before_evaluating(config: CompareConfig, checkpoints: dict[Path, str], entries: list[Entry]) -> None:
    """Raise the errors that would otherwise occur after minutes of work. checkpoints: path -> name."""
    check_comparison(config)
    for path, name in checkpoints.items():
        check_evaluation(_evaluation_settings(config, path, name))
        if not path.is_file():
            raise CheckpointError(f"no checkpoint at {path}; run train-student first")
    if checkpoints and entries and entries[0].results.split != config.split:
        raise ResultsError(
            f"{entries[0].source} was evaluated on the {entries[0].results.split} split, and "
            f"{next(iter(checkpoints))} would be evaluated on {config.split}; choose the same one with --split"
        )


def _evaluate(config: CompareConfig, checkpoint: Path, name: str) -> Path:
    """Evaluate a checkpoint; return the folder with its results."""
    from embedonce.pipeline.evaluation.evaluate import evaluate

    log.info("evaluating %s as %s", checkpoint, name)
    settings = _evaluation_settings(config, checkpoint, name)
    evaluate(settings)
    return settings.output_dir


def _evaluation_settings(config: CompareConfig, checkpoint: Path, name: str) -> EvaluateConfig:
    """How a checkpoint is evaluated, and into which folder."""
    return EvaluateConfig(
        config.cache_dir,
        checkpoint,
        config.output_dir / name,
        label_set=config.label_set,
        local_cache_dir=config.local_cache_dir,
        local_cache_gb=config.local_cache_gb,
        split=config.split,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        device=config.device,
        seed=config.seed,
        overwrite=config.overwrite,
    )


def _as_csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
