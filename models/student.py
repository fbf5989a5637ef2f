"""The student: a timm MobileViT on each frame, a projection to the teacher's space, attention over a clip's frames.

Knows no teacher, no cache and no videos; backbones come from models.backbones.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from embedonce.models.backbones import backbone
from embedonce.models.device import fast_layout
from embedonce.models.errors import ModelOptionError
from embedonce.models.heads import ActionHead, TemporalAttentionPool
from embedonce.models.names import MAX_CLASSES, MAX_WIDTH, PROJECTIONS


@dataclass(frozen=True)
class StudentConfig:
    """Everything that fixes a student's shape; JSON-able, stored in every checkpoint.

    size: one of STUDENT_SIZES, or timm's name of another backbone. projection: one of PROJECTIONS.
    """

    size: str
    embed_dim: int
    num_classes: int
    resolution: int  # pixels; the input is square
    projection_hidden: int
    attention_rank: int
    head_hidden: int
    projection: str = "mlp"
    dropout: float = 0.1


FRAMES_AT_ONCE = 128  # that are looked at outside of training: memory does not grow with the frames of a clip


class StudentOutput(NamedTuple):
    """Embeddings (B, T, D) and (B, D), unit length; logits (B, T, C) and (B, C), C = 0 without classes."""

    frame_embeddings: Tensor
    clip_embedding: Tensor
    frame_logits: Tensor
    clip_logits: Tensor


# projection_hidden, attention_rank, head_hidden: what keeps the whole student within the size it promises
_PARTS = {"tiny": (96, 16, 128), "xxs": (160, 32, 256), "xs": (160, 32, 256), "s": (256, 64, 256)}
_OTHER_PARTS = (160, 32, 256)


def student_config(
    size: str, embed_dim: int, num_classes: int, resolution: int, projection: str = "mlp"
) -> StudentConfig:
    """The shape of a student of this size. ModelOptionError for an impossible projection or resolution."""
    if projection not in PROJECTIONS:
        raise ModelOptionError(f"--projection must be one of {', '.join(PROJECTIONS)}, got {projection!r}")
    if resolution not in range(128, 257, 32):
        raise ModelOptionError(f"--student-resolution must be a multiple of 32 from 128 to 256, got {resolution}")
    return StudentConfig(size, embed_dim, num_classes, resolution, *_PARTS.get(size, _OTHER_PARTS), projection)


def build_student(config: StudentConfig, pretrained: bool) -> "VideoStudent":
    """A student; pretrained starts its backbone from timm's ImageNet weights, or ModelError says how to do without."""
    return VideoStudent(config, backbone(config.size, pretrained, config.resolution))


class VideoStudent(nn.Module):
    """Frames of a clip in, embeddings and logits out; see StudentOutput."""

    def __init__(self, config: StudentConfig, backbone: nn.Module):
        super().__init__()
        self.config = config
        self._layout = fast_layout(backbone)
        self.backbone = backbone.to(memory_format=self._layout)
        statistics = getattr(backbone, "pretrained_cfg", None) or {}
        for name, default in (("mean", (0.0, 0.0, 0.0)), ("std", (1.0, 1.0, 1.0))):
            values = torch.tensor(statistics.get(name) or default).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        dim = config.embed_dim
        self.projection = _projection(config, backbone.num_features)
        self.attention = TemporalAttentionPool(dim, config.attention_rank)
        self.head = None
        if config.num_classes:
            self.head = ActionHead(dim, (config.head_hidden,), config.num_classes, config.dropout)

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor) -> StudentOutput:
        """One clip a row.

        frames (B, T, 3, R, R) uint8, or float in 0..1; t_rel_sec (B, T) float32 since the clip's start; mask (B, T)
        bool. In training, what is returned of padded frames means nothing.
        """
        if self.training:  # padding must not enter the statistics of the backbone's batch normalization
            seen = self.encode_frames(frames[mask])
            features = seen.new_zeros(*mask.shape, seen.shape[-1]).index_put((mask,), seen)  # (B, T, D)
        else:
            parts = frames.flatten(0, 1).split(FRAMES_AT_ONCE)
            features = torch.cat([self.encode_frames(part) for part in parts]).unflatten(
                0, frames.shape[:2]
            )  # (B, T, D)
        clip = self.attention(features, t_rel_sec, mask)
        return StudentOutput(
            functional.normalize(features.float(), dim=-1),
            functional.normalize(clip.float(), dim=-1),
            self._logits(features),
            self._logits(clip),
        )

    def encode_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, R, R) uint8, or float in 0..1 -> (N, D), not normalized."""
        pixels = frames.to(self.mean.dtype)
        if frames.dtype == torch.uint8:
            pixels = pixels / 255
        pixels = (pixels - self.mean) / self.std
        return self.projection(self.backbone(pixels.contiguous(memory_format=self._layout)))

    def _logits(self, features: Tensor) -> Tensor:
        return self.head(features) if self.head is not None else features[..., :0]


def _projection(config: StudentConfig, width: int) -> nn.Module:
    """From pooled features to the teacher's space. Only `linear` and `mlp` can say all of it: half of a CLIP vector
    is negative, so what ends in GELU reaches half of the space at most."""
    dim, hidden = config.embed_dim, config.projection_hidden
    kinds = {
        "linear": lambda: nn.Linear(width, dim),
        "linear-norm": lambda: nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim)),
        "linear-norm-gelu": lambda: nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim), nn.GELU()),
        "mlp": lambda: nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, dim)),
    }
    return kinds[config.projection]()


def count_parameters(student: VideoStudent) -> dict[str, int]:
    """Parameters of each part, and of all of them, `training`. What a device holds is less: models.deploy counts it."""
    parts = {name: sum(p.numel() for p in module.parameters()) for name, module in student.named_children()}
    return {"training": sum(parts.values()), **parts}


def config_from(document: dict) -> StudentConfig:
    """A StudentConfig from what a checkpoint holds. ModelOptionError where fields are missing or unknown."""
    names = {field.name for field in dataclasses.fields(StudentConfig)}
    if set(document) != names:
        odd = ", ".join(ascii(name)[:40] for name in list(document)[:20])
        raise ModelOptionError(f"a student's settings are {', '.join(sorted(names))}, not {odd}")
    config = StudentConfig(**document)
    _check_values(config)
    shape = (config.embed_dim, config.num_classes, config.resolution, config.projection)
    student_config(config.size, *shape)  # refuses what cannot be built
    return config


def _check_values(config: StudentConfig) -> None:
    """ModelOptionError where a setting is of another type than it must be, or beyond what any student has."""
    widths = {
        name: getattr(config, name) for name in ("embed_dim", "projection_hidden", "attention_rank", "head_hidden")
    }
    ranges = {**dict.fromkeys(widths, (1, MAX_WIDTH)), "num_classes": (0, MAX_CLASSES), "resolution": (1, 1024)}
    for name, (low, high) in ranges.items():
        if type(getattr(config, name)) is not int or not low <= getattr(config, name) <= high:
            raise ModelOptionError(f"a student's {name} is a whole number from {low} to {high}")
    if type(config.dropout) not in (int, float) or not 0 <= config.dropout < 1:
        raise ModelOptionError("a student's dropout is a number from 0 up to 1")
    if any(type(text) is not str or len(text) > 100 for text in (config.size, config.projection)):
        raise ModelOptionError("a student's size and projection are names")
    if config.attention_rank % 4:
        raise ModelOptionError("a student's attention_rank is a multiple of 4, for its heads")
