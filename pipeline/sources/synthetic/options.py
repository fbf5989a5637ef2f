"""The options of the synthetic source."""

from dataclasses import dataclass

from embedonce.pipeline.sources.ego4d.options import Ego4dOptions


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions(Ego4dOptions):
    """Which synthetic videos are made; their annotations have Ego4D's format, and are read with its options.

    num_samples: labeled clips. num_actions: classes; None: all.
    """

    use_synthetic: bool = False
    num_samples: int = 480
    num_actions: int | None = None
    seed: int = 0
