"""Quantities as people read them."""


def in_bytes(count: int) -> str:
    """A number of bytes as people read it."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:.1f} {name}"
