"""Image backbones of students, from timm: MobileViTs of four sizes, convolutional ones, or any other model by name."""

import difflib

import torch
from torch import nn

from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.models.hub import import_timm
from embedonce.models.names import PRETRAINED_SIZES, STUDENT_SIZES
from embedonce.models.trunks import TRUNKS, cut_trunk


def has_pretrained(size: str) -> bool:
    """Whether pretrained ImageNet weights exist for a student size or timm model."""
    return size in PRETRAINED_SIZES or (size not in STUDENT_SIZES and import_timm().is_model_pretrained(size))


def backbone(size: str, pretrained: bool, resolution: int) -> nn.Module:
    """Build a backbone with pooled features: (N, 3, R, R) -> (N, num_features).

    pretrained: load timm's ImageNet weights. Raises ModelError if they cannot be downloaded, and ModelOptionError for
    an unknown name, weights that do not exist, or a resolution that the backbone does not accept.
    """
    timm = import_timm()
    if size not in STUDENT_SIZES and not timm.is_model(size):
        near = difflib.get_close_matches(size, [*STUDENT_SIZES, *timm.list_models()], 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ModelOptionError(
            f"--student-size {size!r} is neither one of {', '.join(STUDENT_SIZES)} nor a timm model{hint}"
        )
    if pretrained and size not in PRETRAINED_SIZES and not has_pretrained(size):
        raise ModelOptionError(f"no ImageNet weights exist for --student-size {size}; use --no-student-pretrained")
    if size == "tiny":
        return _tiny_backbone()
    name = timm_name(size)
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, RuntimeError) as error:  # huggingface_hub's errors are OSErrors
        raise ModelError(
            f"the ImageNet weights of {name} could not be downloaded; connect to the network once, or start from "
            "scratch with --no-student-pretrained"
        ) from error
    if size in TRUNKS:
        return cut_trunk(model, name)
    if size not in STUDENT_SIZES:
        _check_resolution(model, name, resolution)
    return model


def timm_name(size: str) -> str:
    """The timm model of a student size other than `tiny`, or the name itself."""
    return TRUNKS.get(size, f"mobilevit_{size}" if size in STUDENT_SIZES else size)


def is_conv_with_norm(module: nn.Module) -> bool:
    """Whether this is timm's block of convolution, batch norm and activation."""
    from timm.layers import BatchNormAct2d, ConvNormAct

    return isinstance(module, ConvNormAct) and isinstance(module.bn, BatchNormAct2d)


def is_mobilevit_block(module: nn.Module) -> bool:
    """Whether this is timm's MobileViT (v1) block."""
    from timm.models.mobilevit import MobileVitBlock

    return isinstance(module, MobileVitBlock)


def _check_resolution(model: nn.Module, name: str, resolution: int) -> None:
    """Set `num_features` to the actual output width. Raises ModelOptionError if the model rejects this resolution."""
    was_training, device = model.training, next(model.parameters()).device
    try:
        with torch.inference_mode():
            shape = tuple(model.eval()(torch.zeros(1, 3, resolution, resolution, device=device)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        size = (getattr(model, "pretrained_cfg", None) or {}).get("input_size", (3, 0, 0))[-1]
        raise ModelOptionError(
            f"{name} does not accept images of {resolution} pixels" + (f"; its input size is {size}" if size else "")
        ) from error
    if len(shape) != 2:
        raise ModelOptionError(f"{name} outputs features of shape {shape}, which are not pooled: not usable as student")
    model.num_features = shape[1]  # some models have another layer after the one that timm counts
    model.train(was_training)


def _tiny_backbone() -> nn.Module:
    from timm.models.byobnet import ByobNet

    return ByobNet(tiny_configuration(), num_classes=0)


def tiny_configuration():
    """timm's configuration of the tiny backbone, a narrow MobileViT with about 0.3 M parameters."""
    from timm.models.byobnet import ByoBlockCfg, ByoModelCfg

    def inverted(depth: int, channels: int, stride: int) -> ByoBlockCfg:
        return ByoBlockCfg(type="bottle", d=depth, c=channels, s=stride, gs=1, br=2.0, block_kwargs=_BOTTLE)

    def mobilevit(channels: int, width: int, depth: int):
        block = {"transformer_dim": width, "transformer_depth": depth, "patch_size": 2, "num_heads": 4}
        return (inverted(1, channels, 2), ByoBlockCfg(type="mobilevit", d=1, c=channels, s=1, block_kwargs=block))

    blocks = (inverted(1, 12, 1), inverted(2, 20, 2), mobilevit(32, 40, 2), mobilevit(40, 48, 2), mobilevit(48, 64, 2))
    shape = {"stem_chs": 12, "stem_type": "3x3", "stem_pool": "", "downsample": "", "act_layer": "silu"}
    return ByoModelCfg(blocks=blocks, num_features=192, **shape)


_BOTTLE = {"bottle_in": True, "linear_out": True}
