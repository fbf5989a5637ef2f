"""Whether a command that writes into a cache has enough space for it."""

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.registry import Location, open_store
from embedonce.pipeline.console.units import in_bytes


def free_bytes(where: Location) -> int | None:
    """Free bytes where a cache is, or will be created; None if there is no limit that is known."""
    return open_store(where).free_bytes()


def check_space(where: Location, needed: int, advice: str) -> None:
    """StorageError if a place has fewer free bytes than needed. advice: what to do besides making space."""
    free = free_bytes(where)
    if free is not None and needed > free:
        raise StorageError(
            f"{where} needs about {in_bytes(needed)} more and its disk has {in_bytes(free)} free; make space, or "
            f"{advice}"
        )
