"""How many small, deliberate faults in the wiring of the program its tests find.

benchmarks/mutants.yaml lists the faults ("mutants"): a piece of a file's text, what takes its place, and the tests that
should fail then. They are judged one after another in a temporary copy of the repository, each in a process of its own;
nothing outside that copy is changed.
"""

import importlib
import importlib.util
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import yaml

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".yaml")
# Loaded once, for all processes: what takes seconds to import and is no part of the program
HEAVY = (
    *("pytest", "numpy", "torch", "torch._dynamo", "torch.utils.flop_counter", "torchvision", "timm", "open_clip"),
    *("PIL.Image", "h5py", "safetensors.torch", "matplotlib.figure", "av"),
)
VERDICTS = {0: "survived", 1: "found", 2: "found"}  # by pytest's exit code: 2 where a mutant cannot even be imported
PACKAGE = "embedonce"
QUIET = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
LOOK_SEC = 0.02  # between looks at a process


def load_table(path: Path) -> list[dict]:
    """The mutants: {"file", "old", "new", "tests"} each; tests are arguments for pytest."""
    return yaml.safe_load(path.read_text())


def name_of(mutant: dict) -> str:
    return f"{mutant['file']}: {mutant['old']!r} -> {mutant['new']!r}"


def mutated(text: str, mutant: dict) -> str:
    """A file's text with the fault in it. ValueError where the text to replace is not there exactly once."""
    count = text.count(mutant["old"])
    if count != 1:
        raise ValueError(f"{mutant['file']} has {mutant['old']!r} {count} times, and must have it once")
    return text.replace(mutant["old"], mutant["new"])


def copy_repository(target: Path) -> None:
    """The files that git tracks or would track, as they are now."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def use_package(copy: Path) -> None:
    """Let this process and its children import `tests` and `embedonce` from the copy, wherever else they are."""
    sys.path[:1] = [str(copy), str(copy.parent)]
    os.environ["PYTHONPATH"] = str(copy.parent)
    importlib.invalidate_caches()
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None or not copy.samefile(Path(found.origin).parent):
        print(f"ERROR {PACKAGE} is not imported from {copy}", flush=True)  # noqa: T201
        raise ImportError(PACKAGE)


def run_tests(copy: Path, tests: str, log: Path) -> None:
    """In a new process: run these tests of the copy, and end with pytest's exit code."""
    os.setsid()
    handle = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(handle, stream)
    code = 3
    try:
        os.chdir(copy)
        use_package(copy)
        pytest = importlib.import_module("pytest")
        named = ("-m", "") if "::" in tests else ()  # also those that `make test` leaves out
        code = int(pytest.main([*QUIET, f"--basetemp={copy.parent / 'temporary'}", *named, *shlex.split(tests)]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def judge(copy: Path, tests: str, seconds: float) -> tuple[str, str]:
    """("found", "survived", "hung" or "error", the line of the tests' output that says why)."""
    log, deadline = copy.parent / "log", time.monotonic() + seconds
    pid = os.fork()
    if pid == 0:
        run_tests(copy, tests, log)
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hung", f"no end after {seconds:g} s"
        time.sleep(LOOK_SEC)
    lines = log.read_text(errors="replace").splitlines()
    said = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1] if lines else "")
    return VERDICTS.get(os.waitstatus_to_exitcode(ended[1]), "error"), said[:160]


def judge_mutant(copy: Path, mutant: dict, seconds: float) -> tuple[str, str]:
    """As judge(), with the fault in the copy meanwhile."""
    path = copy / mutant["file"]
    text, times = path.read_text(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    try:
        path.write_text(mutated(text, mutant))
        return judge(copy, mutant["tests"], seconds)
    except ValueError as error:
        return "error", str(error)
    finally:
        path.write_text(text)
        os.utime(path, ns=times)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def judge_all(mutants: list[dict], seconds: float, stop_after: float):
    """(mutant, verdict, why) of one after another."""
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for module in HEAVY:
        importlib.import_module(module)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKAGE  # the checkout's root is the package
        copy_repository(copy)
        for mutant in mutants:
            if time.monotonic() - started > stop_after:
                break
            yield mutant, *judge_mutant(copy, mutant, seconds)


@click.command()
@click.option("--table", type=click.Path(path_type=Path), default=TABLE, help="Another list of mutants.")
@click.option("--only", default="", help="Those alone whose file, text or tests hold this.")
@click.option("--results", type=click.Path(path_type=Path), help="File of verdicts; what it has is not judged again.")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="That one mutant may take.")
@click.option("--stop-after", type=float, default=math.inf, help="Begin no mutant after so many seconds.")
def main(table: Path, only: str, results: Path | None, seconds: float, stop_after: float):
    """Judge the mutants and say how many were found; exit code 1 where one was not."""
    found = json.loads(results.read_text()) if results and results.exists() else {}
    mutants = [m for m in load_table(table) if name_of(m) not in found and only in name_of(m) + m["tests"]]
    for mutant, verdict, why in judge_all(mutants, seconds, stop_after):
        found[name_of(mutant)] = verdict, why
        click.echo(f"{verdict:8} {name_of(mutant)}  {why}")
        if results:
            results.write_text(json.dumps(found, indent=1))
    counts = Counter(verdict for verdict, _ in found.values())
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    sys.exit(counts["found"] < counts.total())


if __name__ == "__main__":
    main()
