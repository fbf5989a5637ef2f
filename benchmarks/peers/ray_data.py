"""Ray Data's own recipe: read_videos at a rate, then map_batches with an actor that holds the model.

The reader decodes with decord; transforming and embedding happen in the actor, as in Ray's examples of batch inference.
"""

from pathlib import Path

import click
import numpy as np
import ray
import torch
from PIL import Image

from benchmarks.peers.clip_model import BATCH, embed, load, options


class Embedder:
    """The actor: rows of decoded frames become rows of embeddings."""

    def __init__(self, model: str, weights: str, config: Path | None):
        torch.set_num_threads(int(ray.cluster_resources()["CPU"]))  # Ray sets OMP_NUM_THREADS to 1 in an actor
        self._clip, self._transform = load(model, weights, config)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        images = [self._transform(Image.fromarray(frame)) for frame in batch["frame"]]
        seconds = np.asarray(batch["frame_timestamp"])[:, 0]
        return {"path": batch["path"], "seconds": seconds, "embedding": embed(self._clip, images).numpy()}


@click.command()
@options
def main(videos: Path, output: Path, fps: float, model: str, weights: str, config: Path | None):
    """Embed every video of a folder."""
    ray.init(include_dashboard=False, log_to_driver=False)
    paths = [str(path.resolve()) for path in sorted(videos.iterdir())]
    frames = ray.data.read_videos(paths, fps=round(fps), include_timestamps=True, include_paths=True)
    arguments = (model, weights, config)
    rows = frames.map_batches(Embedder, fn_constructor_args=arguments, batch_size=BATCH, concurrency=1).take_all()
    for path in paths:
        own = sorted((row["seconds"], tuple(row["embedding"])) for row in rows if row["path"] == path)
        seconds, embeddings = zip(*own, strict=True)
        np.savez(output / f"{Path(path).stem}.npz", seconds=seconds, embeddings=embeddings)
    ray.shutdown()


if __name__ == "__main__":
    main()
