"""Recognizes errors that say that memory ran out, of the machine or of its accelerator, without loading torch."""

# torch raises its own class for CUDA, and a plain RuntimeError for the CPU, for MPS and for the libraries of CUDA
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of numpy, torch or Python says that there was too little memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)
