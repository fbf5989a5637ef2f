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
    "effvit_b0": "efficientvit_b0",
}


def cut_trunk(model: Any, name: str) -> nn.Module:
    """Remove the layers between the last feature map and the classifier, in place; sets `num_features`.

    model: from timm, with num_classes=0; then (N, 3, R, R) -> (N, num_features). ModelError if it has no such layers:
    another version of timm may have other ones.
    """
    if isinstance(getattr(model, "conv_head", None), nn.Conv2d):
        width = model.conv_head.in_channels
        for layer in ("conv_head", "norm_head", "act2"):
            setattr(model, layer, nn.Identity())
    elif hasattr(getattr(model, "head", None), "in_conv"):
        width = model.head.in_features
        model.head.reset(0, reset_other=True)
    else:
        raise ModelError(f"the installed timm builds {name} without the layers that are cut off; pip install -U timm")
    model.num_features = model.head_hidden_size = width
    return model
