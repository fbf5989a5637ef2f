"""Which states a power cut may leave after recorded operations, as far as POSIX promises, and a look at each.

Knows that only fsync makes data and names durable; knows nothing of what the files hold.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.recorded_operations import IN_FLUX, Mark, Naming, Node, Recorder, Sync, Write

_FATES = {  # of data that was written and not fsynced; old: what was fsynced before
    "whole": lambda old, new: new,
    "half": lambda old, new: new[: len(new) // 2],
    "empty": lambda old, new: b"",
    "old": lambda old, new: old,
}
_RANDOM_NAME = re.compile(r"/(\.[a-z]+)-[^/]*")  # what follows the dash in a hidden file's name is random


class Disk:
    """What is on disk for sure after some operations, and what may or may not be."""

    def __init__(self, recorder: Recorder):
        self._top = recorder.top
        self._names: dict[Node, dict[str, Node | None]] = {**recorder.initial_names}
        self._pending: list[Naming] = []
        self._synced: dict[Node, bytes] = {**recorder.initial_data}
        self._data: dict[Node, bytes] = {**recorder.initial_data}
        self.promised: dict[str, object] = {}

    def after(self, operations: list) -> "Disk":
        for operation in operations:
            self.apply(operation)
        return self

    def apply(self, operation) -> None:
        match operation:
            case Mark(key, value):
                self.promised[key] = value
            case Write(file, data):
                self._data[file] = data
            case Naming():
                self._pending.append(operation)
            case Sync(node) if node.is_folder:
                self._names = self._named([n for n in self._pending if n.folder is node])
                self._pending = [n for n in self._pending if n.folder is not node]
            case Sync(node):
                self._synced[node] = self._data.get(node, b"")

    def trees(self) -> Iterator[dict[str, bytes | None]]:
        """The states that a power cut now may leave, many of them more than once: path -> data, None for a folder."""
        unsynced = [file for file, data in self._data.items() if data != self._synced.get(file)]
        for kept in _selections(self._pending):
            for fate in _FATES if unsynced else ("whole",):
                yield self.tree(kept, dict.fromkeys(unsynced, fate))
        for file in unsynced:
            for fate in ("half", "empty"):
                yield self.tree(self._pending, {file: fate})

    def tree(self, kept: list[Naming] | None = None, fates: dict[Node, str] | None = None) -> dict[str, bytes | None]:
        """The state with these names of the pending ones (None: all) and these fates of data (otherwise whole)."""
        names, fates, found = self._named(self._pending if kept is None else kept), fates or {}, {}
        folders = [("", self._top)]
        while folders:
            prefix, folder = folders.pop()
            for name, node in names.get(folder, {}).items():
                if node is None:
                    continue
                found[prefix + name] = None
                if node.is_folder:
                    folders.append((f"{prefix}{name}/", node))
                else:
                    fate = _FATES[fates.get(node, "whole")]
                    found[prefix + name] = fate(self._synced.get(node, b""), self._data.get(node, b""))
        return found

    def _named(self, namings: list[Naming]) -> dict[Node, dict[str, Node | None]]:
        names = dict(self._names)
        for naming in namings:
            names[naming.folder] = names.get(naming.folder, {}) | naming.names
        return names


def _selections(pending: list) -> Iterator[list]:
    """All, none, all but one, only one, and the first few of what may have reached the disk."""
    for i in range(len(pending) + 1):
        yield pending[:i]
    for i in range(len(pending)):
        yield pending[:i] + pending[i + 1 :]
        yield [pending[i]]


@dataclass
class Explorer:
    """Looks at every state of a recording: examine(folder) -> (what is found there by key, complaints)."""

    scratch: Path
    examine: Callable[[Path], tuple[dict, list[str]]]
    num_states: int = 0
    examined: dict = field(default_factory=dict)

    def violations(self, recorder: Recorder, first: int = 0) -> Iterator[str]:
        """Complaints about the states after `first` operations and more, marks counted."""
        disk = Disk(recorder).after(recorder.operations[:first])
        for position, operation in enumerate(recorder.operations[first:], first):
            disk.apply(operation)
            for tree in disk.trees():
                self.num_states += 1
                found, complaints = self._look(tree)
                for key, value in disk.promised.items():
                    if value is not IN_FLUX and found.get(key) != value:
                        complaints = [*complaints, f"{key} was promised and is lost or changed"]
                yield from (f"after {position} operations and {operation}: {text}" for text in complaints)

    def _look(self, tree: dict[str, bytes | None]) -> tuple[dict, list[str]]:
        key = tuple(sorted((_RANDOM_NAME.sub(r"/\1", f"/{path}"), data or b"") for path, data in tree.items()))
        if key not in self.examined:
            folder = self.scratch / str(len(self.examined))
            folder.mkdir()
            for path, data in tree.items():
                folder.joinpath(path).mkdir() if data is None else folder.joinpath(path).write_bytes(data)
            self.examined[key] = self.examine(folder)
            shutil.rmtree(folder)
        return self.examined[key]
