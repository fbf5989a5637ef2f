"""Which teachers of a cache a student learns from, and how much each of them counts in the feature term."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.console.next_commands import add_teacher_line
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.training.teacher_weights import parse_weights


@dataclass(frozen=True)
class TeacherChoice:
    """main: the teacher in whose space clips are classified. shares: of the feature term, that of each other teacher,
    by name; the rest is the main one's. of_windows: the names of those that embed windows of frames.
    """

    main: str = FIRST
    shares: Mapping[str, float] = field(default_factory=dict)
    of_windows: frozenset[str] = frozenset()

    def __str__(self) -> str:
        shares = {self.main: 1 - sum(self.shares.values())} | dict(self.shares)
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        return f"teachers of the feature term: {listed}; clips are classified in the space of {self.main}"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.main, *self.shares)


def choose(text: str | None, reader: CacheReader) -> TeacherChoice:
    """The choice in --teachers: the first teacher of the cache is the main one if it is named, else the first named
    that embeds single frames.

    TeacherError for a teacher that the cache does not have, InputError if all of them embed windows.
    """
    if text is None:
        return TeacherChoice()
    weights = parse_weights(text)
    windows = {name: reader.teachers.read(name).identity.window for name in weights if name != FIRST}
    of_windows = frozenset(name for name, window in windows.items() if window > 1)
    main = FIRST if FIRST in weights else next((name for name in weights if name not in of_windows), None)
    if main is None:
        name = next(iter(weights))
        raise InputError(
            f"--teachers {text}: teacher {name!r} embeds windows of {windows[name]} frames, and clips are classified "
            f"in the space of a teacher of single frames: name one, as in --teachers first:1,{text}"
        )
    total = sum(weights.values())
    shares = {name: weight / total for name, weight in weights.items() if name != main}
    return TeacherChoice(main, shares, of_windows)


def check_embedded(dataset: ClipDataset) -> None:
    """InputError if a teacher has not embedded all frames of these clips."""
    for name, units in dataset.lacking().items():
        raise InputError(
            f"teacher {name!r} has not embedded {len(units)} of the shards that the clips of --teachers need; "
            f"{add_teacher_line(dataset.reader.cache_dir, name)}"
        )
