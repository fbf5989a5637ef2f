"""The weights of --teachers. Imports nothing that computes."""

import math

from embedonce.cache.schema import UID_PATTERN

MAX_WEIGHT = 1e6


def parse_weights(text: str) -> dict[str, float]:
    """NAME:WEIGHT,NAME:WEIGHT as weights by name; without a weight it is 1. ValueError says what it must be."""
    weights = {}
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            weight = math.nan
        if not UID_PATTERN.fullmatch(name) or name in weights or not 0 < weight <= MAX_WEIGHT:
            raise ValueError("different names with weights above 0, such as first:1,dinov3:0.5")
        weights[name] = weight
    return weights
