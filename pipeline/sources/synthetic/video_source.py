"""Synthetic egocentric videos as a video source: they are made first, in the layout of an Ego4D download."""

from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.settings import shared
from embedonce.pipeline.sources.source import OpenRequest, Source
from embedonce.pipeline.sources.synthetic.options import SyntheticOptions


class SyntheticSource:
    """Videos of the actions in scene/actions.py, with labels and splits."""

    name = "synthetic"
    description = "synthetic data"
    options_type = SyntheticOptions
    own_options: tuple[str, ...] = ()
    selects_classes = True

    def recognizes(self, root: Path | None, options: SyntheticOptions) -> bool:
        return options.use_synthetic

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        from embedonce.pipeline.sources.ego4d.source import ego4d_sources
        from embedonce.pipeline.sources.synthetic import generate  # imports av

        options: SyntheticOptions = request.options
        num_actions = options.num_actions or generate.MAX_ACTIONS
        if request.root is not None:
            root = request.folder
        else:
            if request.cache_dir is None:
                raise InputError("synthetic data need a folder: give one with --data-dir")
            folder = request.cache_dir.parent if isinstance(request.cache_dir, Path) else shared.RESULTS
            root = folder / f"synthetic_ego4d_{options.num_samples}x{num_actions}_seed{options.seed}"
        with Progress(None, "making synthetic videos", "videos") as progress:
            generate.make_synthetic(root, options.num_samples, num_actions, options.seed, progress)
        return ego4d_sources(root, options, request.cached_uids)
