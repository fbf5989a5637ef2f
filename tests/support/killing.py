"""What must be true of a cache after its maker was killed, and what it must come to in the end.

Knows the doors of a cache and what an extraction that nobody stops puts there; knows no file format.
"""

import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from embedonce.cache import plan_documents
from embedonce.cache.commit import TEMP_PREFIX
from embedonce.cache.layout import Layout
from embedonce.cache.records import segment_document
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames import canonical_frame
from tests.support.killed_run import Ended, Job, run
from tests.support.videos import write_video

NUM_FRAMES = {"cut/a": 60, "cut/b": 80, "stir/c": 100, "stir/d": 200}  # of each video, at 30 per second
SETTINGS = {"shard_frames": 4, "batch_size": 4, "decode_workers": 2, "fps": 3.0, "views": 1}
MIN_COSINE = 0.9999
RESUMED = 0.75  # of the time of an uninterrupted run: what one takes that finds the videos scanned
COMMIT_SEC = 0.02  # about what lies between one commit and the next
AT_MOST = 4  # kills of one cache, before a run that may lose a decode process only
BEFORE, BETWEEN, AFTER = "before the first commit", "between commits", "after the last commit"  # of frames


@dataclass(frozen=True)
class Kill:
    """What one kill hit and left. in_writing: a file was begun and had no name yet; lost: acknowledged and gone."""

    target: str
    stage: str | None
    in_writing: bool = False
    invalid: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chain:
    """What came of one cache: kills, and what is not in the end as if there had been none."""

    root: Path
    kills: list[Kill]
    unlike: list[str]

    @property
    def complaints(self) -> list[str]:
        return [text for kill in self.kills for text in kill.invalid + kill.lost] + self.unlike


class Uninterrupted:
    """An extraction that nobody stops: what all others must come to, and how long it takes."""

    def __init__(self, videos: Path, root: Path, backend: str):
        self._config = ExtractConfig(videos, False, root, backend=backend, **SETTINGS)
        ended = run(self.job(root))
        assert ended.code == 0, ended.errors
        self.seconds, self.acknowledged, self.account = ended.seconds, ended.acknowledged, ended.lines[-1]
        self.content = content(root)

    def job(self, root: Path, **changes) -> Job:
        """The same extraction into another folder. changes: fields of a Job."""
        return Job(replace(self._config, cache_dir=root), **changes)

    def chains(self, folder: Path, num_kills: int, seed: int) -> Iterator[Chain]:
        """Caches that are killed at random moments in the making, until there were so many kills or one more."""
        generator, done = np.random.default_rng(seed), 0
        moments = _spread(generator, num_kills)
        for number in itertools.count():
            if done >= num_kills:
                return
            strikes = generator.choice(["everything", "everything", "the parent"], min(AT_MOST, num_kills - done))
            last = "a worker" if generator.random() < 0.5 else None
            chain = self._chain(folder / str(number), [*strikes.tolist(), last], moments)
            done += len(chain.kills)
            yield chain

    def _chain(self, root: Path, strikes: list, moments: Iterator[float]) -> Chain:
        """The making of one cache struck in one run after the other; a run that is done by then is the last."""
        kills, acknowledged, job = [], [], self.job(root)
        for strike in strikes:
            ended = run(job, strike, *self._when(next(moments), acknowledged))
            if ended.code != -signal.SIGKILL:
                kills += [Kill(strike, None)] if ended.hit and strike == "a worker" else []
                break
            acknowledged += ended.acknowledged
            kills.append(self.examine(root, strike, acknowledged))
        return Chain(root, kills, self.unlike(root, ended))

    def _when(self, moment: float, acknowledged: list[str]) -> tuple[float, int]:
        """A moment of a run, in [0, 1), as seconds after so many lines.

        The first half of all moments are spread over the time it takes, the others over what it has to commit.
        """
        if moment < 0.5:
            return 2 * moment * self.seconds * (RESUMED if acknowledged else 1), 0
        position = (2 * moment - 1) * (len(self.acknowledged) - len(set(acknowledged)))
        return position % 1 * COMMIT_SEC, int(position)

    def examine(self, root: Path, target: str, acknowledged: list[str]) -> Kill:
        """What a kill left, before anybody goes on."""
        found_kill = partial(Kill, target, in_writing=bool(leftovers(root)))
        if not has_cache(root):
            return found_kill(BEFORE, lost=list(acknowledged))
        try:
            found, problems = content(root), damage(root)
        except Exception as error:  # whatever it is: no kill may lead to it
            return found_kill(None, invalid=[f"{type(error).__name__}: {error}"])
        committed, all_units = _num_units(found), _num_units(self.content)
        stage = BEFORE if not committed else BETWEEN if committed < all_units else AFTER
        lost = [line for line in acknowledged if line not in found]
        return found_kill(stage, invalid=problems + differing(found, self.content), lost=lost)

    def unlike(self, root: Path, ended: Ended) -> list[str]:
        """What is not as if nobody had been killed."""
        if ended.code:
            return [f"exit code {ended.code}: {ended.errors}"]
        found, attempts = content(root), Layout.at(root).attempts.list()
        missing = [f"{name} is missing" for name in self.content if name not in found]
        left = [f"{path} is left" for path in (*leftovers(root), *attempts)]
        account = [line for line in ended.lines[-1:] if line != self.account]
        return differing(found, self.content) + missing + left + account + damage(root)


