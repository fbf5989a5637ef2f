"""Importing this makes timm know `embedonce_tiny`, the backbone of `tiny` students, by name.

For whoever loads an export. `import embedonce` imports it as soon as timm is imported, too.
"""

from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models.byobnet import ByobNet

from embedonce.models.backbones import tiny_configuration


@register_model
def embedonce_tiny(pretrained: bool = False, **settings) -> ByobNet:
    """timm's MobileViT, narrower than the narrowest it names; weights come from an export alone."""
    return build_model_with_cfg(
        ByobNet, "embedonce_tiny", pretrained, model_cfg=tiny_configuration(), feature_cfg={"flatten_sequential": True},
        **settings,
    )  # fmt: skip
