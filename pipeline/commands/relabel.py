"""The command relabel: add a label set to a cache."""

from typing import Any

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import show
from embedonce.pipeline.labeling.settings import RelabelConfig


@command("relabel", settings=RelabelConfig)
def relabel(**options: Any) -> None:
    """Add a label set to a cache, without reading videos or embedding images.

    The logits are computed from the cached embeddings, by the teacher's text tower or by a fitted head.
    """
    config = build_config(RelabelConfig, options)
    from embedonce.pipeline.extraction import extract_teacher

    show(extract_teacher.relabel(config).summary)
