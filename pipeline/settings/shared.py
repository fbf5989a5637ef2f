"""The options that several commands share, each declared once."""

import os
from pathlib import Path

from embedonce.models.names import PROMPT_STYLES
from embedonce.pipeline.settings import ranges
from embedonce.pipeline.settings.choices import ACTIVATIONS, DEVICES, SPLITS, TEACHER_HEADS
from embedonce.pipeline.settings.options import (
    CACHE,
    DATA,
    LABELS,
    OUTPUT,
    RUNTIME,
    STUDENT,
    TEACHER,
    TRAINING,
    Option,
)

RESULTS = Path("results")

# Data
FPS = Option(default=2.0, help="Frames sampled per second of video.", group=DATA, range=ranges.FPS)
VIEWS = Option(
    default=4,
    help="Random crops that are embedded, too, besides the evaluation crop; each takes the teacher as long. 0: none.",
    group=DATA,
    range=ranges.VIEWS,
)
SPLIT = Option(default="val", help="Split to evaluate.", group=DATA, choices=SPLITS)

# Cache
CACHE_DIR = Option(
    default=RESULTS / "teacher_cache",
    help="Folder of the cache, or its URL, such as s3://bucket/prefix.",
    group=CACHE,
    may_be_url=True,
)
LOCAL_CACHE_DIR = Option(
    help="Folder for local copies of the shards of a cache in an object store, shared by the runs of this machine.",
    group=CACHE,
    default_text="embedonce in the user's cache folder",
)
LOCAL_CACHE_GB = Option(
    default=50.0,
    help="Most gigabytes of local copies, of which those used longest ago are deleted; 0: keep none.",
    group=CACHE,
    range=ranges.GIGABYTES,
)
LABEL_SET = Option(help="Label set of the cache to use.", group=CACHE, default_text="the cache's only label set")

# Labels
CLASSES = Option(
    help="File of class names for zero-shot logits: one name per line, CSV, TSV, JSON or YAML.",
    group=LABELS,
    must_exist=True,
)
CLASS_NAMES = Option(
    help="CSV, JSON or YAML file that maps every class to a readable name: `folder,name`.",
    group=LABELS,
    must_exist=True,
)
PROMPTS = Option(
    help="File of class prompts: one template such as `a photo of {}` per line, or JSON or YAML with templates or with "
    "the prompts of single classes.",
    group=LABELS,
    must_exist=True,
    default_text="the built-in prompts of --prompt-style",
)
TEACHER_HEAD = Option(
    help="Source of the soft logits: class prompts, a head fitted to the labels, or none.",
    group=LABELS,
    choices=TEACHER_HEADS,
    default_text="zero-shot; fitted for a teacher without a text tower",
)
PROMPT_STYLE = Option(
    help="Wording of the class prompts.",
    group=LABELS,
    choices=PROMPT_STYLES,
    default_text="english; v1 for the demo teacher, which was trained on it",
)
STORE_LOGITS = Option(
    help="Store the soft logits of every frame, or compute them from its embeddings whenever they are read.",
    group=LABELS,
    default_text="stored for up to 64 classes; an existing label set keeps what it has",
)
EMBED_TEXTS = Option(
    name="embed_texts",
    value_type=bool,
    default=False,
    help="Also embed the texts of clips, such as narrations, with the teacher's text tower: targets for --text-weight "
    "of train-student, and queries for evaluate.",
    group=LABELS,
)

# Teacher
TEACHER_MODEL = Option(
    help="JSON configuration file or local-dir:FOLDER of the cached teacher.", group=TEACHER, may_be_path=True
)
TEACHER_MODULE = Option(
    help="Python file with a teacher of your own: FILE.py, which registers it, or FILE.py:NAME, with the function or "
    "class that makes it.",
    group=TEACHER,
)
TEACHER_ONNX = Option(help="ONNX file as the teacher: from images (B, 3, S, S) to embeddings (B, D).", group=TEACHER)
TEACHER_TORCHSCRIPT = Option(help="TorchScript file as the teacher, likewise; its code runs.", group=TEACHER)
TEACHER_WEIGHTS = Option(
    help="Weights of the cached teacher: an open_clip tag or a local file.",
    group=TEACHER,
    may_be_path=True,
    default_text="those recorded in the cache",
)
TEACHER_ACTIVATION = Option(
    help="Activation that local weights were trained with; quickgelu for OpenAI's.", group=TEACHER, choices=ACTIVATIONS
)
TEACHER_PREPROCESS = Option(
    help="Image preprocessing for local weights: a tag of the model, MODEL:TAG, or mean, std, interpolation and resize "
    "as KEY=VALUE;KEY=VALUE;...",
    group=TEACHER,
    metavar="TAG|VALUES",
    default_text="as recorded in the cache",
)

# Student, training and evaluation
STUDENT_CHECKPOINT = Option(default=RESULTS / "best_student.pt", help="Student checkpoint.", group=STUDENT)
CLIP_BATCH_SIZE = Option(default=16, help="Clips per batch.", group=TRAINING, range=ranges.BATCH_SIZE)
EVALUATION_BATCH_SIZE = Option(default=16, help="Clips per batch.", group=RUNTIME, range=ranges.BATCH_SIZE)

# Output
OUTPUT_DIR = Option(default=RESULTS, help="Output folder.", group=OUTPUT)
OVERWRITE = Option(
    default=False,
    help="Replace files that this command did not write, or wrote for other inputs.",
    group=OUTPUT,
)

# Runtime. Loader processes: decoding needs little compared with training
NUM_WORKERS = Option(
    default=min(8, max(1, (os.cpu_count() or 2) // 2)),
    help="DataLoader worker processes.",
    range=ranges.WORKERS,
    default_text="half the cores, at most 8",
)
DEVICE = Option(default="auto", help="Device to compute on.", group=RUNTIME, choices=DEVICES)
SEED = Option(default=0, help="Random seed.", group=RUNTIME, range=ranges.SEED)
