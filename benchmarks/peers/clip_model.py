"""The teacher as open_clip loads it, with its own transform. The peers share it; it knows nothing of this project."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import open_clip
import torch

BATCH = 64  # images
RANDOM = "random"


def load(model: str, weights: str, config: Path | None) -> tuple[torch.nn.Module, Callable]:
    """A model in evaluation mode, and the transform from a PIL image to its input.

    weights: a file, or "random" with the seed 0. config: its configuration, if open_clip does not know the model.
    """
    settings = {}
    if config is not None:
        configured = json.loads(config.read_text())
        settings = {f"image_{name}": value for name, value in configured.pop("preprocess_cfg", {}).items()}
        with tempfile.TemporaryDirectory() as folder:  # open_clip takes it without the preprocessing only
            known = Path(folder) / f"{model}.json"
            known.write_text(json.dumps(configured))
            open_clip.add_model_config(known)
    torch.manual_seed(0)
    clip, _, transform = open_clip.create_model_and_transforms(
        model, pretrained=None if weights == RANDOM else weights, **settings
    )
    return clip.eval(), transform


@torch.inference_mode()
def embed(clip: torch.nn.Module, images: list[torch.Tensor]) -> torch.Tensor:
    """Images of a video -> (N, D), in batches."""
    parts = [clip.encode_image(torch.stack(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    return torch.cat(parts)


def options(command: Callable) -> Callable:
    """The options that every peer has."""
    for option in (
        click.option("--videos", type=click.Path(path_type=Path, exists=True), required=True, help="Folder."),
        click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for embeddings."),
        click.option("--fps", type=float, default=1.0, show_default=True),
        click.option("--model", required=True),
        click.option("--weights", default=RANDOM, show_default=True),
        click.option("--config", type=click.Path(path_type=Path, exists=True)),
    ):
        command = option(command)
    return command
