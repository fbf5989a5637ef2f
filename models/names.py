"""Names that options and models share, importable without loading a model library."""

TEACHER_SIZES = {"base": "ViT-B-32-quickgelu", "base16": "ViT-B-16-quickgelu", "large": "ViT-L-14-quickgelu"}
STUDENT_SIZES = ("tiny", "xxs", "xs", "s")
PRETRAINED_SIZES = ("xxs", "xs", "s")
PROJECTIONS = ("mlp", "linear", "linear-norm", "linear-norm-gelu")
