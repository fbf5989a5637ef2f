"""Operations of Core ML's Model Intermediate Language, computed with PyTorch. Their parameters have Apple's names.

Those are here that the backbones and clip heads of students are converted to.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GELU = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}


def conv(x: Tensor, weight: Tensor, bias=None, strides=(1, 1), pad_type="valid", pad=None, dilations=(1, 1), groups=1):
    x = _padded(x, pad_type, pad, 0.0)
    return functional.conv2d(x, weight, bias, tuple(strides), 0, tuple(dilations), int(groups))


def max_pool(x: Tensor, kernel_sizes, strides, pad_type="valid", pad=None, ceil_mode=False):
    x = _padded(x, pad_type, pad, -math.inf)
    return functional.max_pool2d(x, tuple(kernel_sizes), tuple(strides), ceil_mode=bool(ceil_mode))


def avg_pool(
    x: Tensor, kernel_sizes, strides, pad_type="valid", pad=None, ceil_mode=False, exclude_padding_from_average=False
):
    kernel, strides, ceil = tuple(kernel_sizes), tuple(strides), bool(ceil_mode)
    pooled = functional.avg_pool2d(_padded(x, pad_type, pad, 0.0), kernel, strides, ceil_mode=ceil)
    if not exclude_padding_from_average:
        return pooled
    covered = _padded(torch.ones_like(x), pad_type, pad, 0.0)
    return pooled / functional.avg_pool2d(covered, kernel, strides, ceil_mode=ceil)


def _padded(x: Tensor, pad_type: str, pad, value: float) -> Tensor:
    """pad: before and after each spatial axis. NotImplementedError for kinds that converted students do not have."""
    if pad_type not in ("valid", "custom"):
        raise NotImplementedError(f"padding {pad_type}")
    if pad_type == "valid":
        return x
    top, bottom, left, right = map(int, pad)
    return functional.pad(x, (left, right, top, bottom), value=value)


def batch_norm(x: Tensor, mean, variance, gamma=None, beta=None, epsilon=1e-5):
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=float(epsilon))


def layer_norm(x: Tensor, axes, gamma=None, beta=None, epsilon=1e-5):
    axes = [int(axis) for axis in axes]
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    normal = (x - mean) * torch.rsqrt(variance + float(epsilon))
    return (normal if gamma is None else normal * gamma) + (0.0 if beta is None else beta)


def matmul(x: Tensor, y: Tensor, transpose_x=False, transpose_y=False):
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


def gelu(x: Tensor, mode="EXACT"):
    return functional.gelu(x, approximate=GELU[str(mode)])


def upsample_bilinear(x: Tensor, scale_factor_height, scale_factor_width, align_corners=True):
    factors = (float(scale_factor_height), float(scale_factor_width))
    size = [math.floor(n * factor + 1e-3) for n, factor in zip(x.shape[2:], factors, strict=True)]
    return functional.interpolate(x, size, mode="bilinear", align_corners=bool(align_corners))


def concat(values: list[Tensor], axis, interleave=False):
    if interleave:
        raise NotImplementedError("interleaved concatenation")
    return torch.cat([torch.as_tensor(value) for value in values], int(axis))


def split(x: Tensor, axis, num_splits=None, split_sizes=None):
    sizes = x.shape[int(axis)] // int(num_splits) if split_sizes is None else list(map(int, split_sizes))
    return tuple(x.split(sizes, int(axis)))


def expand_dims(x: Tensor, axes):
    for axis in sorted(map(int, axes)):
        x = x.unsqueeze(axis)
    return x


def slice_by_index(x, begin, end, stride=None, begin_mask=None, end_mask=None, squeeze_mask=None):
    taken: list[Any] = []
    for axis, size in enumerate(x.shape):
        step = 1 if stride is None else int(stride[axis])
        if step < 1:
            raise NotImplementedError(f"slices with a step of {step}")
        start = 0 if begin_mask is not None and begin_mask[axis] else int(begin[axis])
        stop = size if end_mask is not None and end_mask[axis] else int(end[axis])
        is_one = squeeze_mask is not None and squeeze_mask[axis]
        taken.append(start if is_one else slice(start, stop, step))
    return x[tuple(taken)]


def cast(x: Tensor, dtype):
    """Floats stay float32 here: whether they are rounded to float16 is a matter of the output's type."""
    kind = str(dtype)
    if kind == "bool":
        return torch.as_tensor(x).bool()
    return torch.as_tensor(x).float() if kind in ("fp16", "fp32") else torch.as_tensor(x).trunc().int()


def reduced(function: Callable) -> Callable:
    def call(x: Tensor, axes, keep_dims=False):
        return function(x, dim=[int(axis) for axis in axes], keepdim=bool(keep_dims))

    return call


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{one.__name__: one for one in (conv, max_pool, avg_pool, batch_norm, layer_norm, matmul, gelu, cast, concat)},
    **{one.__name__: one for one in (upsample_bilinear, split, expand_dims, slice_by_index)},
    "identity": lambda x: x,
    "linear": lambda x, weight, bias=None: functional.linear(x, weight, bias),
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "maximum": lambda x, y: torch.maximum(x, torch.as_tensor(y)),
    "minimum": lambda x, y: torch.minimum(x, torch.as_tensor(y)),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tanh": lambda x: x.tanh(),
    "relu": lambda x: x.relu(),
    "silu": lambda x: functional.silu(x),
    "sigmoid": lambda x: x.sigmoid(),
    "sigmoid_hard": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
    "thresholded_relu": lambda x, alpha: torch.where(x >= alpha, x, 0.0),
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "softmax": lambda x, axis: x.softmax(int(axis)),
    "reduce_mean": reduced(torch.mean),
    "reduce_sum": reduced(torch.sum),
    "reduce_l2_norm": reduced(torch.linalg.vector_norm),
    "reshape": lambda x, shape: x.reshape([int(size) for size in shape]),
    "transpose": lambda x, perm: x.permute([int(axis) for axis in perm]),
    "squeeze": lambda x, axes: x.squeeze([int(axis) for axis in axes]),
    "tile": lambda x, reps: x.tile([int(count) for count in reps]),
    "shape": lambda x: torch.tensor(x.shape, dtype=torch.int32),
    "fill_like": lambda ref_tensor, value: torch.full(np.shape(ref_tensor), float(value)),
}
