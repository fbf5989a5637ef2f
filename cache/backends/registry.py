"""The back ends by name. Choices of --backend, validation and readers all use this table."""

from embedonce.cache.backends.hdf5 import Hdf5Format
from embedonce.cache.backends.shard_format import ShardFormat
from embedonce.cache.backends.tar import WebDatasetFormat

BACKENDS: dict[str, ShardFormat] = {}


def register_backend(shard_format: ShardFormat) -> None:
    """Make a back end available under its name. ValueError if name or suffix belong to another one."""
    for other in BACKENDS.values():
        if shard_format.name == other.name or shard_format.suffix == other.suffix:
            raise ValueError(f"back end {shard_format.name!r} ({shard_format.suffix}): {other.name!r} is registered")
    if not shard_format.suffix.startswith(".") or "/" in shard_format.suffix:
        raise ValueError(f"the suffix of a back end begins with a dot, such as .h5, got {shard_format.suffix!r}")
    BACKENDS[shard_format.name] = shard_format


register_backend(Hdf5Format())
register_backend(WebDatasetFormat())
