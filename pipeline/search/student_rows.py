"""Embeds stored frames with a student, in the space of its teacher."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from embedonce.cache import commit
from embedonce.cache.reader import CacheReader
from embedonce.models.device import choose_device, exact_float32
from embedonce.pipeline.checkpoints.cache_fit import check_teacher
from embedonce.pipeline.checkpoints.checkpoint import load_student
from embedonce.pipeline.clips.inference import diverged
from embedonce.pipeline.frames import canonical_frame

BATCH_SIZE = 64


class StudentEmbedder:
    """A student that embeds stored frames as it embeds those of clips: the evaluation crop, in exact float32.

    digest: SHA-256 of the checkpoint.
    """

    def __init__(self, path: Path, reader: CacheReader, device: str):
        """CheckpointError if the student was trained from another teacher."""
        student, checkpoint = load_student(path)
        self.digest = commit.sha256(path.read_bytes())
        check_teacher(path, checkpoint, reader.identity.teacher)
        self._device = choose_device(device)
        self._path, self._reader = path, reader
        self._student = student.to(self._device)

    def unit(self, unit: str) -> np.ndarray:
        """(n, D) float16 unit vectors of the frames of a unit."""
        shard, rows = self._reader.frames(unit), self._reader.records[unit].num_rows
        parts = [
            self.embed([(shard.jpeg(row), self._reader.views_of(unit, row)[0]) for row in range(first, stop)])
            for first in range(0, rows, BATCH_SIZE)
            if (stop := min(first + BATCH_SIZE, rows))
        ]
        return np.concatenate(parts).astype(np.float16)

    def embed(self, frames: list[tuple[bytes, np.ndarray]]) -> np.ndarray:
        """(B, D) float32 unit vectors of B stored frames, each with the view (6,) to take of it."""
        side, short_side = self._student.config.resolution, self._reader.identity.canonical_short_side
        images = np.stack([canonical_frame.load_view(jpeg, view, side, short_side) for jpeg, view in frames])
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(self._device)
        with torch.inference_mode(), exact_float32():
            vectors = functional.normalize(self._student.encode_frames(pixels).float(), dim=-1).cpu().numpy()
        if not np.isfinite(vectors).all():
            raise diverged(self._path)
        return vectors
