"""Names and limits shared by options and models; imports no model library."""

from pathlib import Path

TEACHER_SIZES = {
    "base": "ViT-B-32-quickgelu",
    "base16": "ViT-B-16-quickgelu",
    "large": "ViT-L-14-quickgelu",
    "demo": "demo-clip",
}
PYTORCH, ONNX = "pytorch", "onnx"
TEACHER_RUNTIMES = (PYTORCH, ONNX)
DEFAULT_WEIGHTS = "openai"
SHIPPED_WEIGHTS = {"demo-clip": "demo"}  # model -> tag of the weights that are part of the package
STUDENT_SIZES = ("tiny", "xxs", "xs", "s")
PRETRAINED_SIZES = ("xxs", "xs", "s")
ENGLISH_STYLE = "english"
V1_STYLE = "v1"
PROMPT_STYLES = (ENGLISH_STYLE, V1_STYLE)  # wordings of class prompts
TRAINED_ON_V1 = ("demo-clip",)  # models whose text towers were trained on prompts of style v1 only
PROJECTIONS = ("mlp", "linear", "linear-norm", "linear-norm-gelu")
MAX_WIDTH = 1 << 14  # of any vector in a student; CLIP embeddings have 512 to 1,536 dimensions
MAX_CLASSES = 100_000


def default_weights(model: str) -> str:
    """The weights of an open_clip model for which none are chosen: those shipped with it, else OpenAI's."""
    return SHIPPED_WEIGHTS.get(model, DEFAULT_WEIGHTS)


def default_prompt_style(model: str) -> str:
    """The default style of class prompts for a model, given its name or configuration file."""
    return V1_STYLE if Path(model).stem in TRAINED_ON_V1 else ENGLISH_STYLE
