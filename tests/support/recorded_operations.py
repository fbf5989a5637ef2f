"""File operations recorded while Python code performs them, for a model of what a power cut may undo.

Knows the os module and open; knows nothing of what the files hold, nor of what an operation promises.
"""

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

IN_FLUX = object()  # in place of a promised value that is being changed: whatever is found will do


@dataclass(eq=False)
class Node:
    """A file or a folder, whatever names it has now."""

    first_name: str
    is_folder: bool = field(repr=False)


@dataclass(frozen=True)
class Write:
    """data is what the file holds from here on, for whoever asks the running system."""

    file: Node
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Sync:
    """fsync: the data of a file, or the names in a folder, are on disk from here on."""

    node: Node


@dataclass(frozen=True)
class Naming:
    """Names in one folder that change together: a new one, one that goes (None), or both."""

    folder: Node
    names: dict[str, Node | None]


@dataclass(frozen=True)
class Mark:
    """What the program promises of key from here on: a value, None for its absence, or IN_FLUX."""

    key: str
    value: object = field(repr=False)


class Killed(BaseException):
    """Raised in place of every operation of a process that is to be dead."""


@dataclass
class Recorder:
    """Records what Python code does below folder, which is there at first, and lets it be done.

    What the folder holds at first is on disk for sure: initial_names, initial_data.
    """

    folder: Path
    dies_after: float = float("inf")  # operations
    operations: list = field(default_factory=list)
    num_marks: int = 0

    def __post_init__(self):
        self.top = Node("", True)
        self._nodes = {str(self.folder): self.top}  # by path
        self._handles: dict[int, Node] = {}
        self._written: dict[str, bytes | None] = {}  # last known data of files opened for writing, by path
        self.initial_names: dict[Node, dict[str, Node]] = {}
        self.initial_data: dict[Node, bytes] = {}
        for path in sorted(Path(self.folder).rglob("*")):
            self._adopt(path)

    def _adopt(self, path: Path) -> None:
        node = Node(str(path.relative_to(self.folder)), path.is_dir())
        self._nodes[str(path)] = node
        self.initial_names.setdefault(self._nodes[str(path.parent)], {})[path.name] = node
        if not node.is_folder:
            self.initial_data[node] = path.read_bytes()

    def mark(self, key: str, value: object) -> None:
        self._notice_writes()
        self.operations.append(Mark(key, value))
        self.num_marks += 1

    @contextmanager
    def recording(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("link", "rename", "replace", "unlink", "remove", "rmdir", "mkdir"):
                patch.setattr(os, name, self._naming(name, getattr(os, name)))
            for name in ("fsync", "fdatasync"):
                patch.setattr(os, name, self._syncing(getattr(os, name)))
            patch.setattr(os, "open", self._opening(os.open, lambda flags, *_, **__: flags & (os.O_WRONLY | os.O_RDWR)))
            opened = self._opening(open, lambda mode="r", *_, **__: set(mode) & set("wxa+"))
            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            yield
            self._notice_writes()

    def _naming(self, name: str, real: Callable) -> Callable:
        def recorded(path, *arguments, **named):
            if (old := self._inside(path)) is None:
                return real(path, *arguments, **named)
            self._begin()
            real(path, *arguments, **named)
            if name == "mkdir":
                self._rename({old: Node(old.removeprefix(f"{self.folder}/"), True)})
            elif name == "link":
                self._rename({os.fspath(arguments[0]): self._nodes[old]})
            elif name in ("rename", "replace"):
                self._rename({os.fspath(arguments[0]): self._nodes[old], old: None})
            else:
                self._rename({old: None})

        return recorded

    def _opening(self, real: Callable, to_write: Callable) -> Callable:
        def recorded(path, *arguments, **named):
            inside = self._inside(path)
            writes = inside and to_write(*arguments, **named)
            if writes:
                self._begin()
            opened = real(path, *arguments, **named)
            if writes and inside not in self._nodes:
                self._rename({inside: Node(inside.removeprefix(f"{self.folder}/"), False)})
            if writes:
                self._written[inside] = None
            self._handles[opened if isinstance(opened, int) else opened.fileno()] = self._nodes.get(inside)
            return opened

        return recorded

    def _syncing(self, real: Callable) -> Callable:
        def recorded(handle):
            node = self._handles.get(handle if isinstance(handle, int) else handle.fileno())
            if node:
                self._begin()
            real(handle)
            if node:
                self.operations.append(Sync(node))

        return recorded

    def _inside(self, path) -> str | None:
        name = str(path) if isinstance(path, (str, Path)) else ""
        return name if f"{name}/".startswith(f"{self.folder}/") else None

    def _begin(self) -> None:
        self._notice_writes()
        if len(self.operations) - self.num_marks >= self.dies_after:
            raise Killed

    def _notice_writes(self) -> None:
        for path, known in self._written.items():
            data = Path(path).read_bytes()
            if data != known:
                self._written[path] = data
                self.operations.append(Write(self._nodes[path], data))

    def _rename(self, nodes: dict[str, Node | None]) -> None:
        (folder,) = {os.path.dirname(path) for path in nodes}  # a rename from one folder to another has no model here
        for path, node in nodes.items():
            self._written.pop(path, None)
            if node is None:
                del self._nodes[path]
            else:
                self._nodes[path] = node
        self.operations.append(Naming(self._nodes[folder], {os.path.basename(p): node for p, node in nodes.items()}))
