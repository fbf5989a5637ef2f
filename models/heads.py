"""The small parts on top of image features: action heads, and attention over the frames of a clip.

Pure torch; knows no backbone, no teacher and no data.
"""

import math

import torch
from torch import Tensor, nn

TEACHER_HEAD_HIDDEN = (512, 256)


class ActionHead(nn.Sequential):
    """Linear, ReLU, Dropout for each hidden width, then Linear to the classes. (…, in_dim) -> (…, num_classes)."""

    def __init__(self, in_dim: int, hidden: tuple[int, ...], num_classes: int, dropout: float = 0.1):
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(in_dim, width), nn.ReLU(), nn.Dropout(dropout)]
            in_dim = width
        super().__init__(*layers, nn.Linear(in_dim, num_classes))


class TemporalAttentionPool(nn.Module):
    """Self-attention over a CLS token and the frames of a clip; the CLS token's answer is added to the frames' mean.

    rank: total inner width of the four heads. A frame's time within the clip is added as a sinusoidal code, without
    which the order of frames could not be told.
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
        seen = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)[:, None, None]  # (B, 1, 1, 1+T)
        answer = nn.functional.scaled_dot_product_attention(query[:, :, :1], key, value, attn_mask=seen)
        return masked_mean(frames, mask) + self.out(answer.flatten(1))


def time_code(t_sec: Tensor, dim: int, longest_sec: float = 64.0) -> Tensor:
    """Sinusoids of a time (Vaswani et al., 2017) with periods from 0.25 s to longest_sec: (…,) -> (…, dim)."""
    half = dim // 2
    octaves = torch.linspace(0, 1, half, device=t_sec.device) * math.log(longest_sec / 0.25)
    phase = t_sec.float()[..., None] * (2 * math.pi / 0.25) * torch.exp(-octaves)
    return nn.functional.pad(torch.cat([phase.sin(), phase.cos()], -1), (0, dim - 2 * half))


def masked_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean over the frames that are there: (B, T, D), (B, T) bool -> (B, D)."""
    weight = mask[..., None].to(frames.dtype)
    return (frames * weight).sum(1) / weight.sum(1).clamp(min=1)
