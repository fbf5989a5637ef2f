"""Archives of tensors, as torch.save writes them, held to what they may be before torch opens them.

torch.load with weights_only runs nothing, and bounds nothing: compressed entries, storages that are shorter than their
tensors, and calls that allocate are refused here, from the directory of the archive and the opcodes of its pickle.
Knows zip files and pickles; loads no torch.
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

MAX_ENTRIES = 50_000  # an entry is a tensor
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
MAX_VALUES = 2_000_000  # plain ones; a list that stands in several places counts in each
MAX_DEPTH = 64
MAX_TEXT = 100_000  # characters
_MAX_RANK = 8


class Storage:
    """A stretch of stored values: how many bytes each has, and how many there are (None of a kind by itself)."""

    def __init__(self, item_bytes: int, count: int | None = None):
        self.item_bytes, self.count = item_bytes, count


class Tensor:
    """What an archive says of one tensor: its shape, and the bytes that its elements take."""

    def __init__(self, storage: Storage, offset, shape, strides, requires_grad, hooks):
        """ValueError where the tensor does not lie within its storage, each element in a place of its own."""
        self.shape, steps = _numbers(shape), _numbers(strides)
        (first,) = _numbers((offset,))
        elements = math.prod(self.shape)
        if requires_grad is not False or hooks or len(self.shape) != len(steps) or storage.count is None:
            raise ValueError("a tensor is not stored as training writes it")
        reach = sum((side - 1) * step for side, step in zip(self.shape, steps, strict=True))
        if (elements and first + reach >= storage.count) or elements > storage.count:
            raise ValueError(f"a tensor of shape {self.shape} does not lie within its {storage.count} stored values")
        self.num_bytes = elements * storage.item_bytes


def check_archive(path: Path, limit: int) -> dict:
    """What an archive of tensors and plain values holds, with a Tensor in the place of each tensor.

    limit: bytes that the file may have. OSError where it cannot be opened; ValueError, in words, where it is anything
    else, or takes more memory than its own size.
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
    """ValueError where a file is a zip archive whose entries take more than the file: compressed, or one over another.

    Files of other kinds are left to their own readers.
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
    """ValueError where the directory of a zip file has too many entries to be read."""
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
        raise ValueError("it has two entries of one name, or something before its first entry")
    _check_sizes(entries, size)
    names = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1 or sizes[names[0]] > MAX_BYTES:
        raise ValueError("it has no data.pkl, or one that is too large")
    data = archive.read(names[0])
    check_pickle(data, NAMES)
    return _unpickled(data, sizes, names[0].removesuffix(".pkl"))


def _check_sizes(entries: list[zipfile.ZipInfo], size: int) -> None:
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries):
        raise ValueError("it holds compressed entries, which may be of any size")
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
        raise ValueError("its tensors are larger than what is stored of them")
    return content


class _Reader(pickle.Unpickler):
    """Plain values as they are, a Tensor for each tensor; all other names were refused before."""

    def __init__(self, data: bytes, sizes: dict[str, int], folder: str):
        super().__init__(io.BytesIO(data))
        self._sizes, self._folder, self.num_bytes = sizes, folder, 0

    def find_class(self, module: str, name: str):
        """What stands for one of NAMES."""
        if f"{module} {name}" not in NAMES:
            raise ValueError(f"its pickle calls {module} {name}")
        if name in _ITEM_BYTES:
            return Storage(_ITEM_BYTES[name])
        return _empty if name == "OrderedDict" else self._tensor

    def persistent_load(self, pid) -> Storage:
        """A storage that the archive really holds. ValueError where it is shorter or longer than it says."""
        _, kind, key, _, count = pid
        held = self._sizes.get(f"{self._folder}/{key}") if type(key) is str else None
        if type(count) is not int or type(kind) is not Storage or held is None or count * kind.item_bytes != held:
            raise ValueError("a tensor's storage is not there, or of another size than it says")
        return Storage(kind.item_bytes, count)

    def _tensor(self, *facts) -> Tensor:
        made = Tensor(*facts)
        self.num_bytes += made.num_bytes
        return made


def _empty() -> OrderedDict:
    return OrderedDict()


def _numbers(values) -> tuple[int, ...]:
    if type(values) is not tuple or len(values) > _MAX_RANK:
        raise ValueError("a tensor has a shape that is none")
    if any(type(value) is not int or not 0 <= value < 2**40 for value in values):
        raise ValueError("a tensor has sides that are no numbers")
    return values


def _check_values(content: dict) -> None:
    """ValueError where there are values other than plain ones and tensors, too many of them, or too deep a nesting."""
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
    raise ValueError(f"its values lie more than {MAX_DEPTH} deep in each other")


def _parts(value) -> list:
    """What a value holds. ValueError where it is neither plain nor a tensor."""
    kind = type(value)
    if kind in (dict, OrderedDict):
        return [*value, *value.values()]
    if kind in (list, tuple):
        return list(value)
    if kind is str and len(value) <= MAX_TEXT:
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError(f"{value[:40]!a} is no text: it holds half of a surrogate pair") from None
        return []
    if kind in (Tensor, float, bool, type(None)) or (kind is int and -(2**63) <= value < 2**63):
        return []
    raise ValueError(f"it holds a {kind.__name__} that is neither a tensor nor a plain value, or far too large")
