"""Training batches of the demo teacher: crops of drawn frames with captions, augmented in light, blur and noise."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.utils.data import Dataset

from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.demo_teacher.recipe import Captions, Frames, matches
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH

MAX_NOISE = 0.03  # standard deviation of gray noise, as a share of full brightness
BRIGHTNESS, COLOR = 0.1, 0.05  # standard deviations of log factors: of all channels, and of each channel


class CaptionedCrops(Dataset):
    """A crop of each frame with a caption that matches it; both are drawn anew in every epoch.

    Items: crop (S, S, 3) uint8; frame, caption: indices into the frames and the captions. Half of the crops are the
    teacher's evaluation crop, half random views as extraction stores them. Deterministic by seed and `epoch`.
    """

    def __init__(self, frames: Frames, captions: Captions, teacher: TeacherIdentity, seed: int):
        self._frames, self._captions, self._teacher, self._seed = frames, captions, teacher, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        views = make_views(f"{self.epoch}:{index}", (FRAME_HEIGHT, FRAME_WIDTH), 1, self._seed, self._teacher)
        crop = canonical_frame.load_view(self._frames.jpegs[index], views[rng.integers(2)], self._teacher.input_size)
        matching = np.flatnonzero(matches(self._captions.attributes, self._frames.attributes[index : index + 1])[0])
        return {"crop": crop.copy(), "frame": index, "caption": int(rng.choice(matching))}

    def matches(self, batch: dict) -> Tensor:
        """(B, B) bool: whether the caption of each column matches the frame of each row."""
        captions, frames = self._captions.attributes[batch["caption"]], self._frames.attributes[batch["frame"]]
        return torch.from_numpy(matches(captions, frames))


def augmented(crops: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float from 0 to 1, with random blur, brightness, color and noise per image.

    Uses torch's global random generator.
    """
    images = crops.permute(0, 3, 1, 2).float() / 255
    count = len(images)
    blur, noise = torch.rand(count, 1, 1, 1), MAX_NOISE * torch.rand(count, 1, 1, 1)
    images = images.lerp(avg_pool2d(images, 3, 1, 1, count_include_pad=False), blur)
    factor = (BRIGHTNESS * torch.randn(count, 1, 1, 1) + COLOR * torch.randn(count, 3, 1, 1)).exp()
    return (images * factor + noise * torch.randn_like(images[:, :1])).clamp(0, 1)
