"""The options of the Kinetics source."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KineticsOptions:
    """None: the tables say everything."""
