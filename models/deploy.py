"""Deployed students: the same function in fewer, cheaper operations, split into a frame encoder and a clip head.

The split lets a stream of frames be encoded once each and classified over sliding windows.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from embedonce.models.backbones import is_conv_with_norm, is_mobilevit_block
from embedonce.models.student import VideoStudent


class FrameEncoder(nn.Module):
    """frames (N, 3, R, R) uint8 -> features (N, D), embeddings (N, D) unit length.

    Features are the input of a ClipHead; embeddings are in the teacher's space.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, student: VideoStudent):
        super().__init__()
        student = copy.deepcopy(student).eval()
        self.register_buffer("scale", torch.reciprocal(255 * student.std))
        self.register_buffer("offset", -student.mean / student.std)
        self.backbone = deployed(student.backbone)
        self.projection = student.projection

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        pixels = frames.to(self.scale.dtype) * self.scale + self.offset
        features = self.projection(self.backbone(pixels))
        return features, functional.normalize(features, dim=-1)


class ClipHead(nn.Module):
    """Frame features to a clip embedding and, if the student has classes, logits.

    features (B, T, D), t_rel_sec (B, T) seconds since the clip's start, mask (B, T) bool -> embedding (B, D) unit
    length, logits (B, C).
    """

    def __init__(self, student: VideoStudent):
        super().__init__()
        student = copy.deepcopy(student).eval()
        self.attention, self.head = student.attention, student.head

    def forward(self, features: Tensor, t_rel_sec: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        clip = self.attention(features, t_rel_sec, mask)
        embedding = functional.normalize(clip, dim=-1)
        return (embedding,) if self.head is None else (embedding, self.head(clip))


def with_divided_logits(student: VideoStudent, temperature: float) -> VideoStudent:
    """A copy of a student whose logits are divided by a temperature above 0, in the last layer of its head.

    This costs no operation, and classes keep their order.
    """
    student = copy.deepcopy(student)
    if student.head is not None:
        with torch.no_grad():
            for parameter in student.head[-1].parameters():
                parameter.div_(temperature)
    return student


def deployed_parameters(student: VideoStudent) -> int:
    """Parameters of a deployed student, with batch norms folded into convolutions where possible."""
    parts = FrameEncoder(student), ClipHead(student)
    return sum(p.numel() for part in parts for p in part.parameters())


def deployed(backbone: nn.Module) -> nn.Module:
    """Fold batch norms and replace MobileViT blocks by cheaper ones, in place; outputs stay the same up to rounding.

    The backbone must be in eval mode.
    """
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if is_conv_with_norm(child):
                setattr(parent, name, _fused(child))
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if is_mobilevit_block(child):
                setattr(parent, name, _MobileVitBlock(child))
    return backbone


def _fused(layer: Any) -> nn.Module:
    """timm's ConvNormAct with its norm folded into its convolution."""
    norm = nn.BatchNorm2d(layer.bn.num_features, eps=layer.bn.eps)
    norm.load_state_dict(layer.bn.state_dict())
    after = [layer.bn.act] if layer.aa is None else [layer.bn.act, layer.aa]  # aa: anti-aliasing before downsampling
    return nn.Sequential(fuse_conv_bn_eval(layer.conv.eval(), norm.eval()), *after)


class _MobileVitBlock(nn.Module):
    """A MobileViT block (Mehta and Rastegari, 2021) that keeps tokens as rows of a matrix.

    One transposition groups pixels by their position in the 2x2 patches, another undoes it; in between, everything but
    attention works on rows and needs no reshaping.
    """

    def __init__(self, block: Any):
        super().__init__()
        self.local = nn.Sequential(block.conv_kxk, block.conv_1x1)
        self.blocks = nn.ModuleList(_Transformer(b) for b in block.transformer)
        self.norm, self.project, self.fuse = block.norm, block.conv_proj, block.conv_fusion
        self.patch = block.patch_size

    def forward(self, x: Tensor) -> Tensor:
        inputs, x = x, self.local(x)
        channels, height, width = x.shape[1:]
        ph, pw = self.patch
        h, w = -(-height // ph), -(-width // pw)  # patches per column and row
        padded = (h * ph, w * pw)
        x = _resized(x, padded).view(-1, channels, h, ph, w, pw).permute(0, 3, 5, 2, 4, 1).reshape(-1, channels)
        for block in self.blocks:
            x = block(x, h * w)
        x = self.norm(x).view(-1, ph, pw, h, w, channels).permute(0, 5, 3, 1, 4, 2).reshape(-1, channels, *padded)
        x = self.project(_resized(x, (height, width)))
        return x if self.fuse is None else self.fuse(torch.cat((inputs, x), 1))


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """x resized to a multiple of the patch size and back, as timm does; unchanged if it has this size."""
    if tuple(x.shape[-2:]) == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class _Transformer(nn.Module):
    """A pre-norm transformer block on rows (G·N, C), with attention within each of the G groups of N rows."""

    def __init__(self, block: Any):
        super().__init__()
        attention = block.attn
        self.heads, self.width = attention.num_heads, attention.num_heads * attention.head_dim
        self.norm1, self.qkv, self.proj = block.norm1, attention.qkv, attention.proj
        self.norm2, self.mlp = block.norm2, nn.Sequential(block.mlp.fc1, block.mlp.act, block.mlp.fc2)
        with torch.no_grad():  # fold the scale of the queries into their layer
            self.qkv.weight[: self.width] *= attention.scale
            self.qkv.bias[: self.width] *= attention.scale

    def forward(self, x: Tensor, length: int) -> Tensor:
        inner = self.qkv(self.norm1(x)).view(-1, length, 3, self.heads, self.width // self.heads)
        query, key, value = inner.permute(2, 0, 3, 1, 4).unbind(0)  # each (G, H, N, C/H)
        output = torch.softmax(query @ key.transpose(-2, -1), -1) @ value
        x = x + self.proj(output.transpose(1, 2).reshape(-1, self.width))
        return x + self.mlp(self.norm2(x))
