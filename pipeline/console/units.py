"""Quantities with units for people to read."""


def in_bytes(count: int) -> str:
    """A number of bytes with a unit, such as "1.5 GB"; 1 GB is 10^9 bytes."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:.1f} {name}"


def format_duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours, with up to two digits."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
