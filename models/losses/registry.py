"""The registered loss terms: training, its command-line options, its log and the ablation all read this list."""

from embedonce.models.losses.feature import FEATURE
from embedonce.models.losses.response import RESPONSE
from embedonce.models.losses.task import TASK
from embedonce.models.losses.term import LossSettings, LossTerm, Need
from embedonce.models.losses.text import TEXT

_terms: dict[str, LossTerm] = {}


def register(term: LossTerm) -> None:
    """Add a term to every training run of this process. ValueError if its name or its option is taken.

    Terms from outside this package must be registered before the command line is parsed.
    """
    flags = {flag for other in _terms.values() for flag in other.weight.flags}
    if term.name in {"total", *_terms}:
        raise ValueError(f"loss term {term.name!r} is registered already; choose another name")
    if taken := flags.intersection(term.weight.flags):
        raise ValueError(f"option {', '.join(sorted(taken))} of loss term {term.name!r} belongs to another term")
    _terms[term.name] = term


def loss_terms() -> tuple[LossTerm, ...]:
    """All registered terms, in the order of registration."""
    return tuple(_terms.values())


def loss_settings(temperature: float = 4.0, **weights: float) -> LossSettings:
    """Settings with weights by option, such as alpha=0.7; the others are defaults. ValueError for unknown options."""
    defaults = {term.weight.name: term.weight.default for term in loss_terms()}
    if unknown := sorted(set(weights) - set(defaults)):
        raise ValueError(f"unknown loss weights {', '.join(unknown)}; there are {', '.join(defaults)}")
    values = defaults | weights
    return LossSettings({term.name: values[term.weight.name] for term in loss_terms()}, temperature)


def uses(settings: LossSettings, need: Need) -> bool:
    """Whether a term with a weight needs this data."""
    return any(settings.weights[term.name] for term in loss_terms() if need in term.needs)


register(FEATURE)
register(RESPONSE)
register(TASK)
register(TEXT)
