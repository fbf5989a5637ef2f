"""Repairs while reading fails: one call that reads, or all from one on, ends in EIO, ESTALE or EACCES.

    python -m benchmarks.failing_reads CACHE --runs 300 --work-dir results/benchmarks

Calls fail below Python, in a library that is compiled here and preloaded (failing_reads.c): so the HDF5 library and
every function of os see what they would see of a failing disk. Whatever comes of a repair, everything that was whole
must be where it was afterwards.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from click.testing import CliRunner

from embedonce import cli

CODES = (errno.EIO, errno.ESTALE, errno.EACCES)
SOURCE = Path(__file__).with_suffix(".c")
SOUND, DAMAGED, WITHOUT_PLAN = "sound", "a damaged shard", "a plan that lacks"
NOT_COMPARED = (".writer.lock",)


@dataclass(frozen=True)
class Outcome:
    """What came of one repair: of what, under which error, with which exit code, and whole files that are gone."""

    state: str
    error: str
    was_hit: bool
    exit_code: int | str
    lost: tuple[str, ...]


class FailingReads:
    """The preloaded library: which call below a folder fails, and how many there were."""

    def __init__(self, folder: Path):
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.calls_made.restype = ctypes.c_long
        self._library.fail_below(os.fsencode(folder))

    def set(self, first: int, last: int, code: int) -> None:
        """Let the calls from the first to the last fail, counted from now on."""
        self._library.fail_at(ctypes.c_long(first), ctypes.c_long(last), code)

    def calls_made(self) -> int:
        """Calls since set()."""
        return self._library.calls_made()


def outcomes(cache: Path, folder: Path, runs: int, seed: int) -> list[Outcome]:
    """What came of so many repairs of copies of a sound cache. Needs the library preloaded."""
    generator, failing = np.random.default_rng(seed), FailingReads(folder)
    totals = {state: _reads(cache, folder / "count", state, failing) for state in (SOUND, DAMAGED, WITHOUT_PLAN)}
    found = []
    for number in range(runs):
        state, code = (SOUND, DAMAGED, WITHOUT_PLAN)[number % 3], CODES[number // 3 % 3]
        first = int(generator.integers(1, totals[state] + 1))
        last = first if generator.random() < 0.5 else sys.maxsize
        found.append(_outcome(cache, folder / str(number), state, failing, (first, last, code)))
    return found


def _reads(cache: Path, copy: Path, state: str, failing: FailingReads) -> int:
    """How many calls read something in a repair that nothing disturbs."""
    arguments, _ = _prepared(cache, copy, state)
    failing.set(0, 0, 0)
    exit_code, total = _repair(arguments), failing.calls_made()
    if state != DAMAGED and contents(copy) != contents(cache):
        raise RuntimeError(f"{cache} is not sound: nothing can be tried here")
    shutil.rmtree(copy)
    if exit_code or total < 50:
        raise RuntimeError(f"repairing {state} ended with {exit_code} after {total} reads: nothing can be tried here")
    return total


def _outcome(cache: Path, copy: Path, state: str, failing: FailingReads, failure: tuple[int, int, int]) -> Outcome:
    arguments, spoilt = _prepared(cache, copy, state)
    before = contents(copy)
    failing.set(*failure)
    exit_code = _repair(arguments)
    was_hit = failing.calls_made() >= failure[0]
    failing.set(0, 0, 0)
    after = contents(copy)
    unit = Path(spoilt).stem  # what belongs to a damaged unit is moved with it
    moved = {name for name in before if name not in after and _is_moved(name, before[name], after)}
    may_go = {name for name in moved if unit and Path(name).stem == unit}
    lost = tuple(name for name in before if after.get(name) != before[name] and name not in may_go)
    if not lost:
        shutil.rmtree(copy)
    return Outcome(state, errno.errorcode[failure[2]], was_hit, exit_code, lost)


def _prepared(cache: Path, copy: Path, state: str) -> tuple[list[str], str]:
    """(the arguments of the repair of a copy in this state, the file in it that is damaged or "")"""
    shutil.copytree(cache, copy)
    arguments, spoilt = ["repair-cache", "--cache-dir", str(copy), "--yes"], ""
    if state == WITHOUT_PLAN:
        (copy / "plan" / "000000.json").unlink()
        arguments.append("--rebuild-plan")
    if state == DAMAGED:
        path = sorted((copy / "frames").iterdir())[1]
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
        spoilt = str(path.relative_to(copy))
    return arguments, spoilt


def _repair(arguments: list[str]) -> int | str:
    """The exit code; the name of an exception that no user should see."""
    ran = CliRunner().invoke(cli.main, arguments)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        return type(ran.exception).__name__
    return ran.exit_code


def contents(root: Path) -> dict[str, str]:
    """Every file by its path with the SHA-256 of its bytes."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name not in NOT_COMPARED)
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _is_moved(name: str, digest: str, after: dict[str, str]) -> bool:
    return any(path.startswith("removed/") and path.endswith(f"/{name}") and after[path] == digest for path in after)


def counted(found: list[Outcome]) -> dict:
    """The figures of some runs: each ends as it would without a failure, or with exit code 5, and loses nothing."""
    return {
        "repairs under failing reads": len(found),
        "of what": dict(Counter(outcome.state for outcome in found)),
        "errors": dict(Counter(outcome.error for outcome in found)),
        "hit": sum(outcome.was_hit for outcome in found),
        "refused with exit code 5": sum(outcome.exit_code == 5 for outcome in found),
        "done all the same": sum(outcome.exit_code == 0 for outcome in found),
        "other ends": dict(Counter(str(o.exit_code) for o in found if o.exit_code not in (0, 5))),
        "whole files removed or changed": sum(len(outcome.lost) for outcome in found),
    }


def failing_repairs(cache: Path, folder: Path, runs: int, seed: int) -> dict:
    """counted() of so many repairs of a sound cache, in a process of their own with the library preloaded."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    library = folder / "failing_reads.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    command = [sys.executable, "-m", "benchmarks.failing_reads", str(cache), "--runs", str(runs)]
    command += ["--seed", str(seed), "--work-dir", str(folder)]
    ran = subprocess.run(
        command, env={**os.environ, "LD_PRELOAD": str(library)}, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(ran.stdout.splitlines()[-1])


@click.command()
@click.argument("cache", type=click.Path(path_type=Path, exists=True))
@click.option("--runs", type=click.IntRange(min=1), default=300, show_default=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(cache: Path, runs: int, work_dir: Path, seed: int):
    """Repair copies of a cache while reading fails; the last line is JSON, exit code 1 where something was lost."""
    folder = work_dir.absolute()
    if "LD_PRELOAD" not in os.environ:
        figures = failing_repairs(cache.absolute(), folder / "failing-reads", runs, seed)
    else:
        found = outcomes(cache.absolute(), folder / "copies", runs, seed)
        for outcome in found:
            if outcome.lost or outcome.exit_code not in (0, 5):
                click.echo(f"{outcome}", err=True)
        figures = counted(found)
    click.echo(json.dumps(figures))
    sys.exit(bool(figures["whole files removed or changed"]) and "LD_PRELOAD" not in os.environ)


if __name__ == "__main__":
    main()
