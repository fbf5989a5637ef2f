"""Checkpoints that somebody made to do harm: archives whose pickle or whose entries ask for more than they hold."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import torch

BEGIN, END = b"\x80\x02", b"."


def text(value: str) -> bytes:
    """The opcode of a text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def archive(path: Path, data: bytes, entries: dict[str, bytes] | None = None, compressed: bool = False) -> Path:
    """An archive as torch.save writes it, around this pickle and these storages."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/byteorder", "little")
        for name, stored in (entries or {}).items():
            file.writestr(f"archive/data/{name}", stored)
        file.writestr("archive/version", "3\n")
    return path


def deflated(path: Path) -> Path:
    """The archive at this path with every entry compressed."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def doubled_list(depth: int) -> list:
    """A list that holds itself twice, as often: short in memory, endless when it is written out."""
    made: list = []
    for _ in range(depth):
        made = [made, made]
    return made


def tensor(storage: bytes, shape: tuple, strides: tuple, kind: str = "FloatStorage", count: int = 1) -> bytes:
    """The opcodes of a tensor."""
    numbers = b"".join(
        [_numbers((0,)), b"(", *(_numbers((n,)) for n in shape), b"t(", *(_numbers((n,)) for n in strides), b"t"]
    )
    pid = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(storage.decode()) + text("cpu")
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (pid + _numbers((count,)) + b"tQ")
        + (numbers + b"\x89ccollections\nOrderedDict\n)RtR")
    )


def _numbers(values: tuple) -> bytes:
    return b"".join(pickle.encode_long(n).join((b"\x8a" + bytes([len(pickle.encode_long(n))]), b"")) for n in values)


# Pickles that allocate or never end, by what they do; each in the place of a checkpoint's content
PICKLES = {
    "a bytearray": BEGIN + b"c__builtin__\nbytearray\n\x8a\x05" + pickle.encode_long(6 * 10**9) + b"\x85R" + END,
    "a bytearray by its new name": BEGIN
    + b"cbuiltins\nbytearray\n\x8a\x05"
    + pickle.encode_long(6 * 10**9)
    + b"\x85R.",
    "a bytearray from the stack": b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93J\xff\xff\xff\x7f\x85R.",
    "an encoding": BEGIN + b"c_codecs\nencode\n" + text("a" * 1000) + text("utf-32") + b"\x86R" + END,
    "a set": BEGIN + b"c__builtin__\nset\n]\x85R" + END,
    "a huge bytearray8": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "a huge text": BEGIN + b"X" + struct.pack("<I", 0xFFFFFFFF) + b"x" + END,
    "a huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"}.",
    "a huge memo": BEGIN + b"}r" + struct.pack("<I", 0xFFFFFFF0) + END,
    "a memo in words": BEGIN + b"}p999999999999\n" + END,
    "a huge long": BEGIN + b"\x8b" + struct.pack("<i", 0x7FFFFFFF) + b"x" + END,
    "a long integer": BEGIN + b"}" + text("format") + b"\x8a\xff" + b"\x7f" * 255 + b"s" + END,
    "copied dictionaries": BEGIN + b"ccollections\nOrderedDict\n]\x85R" + END,
    "a size": BEGIN + b"ctorch\nSize\n]\x85R" + END,
    "a deep list": BEGIN + b"]" * 100_000 + b"a" * 99_999 + END,
    "many lists": BEGIN + b"](" + b"}" * 3_000_000 + b"e" + END,
    "no end": BEGIN + b"}",
    "nothing": b"",
    "a stack that is empty": BEGIN + b"s" + END,
    "an unknown memo": BEGIN + b"h\x05" + END,
    "a storage by itself": BEGIN + b"}" + text("format") + b"ctorch\nFloatStorage\ns" + END,
    "a surrogate": BEGIN + b"}" + text("format") + text("\ud800") + b"s" + END,
    "a tensor without a storage": BEGIN + b"}" + text("model") + tensor(b"9", (1,), (1,)) + b"s" + END,
    "a tensor spread out": BEGIN + b"}" + text("model") + tensor(b"0", (10**9, 10**3), (0, 0)) + b"s" + END,
    "a tensor beyond its storage": BEGIN + b"}" + text("model") + tensor(b"0", (1000,), (1,), count=1000) + b"s" + END,
}


def tensors_of(content: dict) -> bytes:
    """What torch.save writes of a content."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
