"""The obvious script: read each video with OpenCV, transform and embed the frames of each, save an array."""

from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image

from benchmarks.peers.clip_model import embed, load, options


def frames(path: Path, fps: float):
    """(seconds, image) of the first frame at or behind each time of the grid; the others are only decoded."""
    video = cv2.VideoCapture(str(path))
    rate = video.get(cv2.CAP_PROP_FPS)
    number, count = 0, 0
    while video.grab():
        if number >= count * rate / fps:
            _, image = video.retrieve()
            yield number / rate, Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            count += 1
        number += 1


@click.command()
@options
def main(videos: Path, output: Path, fps: float, model: str, weights: str, config: Path | None):
    """Embed every video of a folder."""
    clip, transform = load(model, weights, config)
    for path in sorted(videos.iterdir()):
        seconds, images = [], []
        for second, image in frames(path, fps):
            seconds.append(second)
            images.append(transform(image))
        np.savez(output / f"{path.stem}.npz", seconds=seconds, embeddings=embed(clip, images).numpy())


if __name__ == "__main__":
    main()
