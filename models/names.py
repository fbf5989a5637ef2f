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
FOLDER_SCHEMA, HUB_SCHEMA = "local-dir:", "hf-hub:"  # open_clip's names for models that are no names of its own
RANDOM_WEIGHTS = "random"
OTHER_LIBRARIES = ("timm", "onnx", "torchscript")  # the names of teachers that are not open_clip's begin with these
OWN_WEIGHTS = "own"  # those in the folder or repository of such a model
SHIPPED_WEIGHTS = {"demo-clip": "demo"}  # model -> tag of the weights that are part of the package
MOBILEVIT_SIZES = ("tiny", "xxs", "xs", "s")
CONVOLUTIONAL_SIZES = (
    *("lcnet050", "lcnet075", "lcnet100", "mnv3s050", "mnv3s075", "mnv3s100"),
    *("mnv4s050", "mnv4s100", "effvit_b0"),
)
STUDENT_SIZES = (*MOBILEVIT_SIZES, *CONVOLUTIONAL_SIZES)
PRETRAINED_SIZES = tuple(size for size in STUDENT_SIZES if size != "tiny")
ENGLISH_STYLE = "english"
V1_STYLE = "v1"
PROMPT_STYLES = (ENGLISH_STYLE, V1_STYLE)  # wordings of class prompts
TRAINED_ON_V1 = ("demo-clip",)  # models whose text towers were trained on prompts of style v1 only
MUON, ADAMW = "muon", "adamw"
OPTIMIZERS = (MUON, ADAMW)
PROJECTIONS = ("linear", "mlp", "linear-norm", "linear-norm-gelu")
NARROW_SIZES = ("lcnet100", "mnv3s100", "mnv4s050")  # no linear projection fits their parameter budgets
ATTENTION, MEAN = "attention", "mean"
POOLINGS = (ATTENTION, MEAN)  # how the frames of a clip become one vector
MAX_WIDTH = 1 << 14  # of any vector in a student; CLIP embeddings have 512 to 1,536 dimensions
MAX_CLASSES = 100_000


def has_own_weights(model: str) -> bool:
    """Whether a model is a folder or a repository of the Hugging Face hub, with weights beside its configuration."""
    return model.startswith((FOLDER_SCHEMA, HUB_SCHEMA))


def default_weights(model: str) -> str:
    """The weights of an open_clip model for which none are chosen: its own, those shipped with it, else OpenAI's."""
    return OWN_WEIGHTS if has_own_weights(model) else SHIPPED_WEIGHTS.get(model, DEFAULT_WEIGHTS)


def teacher_name(model: str) -> str:
    """The name that the identity of an open_clip model has: without the place of its file or folder."""
    if model.startswith(FOLDER_SCHEMA):
        return FOLDER_SCHEMA + Path(model.removeprefix(FOLDER_SCHEMA)).resolve().name
    return Path(model).stem if model.endswith(".json") else model


def default_prompt_style(model: str) -> str:
    """The default style of class prompts for a model, given its name or configuration file."""
    return V1_STYLE if Path(model).stem in TRAINED_ON_V1 else ENGLISH_STYLE
