"""Students beside each other: evaluations read, checkpoints evaluated first, then a table, two files and a plot.

Knows files and the order of things; torch is loaded only where a checkpoint is to be evaluated.
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
from embedonce.pipeline.evaluation.output_files import check_comparison, check_evaluation
from embedonce.pipeline.evaluation.predictions import read_predictions
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.files.recognition import sealed
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME, read_results
from embedonce.pipeline.reporting.plots import LATENCY, PARAMETERS, point_of, trade_off

log = logging.getLogger(__name__)

_CHECKPOINT = ".pt"
_USUAL_STEM = Path(BEST_STUDENT).stem  # says nothing about which student it is


def compare(config: CompareConfig) -> dict:
    """Compare what was named; writes comparison.csv, .json and .png, returns what the second holds.

    InputError where fewer than two different things are named or one is missing; ResultsError where they cannot be
    compared.
    """
    names = display_names(config.evaluations)
    with sole_writer(config.output_dir, "compare"):
        return _compared(config, names)


def _compared(config: CompareConfig, names: dict[Path, str]) -> dict:
    checkpoints = [path for path in names if path.suffix == _CHECKPOINT]
    entries = {path: _entry(path, name, path) for path, name in names.items() if path not in checkpoints}
    if entries:
        check_comparable(list(entries.values()))
    _check_before_evaluating(config, {path: names[path] for path in checkpoints}, list(entries.values()))
    for path in checkpoints:
        entries[path] = _entry(_evaluate(config, path, names[path]), names[path], path)
    ordered = [entries[path] for path in names]
    check_comparable(ordered)
    found = comparison.compare(ordered)
    files = {
        "compare_config.yaml": config.as_yaml().encode(),
        "comparison.csv": _as_csv(found["rows"]),
        "comparison.png": sealed(_plot(found, ordered), "compare"),
        "comparison.json": json.dumps(found, indent=2, allow_nan=False).encode(),
    }
    check_comparison(config)  # nobody has put anything there meanwhile
    for name, data in files.items():
        commit.replace(config.output_dir / name, data)
    return found


def display_names(paths: tuple[Path, ...]) -> dict[Path, str]:
    """path -> a short name that no other one has: the last part of its path that tells them apart, or more parts.

    InputError where there are fewer than two, or one is named twice.
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
    parts = {path: _telling_parts(file) for file, path in files.items()}
    depth = dict.fromkeys(parts, 1)
    while True:
        names = {path: "-".join(parts[path][-depth[path] :]) for path in parts}
        told = list(names.values())
        alike = [p for p in parts if told.count(names[p]) > 1 and depth[p] < len(parts[p])]
        if not alike:
            break
        depth |= {path: depth[path] + 1 for path in alike}
    return {path: name if told.count(name) == 1 else f"{name}-{i}" for i, (path, name) in enumerate(names.items(), 1)}


def _telling_parts(file: Path) -> list[str]:
    parts = list(file.parent.parts[1:])
    if file.name != RESULTS_NAME and file.stem != _USUAL_STEM:
        parts.append(file.stem)
    return [re.sub(r"[^A-Za-z0-9._-]", "_", part) for part in parts] or ["evaluation"]


def _entry(place: Path, name: str, source: Path) -> Entry:
    """The evaluation at a place, and its predictions where they lie beside it."""
    results = read_results(place)
    folder = place if place.is_dir() else place.parent
    return Entry(name, str(source), results, read_predictions(folder / PREDICTIONS_NAME, results))


def _check_before_evaluating(config: CompareConfig, checkpoints: dict[Path, str], entries: list[Entry]) -> None:
    """Refuse what would be refused after minutes of work. checkpoints: path -> name."""
    check_comparison(config)
    for path, name in checkpoints.items():
        check_evaluation(_settings(config, path, name))
        if not path.is_file():
            raise CheckpointError(f"no checkpoint at {path}; run train-student first")
    if checkpoints and entries and entries[0].results["split"] != config.split:
        raise ResultsError(
            f"{entries[0].source} judged the {entries[0].results['split']} split, and {next(iter(checkpoints))} would "
            f"be judged on {config.split}; name one with --split"
        )


def _evaluate(config: CompareConfig, checkpoint: Path, name: str) -> Path:
    """Evaluate a checkpoint; the folder that has its results."""
    from embedonce.pipeline.evaluation.evaluate import evaluate

    log.info("evaluating %s as %s", checkpoint, name)
    settings = _settings(config, checkpoint, name)
    evaluate(settings)
    return settings.output_dir


def _settings(config: CompareConfig, checkpoint: Path, name: str) -> EvaluateConfig:
    """How a checkpoint is evaluated, and into which folder."""
    shared = {"label_set": config.label_set, "split": config.split, "batch_size": config.batch_size}
    how = {field: getattr(config, field) for field in ("num_workers", "device", "seed", "overwrite")}
    return EvaluateConfig(config.cache_dir, checkpoint, config.output_dir / name, **shared, **how)


def _as_csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _plot(found: dict, entries: list[Entry]) -> bytes:
    first = entries[0].results["teacher"]
    latency = found["rows"][0]["latency_p50_ms"]
    teacher = point_of(f"teacher {first['name']}", first | {"latency_ms": latency and {"p50_ms": latency}})
    students = [point_of(entry.name, entry.results["student"]) for entry in entries]
    return trade_off(teacher, students, (LATENCY, PARAMETERS), found)
