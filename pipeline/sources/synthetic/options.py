"""The options of the synthetic source."""

from dataclasses import dataclass

from embedonce.pipeline.settings import ranges
from embedonce.pipeline.settings.options import DATA, Option, setting
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions

USE_SYNTHETIC = Option(default=False, help="Generate labeled synthetic egocentric videos and use them.", group=DATA)
NUM_SAMPLES = Option(default=480, help="Number of labeled synthetic clips.", group=DATA, range=ranges.COUNT)


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions(Ego4dOptions):
    """Which synthetic videos are made; their annotations have Ego4D's format, and are read with its options.

    num_actions: number of classes; None: all. num_actions and seed are options of the command.
    """

    use_synthetic: bool = setting(USE_SYNTHETIC)
    num_samples: int = setting(NUM_SAMPLES)
    num_actions: int | None = None
    seed: int = 0
