"""Read evaluation_results.json strictly: any other version, a missing or unknown key, or a wrong value is refused."""

from pathlib import Path

from embedonce.cache import strict_json
from embedonce.cache.command_lines import program
from embedonce.cache.limits import brief
from embedonce.models.plain_files import NotPlainError, read_plain
from embedonce.pipeline.errors import InputError, ResultsError
from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_schema import RESULTS_NAME, SCHEMA, SCHEMA_VERSION, EvaluationResults

MAX_BYTES = 64 << 20  # results of a hundred thousand classes take about 10 MB
EARLIER = {"calibrated": None}  # keys that results of earlier versions lack


def read_results(path: Path) -> EvaluationResults:
    """Read an evaluation from its file, or from a folder that holds one.

    InputError if there is none; ResultsError, in one sentence, if the file holds anything else.
    """
    path = path / RESULTS_NAME if path.is_dir() else path
    results = _read_json(path)
    if not isinstance(results, dict) or "schema_version" not in results:
        raise ResultsError(f"{path} is not an evaluation: it has no schema_version; name a file that evaluate wrote")
    version = results["schema_version"]
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has results of schema version {brief(version)}, and this program reads {SCHEMA_VERSION}; "
            "evaluate again"
        )
    results = EARLIER | results
    problem = find_mismatch(results, SCHEMA)
    if problem:
        raise ResultsError(f"{path} is not a complete evaluation: {problem}; evaluate again")
    return EvaluationResults.from_dict(results)


def _read_json(path: Path) -> object:
    try:
        data = read_plain(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}; create it with: {program()} evaluate, or name a checkpoint (.pt)"
        ) from error
    except NotPlainError as error:
        raise ResultsError(f"{path} is not an evaluation: it {error.strerror}") from error
    try:
        return strict_json.loads(data)
    except ValueError as error:
        problem = " ".join(str(error).split())[:200]
        raise ResultsError(f"{path} is not an evaluation: it cannot be read as JSON ({problem})") from error
