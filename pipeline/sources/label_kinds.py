"""Options such as --epic-labels, which name kinds of labels of a data set, comma-separated."""

from collections.abc import Collection

from embedonce.pipeline.settings.options import ANNOTATIONS, setting


def kinds_setting(data_set: str, known: Collection[str]) -> str | None:
    """The declaration of such an option as a field of a dataclass. The first of the known kinds is the default."""
    return setting(
        help=f"Labels of {data_set}, comma-separated: {', '.join(known)}.",
        group=ANNOTATIONS,
        metavar="KINDS",
        default_text=next(iter(known)),
    )


def chosen_kinds(option: str, given: str | None, known: Collection[str]) -> tuple[str, ...]:
    """The kinds that an option names, in its order; the first of the known ones if it is not given.

    ValueError for unknown and repeated kinds.
    """
    if given is None:
        return tuple(known)[:1]
    names = tuple(given.split(","))
    if not set(names) <= set(known) or len(set(names)) < len(names):
        raise ValueError(f"{option} must be one or more of {', '.join(known)}, comma-separated, got {given!r}")
    return names
