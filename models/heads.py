"""Small modules on top of image features: classification heads, and pooling over the frames of a clip."""

import math

import torch
from torch import Tensor, nn

TEACHER_HEAD_HIDDEN = (512, 256)


class ActionHead(nn.Sequential):
    """An MLP classifier with dropout after each hidden layer: (…, in_dim) -> (…, num_classes).

    hidden: widths of the hidden layers.
    """

    def __init__(self, in_dim: int, hidden: tuple[int, ...], num_classes: int, dropout: float = 0.1):
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(in_dim, width), nn.ReLU(), nn.Dropout(dropout)]
            in_dim = width
        super().__init__(*layers, nn.Linear(in_dim, num_classes))


class TemporalAttentionPool(nn.Module):
    """Pools the frames of a clip: their mean plus the output of a CLS token that attends to them.

    rank: total width of the attention heads. Frames get a sinusoidal encoding of their time within the clip; without it
    pooling would ignore their order.
    """

    def __init__(self, dim: int, rank: int, num_heads: int = 4):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.cls = nn.Parameter(torch.randn(dim) * 0.02)
        self.qkv = nn.Linear(dim, 3 * rank)
        self.out = nn.Linear(rank, dim)

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor) -> Tensor:
        """frames (B, T, D), t_rel_sec (B, T) seconds since the clip's start, mask (B, T) bool -> (B, D)."""
        tokens = self.norm(frames) + time_code(t_rel_sec, frames.shape[-1])
        cls = self.cls.expand(frames.shape[0], 1, -1)
        inner = self.qkv(torch.cat([cls, tokens], 1)).unflatten(-1, (3, self.num_heads, -1))  # (B, 1+T, 3, H, R/H)
        query, key, value = inner.permute(2, 0, 3, 1, 4)  # each (B, H, 1+T, R/H)
        visible = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)[:, None, None]  # (B, 1, 1, 1+T)
        attended = nn.functional.scaled_dot_product_attention(query[:, :, :1], key, value, attn_mask=visible)
        return masked_mean(frames, mask) + self.out(attended.flatten(1))


class MeanPool(nn.Module):
    """Pools the frames of a clip: their mean, whatever their order. It has no parameters."""

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor) -> Tensor:
        """As TemporalAttentionPool.forward(); t_rel_sec is not used."""
        return masked_mean(frames, mask)


def time_code(t_sec: Tensor, dim: int, longest_sec: float = 64.0) -> Tensor:
    """Sinusoidal encoding of times (Vaswani et al., 2017), periods from 0.25 s to longest_sec: (…,) -> (…, dim)."""
    half = dim // 2
    octaves = torch.linspace(0, 1, half, device=t_sec.device) * math.log(longest_sec / 0.25)
    phase = t_sec.float()[..., None] * (2 * math.pi / 0.25) * torch.exp(-octaves)
    return nn.functional.pad(torch.cat([phase.sin(), phase.cos()], -1), (0, dim - 2 * half))


def masked_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean over frames that are not padding: (B, T, D), mask (B, T) bool -> (B, D)."""
    weight = mask[..., None].to(frames.dtype)
    return (frames * weight).sum(1) / weight.sum(1).clamp(min=1)
