"""Checks archives of tensors, as torch.save writes them, before torch opens them; imports no torch.

torch.load with weights_only runs no code but does not limit memory: compressed entries, storages shorter than their
tensors, and pickled calls that allocate are rejected here, from the zip directory and the pickle's opcodes alone.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

from embedonce.models.pickles import MAX_BYTES, check_pickle
from embedonce.models.plain_files import open_plain

MAX_ENTRIES = 50_000  # one per tensor
ZIP_BEGINNING = b"PK\x03\x04"
_ENTRY = b"PK\x01\x02"
_ITEM_BYTES = {
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage"), 8),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
}
NAMES = frozenset(
    ("torch._utils _rebuild_tensor_v2", "collections OrderedDict", *(f"torch {name}" for name in _ITEM_BYTES))
)
MAX_VALUES = 2_000_000  # a list referenced several times counts each time
MAX_DEPTH = 64
MAX_TEXT = 100_000  # characters
_MAX_RANK = 8


class Storage:
    """A tensor storage: bytes per value and number of values (None for the storage type alone)."""

    def __init__(self, item_bytes: int, count: int | None = None):
        self.item_bytes, self.count = item_bytes, count


class Tensor:
    """Shape and size in bytes of one tensor in an archive."""

    def __init__(self, storage: Storage, offset, shape, strides, requires_grad, hooks):
        """Raise ValueError if the tensor exceeds its storage or has more elements than the storage."""
        self.shape, steps = _numbers(shape), _numbers(strides)
        (first,) = _numbers((offset,))
        elements = math.prod(self.shape)
        if requires_grad is not False or hooks or len(self.shape) != len(steps) or storage.count is None:
            raise ValueError("a tensor is stored in an unexpected form")
        reach = sum((side - 1) * step for side, step in zip(self.shape, steps, strict=True))
        if (elements and first + reach >= storage.count) or elements > storage.count:
            raise ValueError(f"a tensor of shape {self.shape} does not fit into its {storage.count} stored values")
        self.num_bytes = elements * storage.item_bytes


def check_archive(path: Path, limit: int) -> dict:
    """The content of an archive of tensors and plain values, with a Tensor in place of each tensor.

    limit: maximum file size in bytes. Raises OSError if the file cannot be opened, and ValueError if it is something
    else or needs more memory than its own size.
    """
    with open_plain(path, limit) as file:
        size = file.seek(0, io.SEEK_END)
        check_directory(file)
        file.seek(0)
        if file.read(4) != ZIP_BEGINNING:
            raise ValueError("it is not an archive of tensors")
        try:
            with zipfile.ZipFile(file) as archive:
                return _content(archive, size)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OverflowError, struct.error) as error:
            raise ValueError(f"it is not an archive of tensors ({error})") from error


def check_entries(path: Path) -> None:
    """Raise ValueError if a file is a zip archive with compressed or overlapping entries, larger than the file.

    Files of other types pass; their readers check them.
    """
    with open_plain(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if file.read(4) != ZIP_BEGINNING:
            return
        check_directory(file)
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive.infolist(), size)


def check_directory(file: BinaryIO) -> None:
    """Raise ValueError if the directory of a zip file has more than MAX_ENTRIES entries."""
    file.seek(0)
    count, block = 0, b""
    while data := file.read(1 << 24):
        count += (block[-3:] + data).count(_ENTRY)
        block = data
    if count > MAX_ENTRIES:
        raise ValueError(f"it has more than {MAX_ENTRIES} entries")


def _content(archive: zipfile.ZipFile, size: int) -> dict:
    entries = archive.infolist()
    sizes = {entry.filename: entry.file_size for entry in entries}
    if len(sizes) < len(entries) or min((entry.header_offset for entry in entries), default=1):
        raise ValueError("two of its entries have the same name, or its first entry does not start the file")
    _check_sizes(entries, size)
    names = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1 or sizes[names[0]] > MAX_BYTES:
        raise ValueError("its data.pkl is missing or too large")
    data = archive.read(names[0])
    check_pickle(data, NAMES)
    return _unpickled(data, sizes, names[0].removesuffix(".pkl"))


def _check_sizes(entries: list[zipfile.ZipInfo], size: int) -> None:
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries):
        raise ValueError("it holds compressed entries, whose size is not limited")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries are larger than the file")


def _unpickled(data: bytes, sizes: dict[str, int], folder: str) -> dict:
    reader = _Reader(data, sizes, folder)
    try:
        content = reader.load()
    except ValueError:
        raise
    except (pickle.UnpicklingError, TypeError, AttributeError, LookupError, EOFError, OverflowError) as error:
        raise ValueError(f"its pickle is malformed ({str(error)[:100]})") from error
    if type(content) is not dict:
        raise ValueError(f"it holds a {type(content).__name__}")
    _check_values(content)
    if reader.num_bytes > sum(sizes.values()):
        raise ValueError("its tensors are larger than their stored data")
    return content


class _Reader(pickle.Unpickler):
    """Unpickles plain values, and a Tensor for each tensor; check_pickle() has rejected all other names."""

    def __init__(self, data: bytes, sizes: dict[str, int], folder: str):
        super().__init__(io.BytesIO(data))
        self._sizes, self._folder, self.num_bytes = sizes, folder, 0

    def find_class(self, module: str, name: str):
        """The stand-in for one of NAMES."""
        if f"{module} {name}" not in NAMES:
            raise ValueError(f"its pickle calls {module} {name}")
        if name in _ITEM_BYTES:
            return Storage(_ITEM_BYTES[name])
        return _empty if name == "OrderedDict" else self._tensor

    def persistent_load(self, pid) -> Storage:
        """A storage of the archive. Raises ValueError if its entry is missing or has another size."""
        _, storage, key, _, count = pid
        size = self._sizes.get(f"{self._folder}/{key}") if type(key) is str else None
        if type(count) is not int or type(storage) is not Storage or count * storage.item_bytes != size:
            raise ValueError("a tensor's storage is missing or has the wrong size")
        return Storage(storage.item_bytes, count)

    def _tensor(self, *arguments) -> Tensor:
        tensor = Tensor(*arguments)
        self.num_bytes += tensor.num_bytes
        return tensor


def _empty() -> OrderedDict:
    return OrderedDict()


def _numbers(values) -> tuple[int, ...]:
    if type(values) is not tuple or len(values) > _MAX_RANK:
        raise ValueError(f"a tensor's shape is not a tuple of at most {_MAX_RANK} sizes")
    if any(type(value) is not int or not 0 <= value < 2**40 for value in values):
        raise ValueError("a tensor has a size, stride or offset out of range")
    return values


def _check_values(content: dict) -> None:
    """Raise ValueError for values other than plain ones and tensors, for too many, and for too deep nesting."""
    level, count = [content], 0
    for _ in range(MAX_DEPTH):
        inner: list = []
        for value in level:
            count += 1 if not isinstance(value, (dict, list, tuple)) else 1 + len(value)
            if count > MAX_VALUES:
                raise ValueError(f"it holds more than {MAX_VALUES} values")
            inner += _parts(value)
        if not inner:
            return
        level = inner
    raise ValueError(f"its values are nested more than {MAX_DEPTH} deep")


def _parts(value) -> list:
    """The values inside a value. Raises ValueError if it is neither plain nor a tensor."""
    value_type = type(value)
    if value_type in (dict, OrderedDict):
        return [*value, *value.values()]
    if value_type in (list, tuple):
        return list(value)
    if value_type is str and len(value) <= MAX_TEXT:
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError(f"{value[:40]!a} is not valid text: it has half of a surrogate pair") from None
        return []
    if value_type in (Tensor, float, bool, type(None)) or (value_type is int and -(2**63) <= value < 2**63):
        return []
    raise ValueError(f"it holds a {value_type.__name__} that is neither a tensor nor a plain value, or is too large")
