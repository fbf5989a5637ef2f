"""The kinds of annotations there are: their files and their readers. One kind is one label set of a cache."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.ego4d import fho, moments, narrations
from pipeline.ego4d.reading import Reading


@dataclass(frozen=True)
class Kind:
    """files: any of them will do. read: adds what it finds to a Reading."""

    files: tuple[str, ...]
    read: Callable[[Reading], None]


KINDS = {
    "moments": Kind(tuple(moments.FILES), moments.read_moments),
    "fho-verbs": Kind(fho.MAIN, fho.read_main_verbs),
    "fho-nouns": Kind(fho.MAIN, fho.read_main_nouns),
    "lta-verbs": Kind(fho.LTA, fho.read_lta_verbs),
    "lta-nouns": Kind(fho.LTA, fho.read_lta_nouns),
    "narrations": Kind(narrations.FILES, narrations.read_narrations),
    "narrations-all": Kind(narrations.FILES, narrations.read_all_narrations),
}
