"""The embeddings of one teacher of a cache or of several, for the items of a dataset."""

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.backends.shard_format import Shard
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity

_PREFIX = "embeddings of "


def item_name(teacher: str) -> str:
    """The name of an added teacher's embeddings in an item of a dataset."""
    return _PREFIX + teacher


def added_embeddings(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """teacher -> embeddings, of the added teachers in collated items."""
    return {name.removeprefix(_PREFIX): tensor for name, tensor in batch.items() if name.startswith(_PREFIX)}


class TeacherColumns:
    """Access to the embeddings of these teachers, by their names in the cache. TeacherError for unknown ones."""

    def __init__(self, reader: CacheReader, names: tuple[str, ...]):
        self.reader, self.names = reader, names
        self._added = [name for name in names if name != FIRST]
        for name in self._added:
            reader.teachers.records(name)  # once, and not in every loader process

    def identity(self, name: str) -> TeacherIdentity:
        """The identity of the first teacher of the cache or of an added one."""
        return self.reader.identity.teacher if name == FIRST else self.reader.teachers.read(name).identity

    def column(self, name: str, unit: str) -> Shard:
        """The shard with the embeddings of a teacher."""
        return self.reader.frames(unit) if name == FIRST else self.reader.teachers.column(name, unit)

    def lacking(self, units: Iterable[str]) -> dict[str, list[str]]:
        """Teacher -> those of these units that it has not embedded; without teachers that have embedded all."""
        wanted = list(units)
        records = {name: self.reader.teachers.records(name) for name in self._added}
        lacking = {name: [unit for unit in wanted if unit not in records[name]] for name in self._added}
        return {name: missing for name, missing in lacking.items() if missing}

    def prefetch(self, units: Callable[[], Iterable[str]]) -> None:
        """Begin to read the embeddings of added teachers, where the cache is far away."""
        for name in self._added:
            self.reader.teachers.prefetch(name, units())
