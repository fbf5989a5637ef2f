"""Registers `embedonce_tiny`, the backbone of `tiny` students, with timm when imported.

Needed to load an exported student by timm's name; `import embedonce` imports this module once timm is imported.
"""

from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models.byobnet import ByobNet

from embedonce.models.backbones import tiny_configuration


@register_model
def embedonce_tiny(pretrained: bool = False, **settings) -> ByobNet:
    """A MobileViT narrower than timm's narrowest; its weights come from exported students only."""
    return build_model_with_cfg(
        ByobNet, "embedonce_tiny", pretrained, model_cfg=tiny_configuration(), feature_cfg={"flatten_sequential": True},
        **settings,
    )  # fmt: skip
