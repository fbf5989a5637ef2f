"""Names that options and models share, importable without loading a model library."""

from pathlib import Path

TEACHER_SIZES = {
    "base": "ViT-B-32-quickgelu",
    "base16": "ViT-B-16-quickgelu",
    "large": "ViT-L-14-quickgelu",
    "demo": "demo-clip",
}
USUAL_WEIGHTS = "openai"
SHIPPED_WEIGHTS = {"demo-clip": "demo"}  # models whose weights come with the project, and the tag these go by
STUDENT_SIZES = ("tiny", "xxs", "xs", "s")
PRETRAINED_SIZES = ("xxs", "xs", "s")
PROMPT_STYLES = ("english", "v1")  # wordings of class prompts
TRAINED_ON_V1 = ("demo-clip",)  # models whose text towers know the words of v1 only
PROJECTIONS = ("mlp", "linear", "linear-norm", "linear-norm-gelu")
MAX_WIDTH = 1 << 14  # of any vector in a student: CLIP's embeddings have 512 to 1,536 numbers
MAX_CLASSES = 100_000


def default_weights(model: str) -> str:
    """The weights of an open_clip model for which none are chosen: those shipped with it, else OpenAI's."""
    return SHIPPED_WEIGHTS.get(model, USUAL_WEIGHTS)


def usual_prompt_style(model: str) -> str:
    """The wording of class prompts for a model, given its name or configuration file."""
    return "v1" if Path(model).stem in TRAINED_ON_V1 else "english"
