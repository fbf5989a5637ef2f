"""Pickles told from their opcodes before anything unpickles them: which names they call, and how much they hold.

An unpickler that calls nothing but constructors of tensors still allocates what a few bytes ask for: a bytearray of
gigabytes, a memo of billions of places. So names and opcodes are held against short lists. Pure functions of bytes.
"""

import pickletools

MAX_BYTES = 32 << 20  # of a pickle: tensors lie beside it; names of classes and files are most of it
MAX_OPCODES = 2_000_000  # an empty dictionary is one, and takes 64 bytes
# What torch.save writes plain data and tensors with (protocol 2); nothing that allocates more than its own bytes
_PLAIN = {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_MANY = {"EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"}
_TUPLES = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_MEMO = {"BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}
OPCODES = {"PROTO", "MARK", "STOP", "GLOBAL", "BINPERSID", "REDUCE", "BUILD"} | _PLAIN | _MANY | _TUPLES | _MEMO


def check_pickle(data: bytes, names: frozenset[str]) -> None:
    """ValueError where a pickle holds anything but plain values and what these names ("module name") make."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"its pickle has {len(data)} bytes, more than the {MAX_BYTES} that are read")
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in OPCODES:
            raise ValueError(f"its pickle holds {opcode.name}, which is not needed for tensors and plain values")
        if opcode.name == "GLOBAL" and argument not in names:
            raise ValueError(f"its pickle calls {argument[:60]!a}, which makes neither a tensor nor a plain value")
        if opcode.name == "LONG_BINPUT" and argument > count:
            raise ValueError("its pickle remembers more values than it holds")
        if count > MAX_OPCODES:
            raise ValueError(f"its pickle has more than {MAX_OPCODES} operations")
