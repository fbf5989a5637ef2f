"""Quantities with units for people to read."""


def in_bytes(count: int) -> str:
    """A number of bytes with a unit, such as "1.5 GB"; 1 GB is 10^9 bytes."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:.1f} {name}"
