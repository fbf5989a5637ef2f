"""Extractions killed at random moments, caches damaged anywhere, repairs while reading fails: the long form of tests.

    python -m benchmarks.faults --kills 100 --work-dir results/benchmarks

Every kill is SIGKILL of a run and all its decode processes, of the run alone, or of one decode process. A cache that
something was wrong with is kept in the folder `faults` of the work dir.
"""

import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

from benchmarks.failing_reads import failing_repairs
from benchmarks.measuring import finish, machine
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.verify import verify
from embedonce.pipeline.progress import Progress
from tests.support.killing import AFTER, BEFORE, BETWEEN, Chain, Uninterrupted, make_videos

UNCHECKED = (".writer.lock", "manifest.json", "extract_config.yaml", "file_fingerprints.json")  # none of them counts


def kill(whole: Uninterrupted, folder: Path, kills: int, seed: int, progress: Progress) -> dict:
    """What came of so many kills."""
    start, chains = time.monotonic(), []
    for chain in whole.chains(folder, kills, seed):
        chains.append(chain)
        progress.update(len(chain.kills))
        for complaint in chain.complaints:
            progress.note(f"{chain.root}: {complaint}")
        if not chain.complaints:
            shutil.rmtree(chain.root)
    return counted(chains) | {"seconds": round(time.monotonic() - start)}


def counted(chains: list[Chain]) -> dict:
    kills = [kill for chain in chains for kill in chain.kills]
    stages, targets = Counter(kill.stage for kill in kills), Counter(kill.target for kill in kills)
    return {
        "kills": len(kills),
        "of what": dict(targets),
        **{stage: stages[stage] for stage in (BEFORE, BETWEEN, AFTER)},
        "while a file was written": sum(kill.in_writing for kill in kills),
        "invalid states": sum(bool(kill.invalid) for kill in kills),
        "acknowledged commits lost": sum(len(kill.lost) for kill in kills),
        "caches": len(chains),
        "caches equal to the uninterrupted one": sum(not chain.unlike for chain in chains),
    }


def damages_found(root: Path, count: int, seed: int, progress: Progress) -> int:
    """How many of so many flipped bits and cut files, one at a time, are noticed when the cache is verified."""
    generator, found = np.random.default_rng(seed), 0
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in UNCHECKED)
    for _ in range(count):
        path = paths[generator.integers(len(paths))]
        data = path.read_bytes()
        position, is_cut = int(generator.integers(len(data))), generator.random() < 0.25
        flipped = bytes([data[position] ^ 1 << int(generator.integers(8))])
        path.write_bytes(data[:position] + (b"" if is_cut else flipped + data[position + 1 :]))
        if verify(root).problems:
            found += 1
        else:
            progress.note(f"{path}: byte {position} {'and all after it are gone' if is_cut else 'is another one'}")
        path.write_bytes(data)
        progress.update()
    return found


def is_sound(figures: dict) -> bool:
    return (
        figures["invalid states"] == figures["acknowledged commits lost"] == 0
        and figures["caches"] == figures["caches equal to the uninterrupted one"]
        and figures["damages"] == figures["damages found"]
        and not figures["repairs"]["whole files removed or changed"]
        and not figures["repairs"]["other ends"]
    )


@click.command()
@click.option("--kills", type=click.IntRange(min=1), default=100, show_default=True, help="Of each back end.")
@click.option("--damages", type=click.IntRange(min=0), default=200, show_default=True, help="Of each back end.")
@click.option("--repairs", type=click.IntRange(min=1), default=300, show_default=True, help="Of each back end.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(kills: int, damages: int, repairs: int, work_dir: Path, seed: int):
    """Kill, damage and repair, and end with one line of JSON; exit code 1 where a promise was broken. Needs gcc."""
    folder = work_dir.absolute() / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    videos, figures = make_videos(folder / "videos"), {}
    for backend in BACKENDS:
        whole = Uninterrupted(videos, folder / f"whole-{backend}", backend)
        with Progress(kills, f"{backend}, kills", "kills") as progress:
            figures[backend] = kill(whole, folder / backend, kills, seed, progress)
        with Progress(damages, f"{backend}, damages", "damages") as progress:
            found = damages_found(folder / f"whole-{backend}", damages, seed, progress)
        repaired = failing_repairs(folder / f"whole-{backend}", folder / f"repairs-{backend}", repairs, seed)
        figures[backend] |= {"damages": damages, "damages found": found, "repairs": repaired}
    finish("faults", {"machine": machine("av", "h5py", "numpy"), **figures})
    sys.exit(not all(is_sound(found) for found in figures.values()))


if __name__ == "__main__":
    main()
