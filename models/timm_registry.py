"""Registers with timm, when imported, the backbones that it does not have: `embedonce_tiny` and the cut trunks.

Needed to load an exported student by timm's name; `import embedonce` imports this module once timm is imported.
"""

import sys

import timm
from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models.byobnet import ByobNet
from torch import nn

from embedonce.models.backbones import tiny_configuration
from embedonce.models.trunks import TRUNKS, cut_trunk


@register_model
def embedonce_tiny(pretrained: bool = False, **settings) -> ByobNet:
    """A MobileViT narrower than timm's narrowest; its weights come from exported students only."""
    return build_model_with_cfg(
        ByobNet, "embedonce_tiny", pretrained, model_cfg=tiny_configuration(), feature_cfg={"flatten_sequential": True},
        **settings,
    )  # fmt: skip


def _register_trunk(size: str, name: str) -> None:
    """Register timm's model `name` without the layers before its classifier as embedonce_SIZE."""

    def trunk(num_classes: int = 0, **settings) -> nn.Module:
        return cut_trunk(timm.create_model(name, num_classes=0, **settings), name)

    def build(pretrained: bool = False, **settings) -> nn.Module:
        return build_model_with_cfg(trunk, build.__name__, pretrained, **settings)

    build.__name__ = build.__qualname__ = f"embedonce_{size}"
    setattr(sys.modules[__name__], build.__name__, register_model(build))


for _size, _name in TRUNKS.items():
    _register_trunk(_size, _name)
