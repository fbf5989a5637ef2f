"""The student as devices run it: the same function in fewer and cheaper operations, cut where a stream wants it cut.

Takes trained students; knows no file format, no runtime and no data.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from embedonce.models.backbones import is_conv_with_norm, is_mobilevit_block
from embedonce.models.student import VideoStudent


class FrameEncoder(nn.Module):
    """Images to what a clip is made of. frames (N, 3, R, R) uint8 -> features (N, D), embeddings (N, D) unit length.

    Features go into a ClipHead; embeddings are in the teacher's space.
    """

    def __init__(self, student: VideoStudent):
        super().__init__()
        student = copy.deepcopy(student).eval()
        self.register_buffer("scale", 1 / (255 * student.std))
        self.register_buffer("offset", -student.mean / student.std)
        self.backbone = deployed(student.backbone)
        self.projection = student.projection

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        pixels = frames.to(self.scale.dtype) * self.scale + self.offset
        features = self.projection(self.backbone(pixels))
        return features, functional.normalize(features, dim=-1)


class ClipHead(nn.Module):
    """Features of a clip's frames to what is said of it.

    features (B, T, D), t_rel_sec (B, T) seconds since the clip's start, mask (B, T) bool -> embedding (B, D) unit
    length and, where there are classes, logits (B, C).
    """

    def __init__(self, student: VideoStudent):
        super().__init__()
        student = copy.deepcopy(student).eval()
        self.attention, self.head = student.attention, student.head

    def forward(self, features: Tensor, t_rel_sec: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        clip = self.attention(features, t_rel_sec, mask)
        embedding = functional.normalize(clip, dim=-1)
        return (embedding,) if self.head is None else (embedding, self.head(clip))


def deployed_parameters(student: VideoStudent) -> int:
    """Numbers that a device holds: batch normalization is part of the convolutions where it could be folded."""
    parts = FrameEncoder(student), ClipHead(student)
    return sum(p.numel() for part in parts for p in part.parameters())


def deployed(backbone: nn.Module) -> nn.Module:
    """A backbone in eval mode that computes the same with batch normalization folded and cheap unfolding; in place."""
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if is_conv_with_norm(child):
                setattr(parent, name, _fused(child))
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if is_mobilevit_block(child):
                setattr(parent, name, _MobileVitBlock(child))
    return backbone


def _fused(layer: nn.Module) -> nn.Module:
    """Convolution, normalization and activation as convolution and activation."""
    norm = nn.BatchNorm2d(layer.bn.num_features, eps=layer.bn.eps)
    norm.load_state_dict(layer.bn.state_dict())
    after = [layer.bn.act] if layer.aa is None else [layer.bn.act, layer.aa]  # blurred where it is made smaller
    return nn.Sequential(fuse_conv_bn_eval(layer.conv.eval(), norm.eval()), *after)


class _MobileVitBlock(nn.Module):
    """A MobileViT block (Mehta and Rastegari, 2021) whose tokens stay two-dimensional.

    Pixels of one place in their 2 by 2 patches are brought together by one transposition and taken back by another;
    what is between, but for attention, works on rows and needs no reshaping.
    """

    def __init__(self, block: nn.Module):
        super().__init__()
        self.local = nn.Sequential(block.conv_kxk, block.conv_1x1)
        self.blocks = nn.ModuleList(_Transformer(b) for b in block.transformer)
        self.norm, self.project, self.fuse = block.norm, block.conv_proj, block.conv_fusion
        self.patch = block.patch_size

    def forward(self, x: Tensor) -> Tensor:
        entered, x = x, self.local(x)
        channels, *size = x.shape[1:]
        (ph, pw), (h, w) = self.patch, [-(-side // p) for side, p in zip(size, self.patch, strict=True)]
        whole = (h * ph, w * pw)
        x = _resized(x, whole).view(-1, channels, h, ph, w, pw).permute(0, 3, 5, 2, 4, 1).reshape(-1, channels)
        for block in self.blocks:
            x = block(x, h * w)
        x = self.norm(x).view(-1, ph, pw, h, w, channels).permute(0, 5, 3, 1, 4, 2).reshape(-1, channels, *whole)
        x = self.project(_resized(x, tuple(size)))
        return x if self.fuse is None else self.fuse(torch.cat((entered, x), 1))


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Where patches do not cover the image, as timm does it."""
    if tuple(x.shape[-2:]) == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class _Transformer(nn.Module):
    """A pre-norm transformer block on rows (G·N, C): attention within each of the G groups of N rows."""

    def __init__(self, block: nn.Module):
        super().__init__()
        attention = block.attn
        self.heads, self.width = attention.num_heads, attention.num_heads * attention.head_dim
        self.norm1, self.qkv, self.proj = block.norm1, attention.qkv, attention.proj
        self.norm2, self.mlp = block.norm2, nn.Sequential(block.mlp.fc1, block.mlp.act, block.mlp.fc2)
        with torch.no_grad():  # queries come scaled out of their layer
            self.qkv.weight[: self.width] *= attention.scale
            self.qkv.bias[: self.width] *= attention.scale

    def forward(self, x: Tensor, length: int) -> Tensor:
        inner = self.qkv(self.norm1(x)).view(-1, length, 3, self.heads, self.width // self.heads)
        query, key, value = inner.permute(2, 0, 3, 1, 4).unbind(0)  # each (G, H, N, C/H)
        answer = torch.softmax(query @ key.transpose(-2, -1), -1) @ value
        x = x + self.proj(answer.transpose(1, 2).reshape(-1, self.width))
        return x + self.mlp(self.norm2(x))
