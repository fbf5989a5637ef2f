"""The kinds of annotations there are: their files and their readers. One kind is one label set of a cache."""

from collections.abc import Callable
from dataclasses import dataclass

from embedonce.pipeline.sources.ego4d import fho, goalstep, lta, moments, narrations, oscc
from embedonce.pipeline.sources.ego4d.reading import Reading


@dataclass(frozen=True)
class Kind:
    """files: any of them will do. read: adds what it finds to a Reading."""

    files: tuple[str, ...]
    read: Callable[[Reading], None]


KINDS = {
    "moments": Kind(tuple(moments.FILES), moments.read_moments),
    "fho-verbs": Kind(fho.MAIN, fho.read_main_verbs),
    "fho-nouns": Kind(fho.MAIN, fho.read_main_nouns),
    "lta-verbs": Kind(tuple(lta.FILES), lta.read_verbs),
    "lta-nouns": Kind(tuple(lta.FILES), lta.read_nouns),
    "oscc": Kind(tuple(oscc.FILES), oscc.read_oscc),
    "goalstep": Kind(goalstep.ALL_FILES, goalstep.read_goalstep),
    "narrations": Kind(narrations.FILES, narrations.read_narrations),
    "narrations-all": Kind(narrations.FILES, narrations.read_all_narrations),
}
