"""Trains the demo teacher on synthetic frames and writes the weights that are part of the package.

Run it with `python -m embedonce.pipeline.demo_teacher.train`.
"""

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from embedonce.cache import commit
from embedonce.cache.errors import CacheError
from embedonce.cache.files import exists, read_file
from embedonce.cache.heads import logits_from
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.contrastive import contrastive_loss
from embedonce.models.device import fast_layout
from embedonce.models.names import TEACHER_SIZES, V1_STYLE
from embedonce.models.teachers.open_clip import ClipTeacher, load_teacher
from embedonce.models.teachers.weights import SHIPPED, build
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.demo_teacher.batches import CaptionedCrops, augmented
from embedonce.pipeline.demo_teacher.recipe import HELD_OUT, TRAIN, Frames, captions, draw
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.files.output_folder import check_replaceable
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH
from embedonce.pipeline.training.distributed import global_batches
from embedonce.pipeline.training.optimizers import parameter_groups
from embedonce.pipeline.training.recipe import lr_factor

MODEL = TEACHER_SIZES["demo"]
NUM_VIDEOS, NUM_HELD_OUT = 2000, 200
EPOCHS = 1
BATCH_SIZE = 64
PEAK_LR = 1e-3
BETAS = (0.9, 0.98)  # CLIP's
WEIGHT_DECAY = 0.05
CLIP_NORM = 1.0
MAX_LOGIT_SCALE = math.log(100)  # CLIP's
THREADS = 1  # results depend on it; the other cores draw and crop
CPU = torch.device("cpu")


def train(frames: Frames, epochs: int, seed: int) -> nn.Module:
    """Train an open_clip model. Equal arguments give equal weights on the same type of processor."""
    torch.manual_seed(seed)
    clip: Any
    tokenizer: Any
    clip, tokenizer, _ = build(MODEL, "random", None, seed)
    teacher = TeacherIdentity(**ClipTeacher(clip, tokenizer, (MODEL, "random"), CPU).describe())
    all_captions = captions()
    tokens = tokenizer(list(all_captions.texts))  # (C, L) int64
    data = CaptionedCrops(frames, all_captions, teacher, seed)
    steps = epochs * math.ceil(len(data) / BATCH_SIZE)
    optimizer = torch.optim.AdamW(parameter_groups(clip, WEIGHT_DECAY), lr=PEAK_LR, betas=BETAS, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    layout = fast_layout(clip.visual)
    clip.train().visual.to(memory_format=layout)
    with Progress(steps, "training the demo teacher", "steps") as progress:
        for data.epoch in range(epochs):
            order, losses = np.random.default_rng((seed, data.epoch)).permutation(len(data)), []
            for batch in batches(data, global_batches(order.tolist(), BATCH_SIZE, 1), workers=1):
                images = _normalized(augmented(batch["crop"]), teacher).contiguous(memory_format=layout)
                losses.append(_step(clip, optimizer, images, tokens[batch["caption"]], data.matches(batch)))
                schedule.step()
                progress.update()
            progress.note(f"epoch {data.epoch + 1} of {epochs}: loss {np.mean(losses):.3f}")
    _zero_unused_tokens(clip, tokens)
    return clip


def _normalized(images: Tensor, teacher: TeacherIdentity) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (teacher.mean, teacher.std))
    return (images - mean) / std


def _step(clip: Any, optimizer, images: Tensor, tokens: Tensor, matches: Tensor) -> float:
    """One optimizer step; returns the loss. images (B, 3, S, S) float, tokens (B, L) int64, matches (B, B) bool."""
    with torch.autocast("cpu", torch.bfloat16):
        image_embeddings, text_embeddings = clip.encode_image(images), clip.encode_text(tokens)
    loss = contrastive_loss(image_embeddings, text_embeddings, matches, clip.logit_scale.exp())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(clip.parameters(), CLIP_NORM)
    optimizer.step()
    with torch.no_grad():
        clip.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    return loss.item()


@torch.no_grad()
def _zero_unused_tokens(clip: Any, tokens: Tensor) -> None:
    """Zero the embeddings of tokens that no caption has, so that unknown words add no noise."""
    is_unused = torch.ones(len(clip.token_embedding.weight), dtype=torch.bool)
    is_unused[tokens.unique()] = False
    clip.token_embedding.weight[is_unused] = 0


