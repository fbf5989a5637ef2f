"""The student: a timm backbone per frame, a projection to the teacher's space, and pooling over a clip's frames."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from embedonce.models.backbones import backbone
from embedonce.models.device import fast_layout
from embedonce.models.heads import ActionHead, MeanPool, TemporalAttentionPool, masked_mean
from embedonce.models.student_config import StudentConfig
from embedonce.models.student_output import AddedOutput, MultiTeacherOutput, StudentOutput

_KEY = "teacher_"  # before the names of added teachers, which may be names of methods
FRAMES_AT_ONCE = 128  # batch size of the backbone in eval mode, so that memory does not grow with the clip length


def build_student(config: StudentConfig, pretrained: bool) -> "VideoStudent":
    """Build a student; pretrained: with timm's ImageNet weights in its backbone. Raises as backbone() does."""
    return VideoStudent(config, backbone(config.size, pretrained, config.resolution))


class VideoStudent(nn.Module):
    """Embeds and classifies clips of frames; see StudentOutput.

    add_teachers() gives it a projection of the backbone's features for each further teacher. Attention and classes work
    on that of the first one; in the space of an added teacher, a clip is the mean of its frames.
    """

    mean: Tensor
    std: Tensor
    backbone: nn.Module
    projection: nn.Module
    attention: TemporalAttentionPool | MeanPool
    head: ActionHead | None
    added_projections: nn.ModuleDict | None

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
        self.projection = _projection(config, num_features(backbone))
        self.attention = TemporalAttentionPool(dim, config.attention_rank) if config.attention_rank else MeanPool()
        self.head = None
        if config.num_classes:
            self.head = ActionHead(dim, (config.head_hidden,), config.num_classes, config.dropout)
        self.added_projections = None

    def add_teachers(self, widths: Mapping[str, int]) -> None:
        """Add projections into the spaces of further teachers. widths: name -> embedding dimension, of all of them."""
        if not widths:
            return
        shapes = {name: dataclasses.replace(self.config, embed_dim=width) for name, width in widths.items()}
        features = num_features(self.backbone)
        made = {_KEY + name: _projection(shape, features) for name, shape in shapes.items()}
        self.added_projections = nn.ModuleDict(made)

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor, rows: Tensor | None = None) -> StudentOutput:
        """Embed and classify a batch of clips.

        Args:
            frames: (B, T, 3, R, R) uint8, or float from 0 to 1.
            t_rel_sec: (B, T) float32, seconds since the clip's start.
            mask: (B, T) bool, False for padding. In training mode, the outputs of padded frames are meaningless.
            rows: (N,) int64, the frames of (B T) that are not padding. Only training mode reads them, which without
                them waits for an accelerator to count the mask.
        """
        if self.training:  # keep padding out of the batch-norm statistics
            rows = mask.flatten().nonzero().squeeze(1) if rows is None else rows
            valid = self._projected(frames.flatten(0, 1)[rows])
            padded = [one.new_zeros(mask.numel(), one.shape[-1]).index_put((rows,), one) for one in valid]
            spaces = [one.unflatten(0, mask.shape) for one in padded]
        else:
            parts = [self._projected(part) for part in frames.flatten(0, 1).split(FRAMES_AT_ONCE)]
            spaces = [torch.cat(one).unflatten(0, frames.shape[:2]) for one in zip(*parts, strict=True)]
        features, *added = spaces  # (B, T, D), and (B, T, E) of each added teacher
        clip = self.attention(features, t_rel_sec, mask)
        output = StudentOutput(
            functional.normalize(features.float(), dim=-1),
            functional.normalize(clip.float(), dim=-1),
            self._logits(features),
            self._logits(clip),
        )
        if not added:
            return output
        named = zip(self.added_teachers, added, strict=True)
        return MultiTeacherOutput.of(output, {name: _added_output(one, mask) for name, one in named})

    @property
    def added_teachers(self) -> tuple[str, ...]:
        """Names of the added teachers that it has projections for."""
        return tuple(key.removeprefix(_KEY) for key in self.added_projections or ())

    def encode_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, R, R) uint8, or float from 0 to 1 -> (N, D), not normalized."""
        return self.projection(self._pooled(frames))

    def _projected(self, frames: Tensor) -> list[Tensor]:
        """As encode_frames(), then the same in the space of each added teacher."""
        pooled, added = self._pooled(frames), self.added_projections
        return [self.projection(pooled), *(one(pooled) for one in (added.values() if added is not None else ()))]

    def _pooled(self, frames: Tensor) -> Tensor:
        """The backbone's features of frames."""
        pixels = frames.to(self.mean.dtype)
        if frames.dtype == torch.uint8:
            pixels = pixels / 255
        pixels = (pixels - self.mean) / self.std
        return self.backbone(pixels.contiguous(memory_format=self._layout))

    def _logits(self, features: Tensor) -> Tensor:
        return self.head(features) if self.head is not None else features[..., :0]


def _added_output(features: Tensor, mask: Tensor) -> AddedOutput:
    """features (B, T, E), not normalized; mask (B, T) bool."""
    frames = functional.normalize(features.float(), dim=-1)
    return AddedOutput(frames, functional.normalize(masked_mean(features.float(), mask), dim=-1))


def num_features(backbone: nn.Module) -> int:
    """The width of a timm model's pooled features."""
    width = backbone.num_features
    assert isinstance(width, int)
    return width


def _projection(config: StudentConfig, width: int) -> nn.Module:
    """Maps pooled features to the teacher's space.

    Only `linear` and `mlp` reach all of it: about half of the components of a CLIP embedding are negative, which the
    output of a GELU hardly is.
    """
    dim, hidden = config.embed_dim, config.projection_hidden
    projections = {
        "linear": lambda: nn.Linear(width, dim),
        "linear-norm": lambda: nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim)),
        "linear-norm-gelu": lambda: nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim), nn.GELU()),
        "mlp": lambda: nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, dim)),
    }
    return projections[config.projection]()


def count_parameters(student: VideoStudent) -> dict[str, int]:
    """Parameters per part and in total (`training`). Deployed students have fewer: see deploy.deployed_parameters()."""
    parts = {name: sum(p.numel() for p in module.parameters()) for name, module in student.named_children()}
    return {"training": sum(parts.values()), **parts}