def make_videos(folder: Path) -> Path:
    """A few small videos of numbered frames, in a folder for each of two classes."""
    for name, num_frames in NUM_FRAMES.items():
        path = folder / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, num_frames)
    return folder


def content(root: Path) -> dict:
    """What must not depend on how a cache came about; what a run acknowledges is under the name it tells."""
    reader, found = open_reader(root), {}
    for part in plan_documents.read_plan(Layout.at(root).plan):
        found[f"plan {part.part}"] = plan_documents.plan_document(part)
    for unit, record in reader.records.items():
        batch, segments = reader.batch(unit), [segment_document(segment) for segment in record.segments]
        found[f"commit_frames {unit}"] = (segments, batch.keys, batch.jpegs, batch.crop_crc32.tolist())
        found[f"embeddings {unit}"] = batch.embeddings
    for name in reader.label_sets():
        found |= {f"publish_clips {part}": clips for part, clips in reader.clip_parts(name).items()}
        for unit in reader.logits_units(name):
            found[f"commit_logits {unit}"] = reader.all_logits(name, unit)
    reader.close()
    return found


def damage(root: Path) -> list[str]:
    """What verifying finds wrong, pixels and all."""
    report = verify(root, canonical_frame.replayed_crc32)
    return [problem.message for problem in report.problems]


def differing(found: dict, expected: dict) -> list[str]:
    """Which of what is found is not expected, or not as expected."""
    names = [name for name, value in found.items() if name not in expected or not _same(value, expected[name])]
    return [f"{name} is another one" for name in names]


def leftovers(root: Path) -> list[Path]:
    """Files that were being written when their writer was killed."""
    return list(root.rglob(f"{TEMP_PREFIX}*"))


def _spread(generator: np.random.Generator, count: int) -> Iterator[float]:
    """Numbers from [0, 1) at random, of which every so many are spread evenly."""
    while True:
        yield from ((generator.permutation(count) + generator.random(count)) / count).tolist()


def _num_units(found: dict) -> int:
    return sum(name.startswith("commit_frames") for name in found)


def _same(a, b) -> bool:
    """Equal; arrays (…, D): of one shape, and every vector as good as parallel to the other's."""
    if not isinstance(a, np.ndarray):
        return a == b
    if a.shape != b.shape:
        return False
    a, b = a.astype(np.float64), b.astype(np.float64)
    cosines = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return bool((cosines >= MIN_COSINE).all())