def save(clip: nn.Module, path: Path) -> str:
    """Write float16 weights and, in a second file, their SHA-256, which loading checks; returns the SHA-256."""
    state = {name: tensor.contiguous() for name, tensor in clip.state_dict().items()}
    data = safetensors.torch.save({n: t.half() if t.is_floating_point() else t for n, t in state.items()})
    digest = hashlib.sha256(data).hexdigest()
    commit.replace(path, data)
    commit.replace(path.with_suffix(".sha256"), _digest_line(digest, path))
    return digest


def check_output(path: Path, overwrite: bool) -> None:
    """Raise InputError if `path` or the file of its SHA-256 exists and was not written by save()."""
    digests = path.with_suffix(".sha256")

    def belongs(_: bytes) -> bool:
        """Whether both files exist and the SHA-256 is that of the weights."""
        both = exists(path) and exists(digests)
        return both and read_file(digests) == _digest_line(hashlib.sha256(read_file(path)).hexdigest(), path)

    check_replaceable({path: belongs, digests: belongs}, overwrite, "the training of the demo teacher", "--output")


def _digest_line(digest: str, path: Path) -> bytes:
    return f"{digest}  {path.name}\n".encode()


def evaluate(teacher: ClipTeacher, frames: Frames) -> list[str]:
    """Zero-shot accuracy as lines of text: of frames, of clips (mean of their frames' logits), and per class."""
    identity = TeacherIdentity(**teacher.describe())
    view = make_views("", (FRAME_HEIGHT, FRAME_WIDTH), 0, 0, identity)[0]
    rows = []
    for first in range(0, len(frames), BATCH_SIZE):
        jpegs = frames.jpegs[first : first + BATCH_SIZE]
        rows.append(
            teacher.embed(np.stack([canonical_frame.load_view(jpeg, view, identity.input_size) for jpeg in jpegs]))
        )
    text, scale, _ = teacher.class_text([list(texts) for texts in class_prompts(ACTIONS, style=V1_STYLE)])
    head = {"class_text": text, "logit_scale": np.array([scale], np.float32)}
    logits = logits_from(head, np.concatenate(rows)[:, None])[:, 0]
    members = [frames.clips == clip for clip in np.unique(frames.clips)]
    clip_logits = np.stack([logits[member].mean(0) for member in members])
    labels = np.array([frames.labels[member][0] for member in members])
    return [
        f"frames: top-1 {accuracy.top_k_accuracy(logits, frames.labels, 1):.3f} of {len(frames)}",
        f"clips: top-1 {accuracy.top_k_accuracy(clip_logits, labels, 1):.3f} of {len(labels)}",
        *_per_class(clip_logits.argmax(1), labels),
    ]


def _per_class(predicted: np.ndarray, labels: np.ndarray) -> Iterator[str]:
    for label in np.unique(labels):
        answers = predicted[labels == label]
        confusions = {ACTIONS[other]: int((answers == other).sum()) for other in np.unique(answers) if other != label}
        wrong = ", ".join(f"{count} as {name}" for name, count in confusions.items())
        line = f"  {ACTIONS[label]}: {(answers == label).mean():.3f} of {len(answers)}"
        yield f"{line}; misclassified: {wrong}" if wrong else line


def main() -> None:
    """Draw the frames, train, write the weights, and evaluate them on held-out videos."""
    shipped = SHIPPED / f"{MODEL}.safetensors"
    parser = argparse.ArgumentParser(description="Train the demo teacher on synthetic frames and write its weights.")
    parser.add_argument("--output", type=Path, default=shipped, help="weights file (default: the one in the package)")
    parser.add_argument("--videos", type=int, default=NUM_VIDEOS, help="number of training videos")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--overwrite", action="store_true", help="replace files that this command did not write")
    options = parser.parse_args()
    try:
        commit.check_writable(options.output.parent)
        check_output(options.output, options.overwrite)
    except (CacheError, PipelineError) as error:
        parser.exit(error.exit_code, f"Error: {error}\n")
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # saves time
    started = time.monotonic()
    with Progress(options.videos, "drawing", "videos") as progress:
        frames = draw(options.seed, TRAIN, options.videos, progress)
    digest = save(train(frames, options.epochs, options.seed), options.output)
    trained_min = (time.monotonic() - started) / 60
    with Progress(NUM_HELD_OUT, "drawing held-out videos", "videos") as progress:
        held_out = draw(options.seed, HELD_OUT, NUM_HELD_OUT, progress)
    lines = evaluate(load_teacher(MODEL, str(options.output), "quickgelu", CPU, 0), held_out)
    sys.stdout.write("\n".join([*lines, f"{trained_min:.1f} minutes", f"SHA-256 {digest}", ""]))


if __name__ == "__main__":
    main()
