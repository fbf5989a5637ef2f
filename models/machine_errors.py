"""Recognizes errors of the machine, which say nothing about the file or model at hand. Loads no torch."""

import errno

_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
# torch raises its own class for CUDA, and a plain RuntimeError for the CPU, for MPS and for the libraries of CUDA
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of numpy, torch or Python says that there was too little memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether memory ran out, or the operating system refused something: no reason to call a local file damaged."""
    return is_out_of_memory(error) or (isinstance(error, OSError) and bool(error.errno))


def is_of_the_disk(error: BaseException) -> bool:
    """Whether memory ran out, or a disk refused something: not for want of a network."""
    return is_out_of_memory(error) or (isinstance(error, OSError) and error.errno in _OF_DISKS)
