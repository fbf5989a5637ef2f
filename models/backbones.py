"""Image backbones of students: MobileViTs of four sizes, or any other of timm's by name. The only importer of timm."""

import difflib

import torch
from torch import nn

from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.models.hub import quiet_hub
from embedonce.models.names import PRETRAINED_SIZES, STUDENT_SIZES


def has_pretrained(size: str) -> bool:
    """Whether ImageNet weights exist for this size or timm name."""
    return size in PRETRAINED_SIZES or (size not in STUDENT_SIZES and _timm().is_model_pretrained(size))


def backbone(size: str, pretrained: bool, resolution: int) -> nn.Module:
    """A backbone that pools its features: (N, 3, R, R) -> (N, num_features).

    pretrained: with timm's ImageNet weights, or ModelError says how to do without. ModelOptionError for a name that
    nothing has, or a backbone that does not take images of this resolution.
    """
    timm = _timm()
    if size not in STUDENT_SIZES and not timm.is_model(size):
        near = difflib.get_close_matches(size, [*STUDENT_SIZES, *timm.list_models()], 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ModelOptionError(
            f"--student-size {size!r} is neither one of {', '.join(STUDENT_SIZES)} nor a model of timm{hint}"
        )
    if pretrained and size not in PRETRAINED_SIZES and not has_pretrained(size):
        raise ModelOptionError(f"no ImageNet weights exist for --student-size {size}; use --no-student-pretrained")
    if size == "tiny":
        return _tiny_backbone()
    name = f"mobilevit_{size}" if size in STUDENT_SIZES else size
    try:
        made = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, RuntimeError) as error:  # huggingface_hub's errors are OSErrors
        raise ModelError(
            f"the ImageNet weights of {name} could not be downloaded; connect to the network once, or start from "
            "scratch with --no-student-pretrained"
        ) from error
    if size not in STUDENT_SIZES:
        _check_resolution(made, name, resolution)
    return made


def is_conv_with_norm(module: nn.Module) -> bool:
    """Whether this is timm's convolution with batch normalization and activation."""
    from timm.layers import BatchNormAct2d, ConvNormAct

    return isinstance(module, ConvNormAct) and isinstance(module.bn, BatchNormAct2d)


def is_mobilevit_block(module: nn.Module) -> bool:
    """Whether this is timm's first MobileViT block, with nothing that trains (dropout) or that students never have."""
    from timm.models.mobilevit import MobileVitBlock

    return isinstance(module, MobileVitBlock)


def _timm():
    quiet_hub()
    try:
        import timm
    except ImportError as error:
        raise ModelError("timm is not installed; install it with: pip install timm") from error
    return timm


def _check_resolution(made: nn.Module, name: str, resolution: int) -> None:
    """Sets num_features to what comes out. ModelOptionError where the backbone does not take this resolution."""
    was_training, place = made.training, next(made.parameters()).device
    try:
        with torch.inference_mode():
            shape = tuple(made.eval()(torch.zeros(1, 3, resolution, resolution, device=place)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        size = (getattr(made, "pretrained_cfg", None) or {}).get("input_size", (3, 0, 0))[-1]
        raise ModelOptionError(
            f"{name} does not take images of {resolution} pixels" + (f"; it was made for {size}" if size else "")
        ) from error
    if len(shape) != 2:
        raise ModelOptionError(f"{name} gives features of shape {shape}, which are not pooled: it cannot be a student")
    made.num_features = shape[1]  # some have another layer after what timm counts
    made.train(was_training)


def _tiny_backbone() -> nn.Module:
    from timm.models.byobnet import ByobNet

    return ByobNet(tiny_configuration(), num_classes=0)


def tiny_configuration():
    """timm's own MobileViT, narrower than the narrowest it names: about 0.3 M parameters."""
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
