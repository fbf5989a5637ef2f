"""The student: a timm MobileViT on each frame, a projection to the teacher's space, attention over a clip's frames.

The only importer of timm. Knows no teacher, no cache and no videos.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import ModelError, ModelOptionError
from models.heads import ActionHead, TemporalAttentionPool
from models.hub import quiet_hub
from models.names import PRETRAINED_SIZES, STUDENT_SIZES


@dataclass(frozen=True)
class StudentConfig:
    """Everything that fixes a student's shape; JSON-able, stored in every checkpoint."""

    size: str
    embed_dim: int
    num_classes: int
    resolution: int  # pixels; the input is square
    projection_hidden: int
    attention_rank: int
    head_hidden: int
    dropout: float = 0.1


class StudentOutput(NamedTuple):
    """Embeddings (B, T, D) and (B, D), unit length; logits (B, T, C) and (B, C), C = 0 without classes."""

    frame_embeddings: Tensor
    clip_embedding: Tensor
    frame_logits: Tensor
    clip_logits: Tensor


# projection_hidden, attention_rank, head_hidden: what keeps the whole student within the size it promises
_PARTS = {"tiny": (96, 16, 128), "xxs": (160, 32, 256), "xs": (160, 32, 256), "s": (256, 64, 256)}


def student_config(size: str, embed_dim: int, num_classes: int, resolution: int) -> StudentConfig:
    """The shape of a student of this size. ModelOptionError for an unknown size or resolution."""
    if size not in STUDENT_SIZES:
        raise ModelOptionError(f"--student-size must be one of {', '.join(STUDENT_SIZES)}, got {size!r}")
    if resolution not in range(128, 257, 32):
        raise ModelOptionError(f"--student-resolution must be a multiple of 32 from 128 to 256, got {resolution}")
    return StudentConfig(size, embed_dim, num_classes, resolution, *_PARTS[size])


def build_student(config: StudentConfig, pretrained: bool) -> "MobileVitStudent":
    """A student; pretrained starts its backbone from timm's ImageNet weights, or ModelError says how to do without."""
    return MobileVitStudent(config, _backbone(config.size, pretrained))


class MobileVitStudent(nn.Module):
    """Frames of a clip in, embeddings and logits out; see StudentOutput."""

    def __init__(self, config: StudentConfig, backbone: nn.Module):
        super().__init__()
        self.config = config
        # Channels last: about 1.2 times the training speed on CPUs, where depthwise convolutions dominate
        self.backbone = backbone.to(memory_format=torch.channels_last)
        statistics = getattr(backbone, "pretrained_cfg", None) or {}
        for name, default in (("mean", (0.0, 0.0, 0.0)), ("std", (1.0, 1.0, 1.0))):
            values = torch.tensor(statistics.get(name) or default).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        dim = config.embed_dim
        self.projection = nn.Sequential(  # ends linear: half of a CLIP vector is negative
            nn.Linear(backbone.num_features, config.projection_hidden),
            nn.LayerNorm(config.projection_hidden),
            nn.GELU(),
            nn.Linear(config.projection_hidden, dim),
        )
        self.attention = TemporalAttentionPool(dim, config.attention_rank)
        self.head = None
        if config.num_classes:
            self.head = ActionHead(dim, (config.head_hidden,), config.num_classes, config.dropout)

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor) -> StudentOutput:
        """One clip a row.

        frames (B, T, 3, R, R) uint8, or float in 0..1; t_rel_sec (B, T) float32 since the clip's start; mask (B, T)
        bool. In training, what is returned of padded frames means nothing.
        """
        if self.training:  # padding must not enter the statistics of the backbone's batch normalisation
            seen = self.encode_frames(frames[mask])
            features = seen.new_zeros(*mask.shape, seen.shape[-1]).index_put((mask,), seen)  # (B, T, D)
        else:
            features = self.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])  # (B, T, D)
        clip = self.attention(features, t_rel_sec, mask)
        return StudentOutput(
            functional.normalize(features.float(), dim=-1),
            functional.normalize(clip.float(), dim=-1),
            self._logits(features),
            self._logits(clip),
        )

    def encode_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, R, R) uint8, or float in 0..1 -> (N, D), not normalised."""
        pixels = frames.to(self.mean.dtype)
        if frames.dtype == torch.uint8:
            pixels = pixels / 255
        pixels = (pixels - self.mean) / self.std
        return self.projection(self.backbone(pixels.contiguous(memory_format=torch.channels_last)))

    def _logits(self, features: Tensor) -> Tensor:
        return self.head(features) if self.head is not None else features[..., :0]


def count_parameters(student: MobileVitStudent) -> dict[str, int]:
    """Parameters of each part, and `deployed`: all of them, for every part of a student is deployed."""
    parts = {name: sum(p.numel() for p in module.parameters()) for name, module in student.named_children()}
    return {"deployed": sum(parts.values()), **parts}


def config_from(document: dict) -> StudentConfig:
    """A StudentConfig from what a checkpoint holds. ModelOptionError where fields are missing or unknown."""
    names = {field.name for field in dataclasses.fields(StudentConfig)}
    if set(document) != names:
        raise ModelOptionError(
            f"a student's settings are {', '.join(sorted(names))}, not {', '.join(sorted(document))}"
        )
    config = StudentConfig(**document)
    student_config(config.size, config.embed_dim, config.num_classes, config.resolution)  # refuses what cannot be built
    return config


def _backbone(size: str, pretrained: bool) -> nn.Module:
    if pretrained and size not in PRETRAINED_SIZES:
        raise ModelOptionError(f"no ImageNet weights exist for --student-size {size}; use --no-student-pretrained")
    quiet_hub()
    try:
        import timm
    except ImportError as error:
        raise ModelError("timm is not installed; install it with: pip install timm") from error
    if size == "tiny":
        return _tiny_backbone()
    name = f"mobilevit_{size}"
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, RuntimeError) as error:  # huggingface_hub's errors are OSErrors
        raise ModelError(
            f"the ImageNet weights of {name} could not be downloaded; connect to the network once, or start from "
            "scratch with --no-student-pretrained"
        ) from error


def _tiny_backbone() -> nn.Module:
    """timm's own MobileViT, narrower than the narrowest it names: about 0.3 M parameters."""
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    def inverted(depth: int, channels: int, stride: int) -> ByoBlockCfg:
        return ByoBlockCfg(type="bottle", d=depth, c=channels, s=stride, gs=1, br=2.0, block_kwargs=_BOTTLE)

    def mobilevit(channels: int, width: int, depth: int):
        block = {"transformer_dim": width, "transformer_depth": depth, "patch_size": 2, "num_heads": 4}
        return (inverted(1, channels, 2), ByoBlockCfg(type="mobilevit", d=1, c=channels, s=1, block_kwargs=block))

    blocks = (inverted(1, 12, 1), inverted(2, 20, 2), mobilevit(32, 40, 2), mobilevit(40, 48, 2), mobilevit(48, 64, 2))
    shape = {"stem_chs": 12, "stem_type": "3x3", "stem_pool": "", "downsample": "", "act_layer": "silu"}
    return ByobNet(ByoModelCfg(blocks=blocks, num_features=192, **shape), num_classes=0)


_BOTTLE = {"bottle_in": True, "linear_out": True}
