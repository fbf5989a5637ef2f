"""Drawn frames as batches for the demo teacher's training: views as extraction stores them, light, blur and noise.

Knows frames and captions; knows no model.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.utils.data import Dataset

from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.demo_teacher.recipe import Captions, Frames, true_of
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH

GRAIN = 0.03  # of full brightness: the most noise that is added, the same to all channels
LIGHT, COLOR = 0.1, 0.05  # standard deviations of a factor's logarithm, of all channels and of each


class CaptionedCrops(Dataset):
    """Each frame through a view, with a caption that is true of it; both are drawn anew for every epoch.

    Items: crop (S, S, 3) uint8; frame, caption: indices into the frames and the captions. Half of the views are the
    teacher's evaluation crop, half random ones as extraction stores them, mirrored or not. Pure in seed and epoch.
    """

    def __init__(self, frames: Frames, sayable: Captions, teacher: TeacherIdentity, seed: int):
        self._frames, self._sayable, self._teacher, self._seed = frames, sayable, teacher, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        views = make_views(f"{self.epoch}:{index}", (FRAME_HEIGHT, FRAME_WIDTH), 1, self._seed, self._teacher)
        crop = canonical_frame.load_view(self._frames.jpegs[index], views[rng.integers(2)], self._teacher.input_size)
        true = np.flatnonzero(true_of(self._sayable.facts, self._frames.facts[index : index + 1])[0])
        return {"crop": crop.copy(), "frame": index, "caption": int(rng.choice(true))}

    def truth(self, batch: dict) -> Tensor:
        """(B, B) bool: whether the caption of each column is true of the frame of each row."""
        captions, frames = self._sayable.facts[batch["caption"]], self._frames.facts[batch["frame"]]
        return torch.from_numpy(true_of(captions, frames))


def varied(crops: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float in 0..1, with a sharpness, light, color and noise for each image.

    Drawn from torch's own generator.
    """
    images = crops.permute(0, 3, 1, 2).float() / 255
    count = len(images)
    softness, grain = torch.rand(count, 1, 1, 1), GRAIN * torch.rand(count, 1, 1, 1)
    images = images.lerp(avg_pool2d(images, 3, 1, 1, count_include_pad=False), softness)
    factor = (LIGHT * torch.randn(count, 1, 1, 1) + COLOR * torch.randn(count, 3, 1, 1)).exp()
    return (images * factor + grain * torch.randn_like(images[:, :1])).clamp(0, 1)
