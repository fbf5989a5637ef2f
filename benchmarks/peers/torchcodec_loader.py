"""torchcodec in the worker processes of a DataLoader, which also transform the frames; the main process embeds them."""

import os
from pathlib import Path

import click
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchcodec.decoders import VideoDecoder
from torchvision.transforms.functional import to_pil_image

from benchmarks.peers.clip_model import embed, load, options


class Videos(Dataset):
    """One item for each video: (path, (N,) seconds, (N, 3, S, S) float32)."""

    def __init__(self, paths: list[Path], fps: float, transform):
        self._paths, self._fps, self._transform = paths, fps, transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, position: int) -> tuple[str, torch.Tensor, torch.Tensor]:
        path = self._paths[position]
        decoder = VideoDecoder(str(path), num_ffmpeg_threads=1)
        times = np.arange(decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds, 1 / self._fps)
        seconds, images = [], []
        for time in times:
            frame = decoder.get_frame_played_at(float(time))
            seconds.append(frame.pts_seconds)
            images.append(self._transform(to_pil_image(frame.data)))
        return str(path), torch.tensor(seconds), torch.stack(images)


@click.command()
@options
def main(videos: Path, output: Path, fps: float, model: str, weights: str, config: Path | None):
    """Embed every video of a folder."""
    clip, transform = load(model, weights, config)
    dataset = Videos(sorted(videos.iterdir()), fps, transform)
    loader = DataLoader(dataset, batch_size=None, num_workers=len(os.sched_getaffinity(0)), prefetch_factor=1)
    for path, seconds, images in loader:
        embeddings = embed(clip, list(images)).numpy()
        np.savez(output / f"{Path(path).stem}.npz", seconds=seconds.numpy(), embeddings=embeddings)


if __name__ == "__main__":
    main()
