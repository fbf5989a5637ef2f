"""Checks pickles by their opcodes before they are unpickled: which names they call and how many values they hold.

Even an unpickler that calls only tensor constructors can be made to allocate gigabytes by a few bytes (a bytearray, a
memo index). So names and opcodes must be on short lists. Pure functions of bytes.
"""

import pickletools

MAX_BYTES = 32 << 20  # of a pickle without tensor data; most of it is names of classes and files
MAX_OPCODES = 2_000_000  # an empty dictionary is one opcode and takes 64 bytes of memory
# Opcodes that torch.save uses for plain data and tensors (protocol 2); none allocates more than its own bytes
_PLAIN = {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_MANY = {"EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"}
_TUPLES = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_MEMO = {"BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}
OPCODES = {"PROTO", "MARK", "STOP", "GLOBAL", "BINPERSID", "REDUCE", "BUILD"} | _PLAIN | _MANY | _TUPLES | _MEMO


def check_pickle(data: bytes, names: frozenset[str]) -> None:
    """Raise ValueError if a pickle holds anything but plain values and calls of these names ("module name")."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"its pickle has {len(data)} bytes, more than the limit of {MAX_BYTES}")
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in OPCODES:
            raise ValueError(f"its pickle holds {opcode.name}, which is not needed for tensors and plain values")
        if opcode.name == "GLOBAL" and argument not in names:
            raise ValueError(f"its pickle calls {str(argument)[:60]!a}, which makes neither a tensor nor a plain value")
        if opcode.name == "LONG_BINPUT" and (argument or 0) > count:
            raise ValueError("its pickle has a memo index larger than its number of values")
        if count > MAX_OPCODES:
            raise ValueError(f"its pickle has more than {MAX_OPCODES} operations")
