"""The kinds of annotations that --annotations offers. Adding one takes a module and one line here."""

from embedonce.pipeline.sources.ego4d.annotations import fho, goalstep, lta, moments, narrations, oscc
from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationKind, ClassWords

_MODULES = (
    moments,
    fho,
    lta,
    oscc,
    goalstep,
    narrations,
)
KINDS: dict[str, AnnotationKind] = {kind.name: kind for module in _MODULES for kind in module.KINDS}
KIND_NAMES = tuple(KINDS)
DEFAULT_KIND = "moments"


def kinds_named_by(words: ClassWords) -> tuple[str, ...]:
    """The kinds whose class names are verbs, nouns or sentences."""
    return tuple(kind.name for kind in KINDS.values() if kind.class_words is words)
