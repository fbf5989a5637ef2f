"""Convolutional backbones without the layer before timm's classifier.

Between the last feature map and the classifier, these networks have a wide 1 x 1 convolution (0.59 M of the 1.52 M
parameters of mobilenetv3_small_100 without its classifier). A student has a projection of its own there.
"""

from typing import Any

from torch import nn

from embedonce.models.errors import ModelError

# student size -> timm model
TRUNKS = {
    "lcnet050": "lcnet_050",
    "lcnet075": "lcnet_075",
    "lcnet100": "lcnet_100",
    "mnv3s050": "mobilenetv3_small_050",
    "mnv3s075": "mobilenetv3_small_075",
    "mnv3s100": "mobilenetv3_small_100",
    "mnv4s050": "mobilenetv4_conv_small_050",
    "mnv4s100": "mobilenetv4_conv_small",
    "effvit_b0": "efficientvit_b0",
}
WIDENED = ("mobilenetv4_conv_small",)  # its last stage only widens 128 channels to 960, and is cut off, too


def cut_trunk(model: Any, name: str) -> nn.Module:
    """Remove the layers between the last feature map and the classifier, in place; sets `num_features`.

    model: from timm, with num_classes=0; then (N, 3, R, R) -> (N, num_features). name: timm's. ModelError if it has no
    such layers: another version of timm may have other ones.
    """
    try:
        width = _cut_convolutions(model, name in WIDENED) if hasattr(model, "conv_head") else _cut_head(model.head)
    except (AttributeError, IndexError) as error:
        raise ModelError(
            f"the installed timm builds {name} without the layers that are cut off; pip install -U timm"
        ) from error
    model.num_features = model.head_hidden_size = width
    return model


def _cut_convolutions(model: Any, is_widened: bool) -> int:
    """Of timm's MobileNetV3 class, which LCNet and MobileNetV4 are of, too; returns the width of what is left."""
    width = model.conv_head.in_channels
    for layer in ("conv_head", "norm_head", "act2"):
        setattr(model, layer, nn.Identity())
    if is_widened:
        width = model.blocks[-1][0].conv.in_channels
        model.blocks = model.blocks[:-1]
    return width


def _cut_head(head: Any) -> int:
    """Of timm's EfficientVit class; returns the width of what is left."""
    width = head.in_conv.conv.in_channels
    head.reset(0, reset_other=True)
    return width
