"""Trains the demo teacher by its recipe and writes the weights that ship.

Run it with `python -m embedonce.pipeline.demo_teacher.train`.

Knows the order of things; what is drawn and said is the recipe's, what a model is, open_clip's.
"""

import argparse
import hashlib
import math
import sys
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from embedonce.cache import commit
from embedonce.cache.errors import CacheError
from embedonce.cache.files import exists, read_file
from embedonce.cache.labels import logits_from
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.contrastive import contrastive_loss
from embedonce.models.device import fast_layout
from embedonce.models.names import TEACHER_SIZES
from embedonce.models.teachers.open_clip import ClipTeacher, load_teacher
from embedonce.models.teachers.weights import SHIPPED, build
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.demo_teacher.batches import CaptionedCrops, varied
from embedonce.pipeline.demo_teacher.recipe import HELD_OUT, TRAIN, Frames, captions, draw
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.files.output_folder import check_replaceable
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.labeling.label_sets import class_prompts
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH
from embedonce.pipeline.training.distributed import global_batches
from embedonce.pipeline.training.recipe import lr_factor, parameter_groups

MODEL = TEACHER_SIZES["demo"]
NUM_VIDEOS, NUM_HELD_OUT = 2000, 200
EPOCHS = 1
BATCH_SIZE = 64
PEAK_LR = 1e-3
BETAS = (0.9, 0.98)  # CLIP's
WEIGHT_DECAY = 0.05
CLIP_NORM = 1.0
MAX_LOGIT_SCALE = math.log(100)  # CLIP's
THREADS = 1  # sums depend on it; other cores draw and crop
CPU = torch.device("cpu")


def train(frames: Frames, epochs: int, seed: int) -> nn.Module:
    """A trained open_clip model. Equal arguments give equal weights on one kind of processor."""
    torch.manual_seed(seed)
    clip, tokenizer, _ = build(MODEL, "random", None, seed)
    teacher = TeacherIdentity(**ClipTeacher(clip, tokenizer, (MODEL, "random"), CPU).describe())
    sayable = captions()
    tokens = tokenizer(list(sayable.texts))  # (C, L) int64
    data = CaptionedCrops(frames, sayable, teacher, seed)
    steps = epochs * math.ceil(len(data) / BATCH_SIZE)
    optimizer = torch.optim.AdamW(parameter_groups(clip, WEIGHT_DECAY), lr=PEAK_LR, betas=BETAS, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps))
    layout = fast_layout(clip.visual)
    clip.train().visual.to(memory_format=layout)
    with Progress(steps, "training the demo teacher", "steps") as progress:
        for data.epoch in range(epochs):
            order, losses = np.random.default_rng((seed, data.epoch)).permutation(len(data)), []
            for batch in batches(data, global_batches(order.tolist(), BATCH_SIZE, 1), num_workers=1):
                images = _normalized(varied(batch["crop"]), teacher).contiguous(memory_format=layout)
                losses.append(_step(clip, optimizer, images, tokens[batch["caption"]], data.truth(batch)))
                schedule.step()
                progress.update()
            progress.note(f"epoch {data.epoch + 1} of {epochs}: loss {np.mean(losses):.3f}")
    _forget_unsaid(clip, tokens)
    return clip


def _normalized(images: Tensor, teacher: TeacherIdentity) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (teacher.mean, teacher.std))
    return (images - mean) / std


def _step(clip: nn.Module, optimizer, images: Tensor, tokens: Tensor, truth: Tensor) -> float:
    """One step of the optimizer; the loss before it. images (B, 3, S, S), tokens (B, L), truth (B, B)."""
    with torch.autocast("cpu", torch.bfloat16):
        of_images, of_texts = clip.encode_image(images), clip.encode_text(tokens)
    loss = contrastive_loss(of_images, of_texts, truth, clip.logit_scale.exp())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(clip.parameters(), CLIP_NORM)
    optimizer.step()
    with torch.no_grad():
        clip.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    return loss.item()


@torch.no_grad()
def _forget_unsaid(clip: nn.Module, tokens: Tensor) -> None:
    """Zero the vectors of all tokens that no caption holds: an unknown word says nothing instead of noise."""
    unsaid = torch.ones(len(clip.token_embedding.weight), dtype=torch.bool)
    unsaid[tokens.unique()] = False
    clip.token_embedding.weight[unsaid] = 0


def save(clip: nn.Module, path: Path) -> str:
    """Write float16 weights, and beside them their SHA-256, which loading checks; returns it."""
    state = {name: tensor.contiguous() for name, tensor in clip.state_dict().items()}
    data = safetensors.torch.save({n: t.half() if t.is_floating_point() else t for n, t in state.items()})
    digest = hashlib.sha256(data).hexdigest()
    commit.replace(path, data)
    commit.replace(path.with_suffix(".sha256"), _digest_line(digest, path))
    return digest


def check_output(path: Path, overwrite: bool) -> None:
    """InputError where path, or the file of its SHA-256, is there and is not what save() wrote."""
    digests = path.with_suffix(".sha256")

    def belongs(_: bytes) -> bool:
        """Whether the two are there and belong to each other."""
        both = exists(path) and exists(digests)
        return both and read_file(digests) == _digest_line(hashlib.sha256(read_file(path)).hexdigest(), path)

    check_replaceable({path: belongs, digests: belongs}, overwrite, "the training of the demo teacher", "--output")


def _digest_line(digest: str, path: Path) -> bytes:
    return f"{digest}  {path.name}\n".encode()


def judge(teacher: ClipTeacher, frames: Frames) -> list[str]:
    """Zero-shot figures on these frames, in lines: frames, clips (by the mean of their frames' logits), mistakes."""
    identity = TeacherIdentity(**teacher.describe())
    view = make_views("", (FRAME_HEIGHT, FRAME_WIDTH), 0, 0, identity)[0]
    rows = []
    for first in range(0, len(frames), BATCH_SIZE):
        jpegs = frames.jpegs[first : first + BATCH_SIZE]
        rows.append(
            teacher.embed(np.stack([canonical_frame.load_view(jpeg, view, identity.input_size) for jpeg in jpegs]))
        )
    text, scale = teacher.class_text([list(texts) for texts in class_prompts(ACTIONS, style="v1")])
    head = {"class_text": text, "logit_scale": np.array([scale], np.float32)}
    logits = logits_from(head, np.concatenate(rows)[:, None])[:, 0]
    members = [frames.clips == clip for clip in np.unique(frames.clips)]
    of_clips = np.stack([logits[member].mean(0) for member in members])
    labels = np.array([frames.labels[member][0] for member in members])
    return [
        f"frames: top-1 {accuracy.top_k_accuracy(logits, frames.labels, 1):.3f} of {len(frames)}",
        f"clips: top-1 {accuracy.top_k_accuracy(of_clips, labels, 1):.3f} of {len(labels)}",
        *_mistakes(of_clips.argmax(1), labels),
    ]


def _mistakes(predicted: np.ndarray, labels: np.ndarray):
    for label in np.unique(labels):
        found = predicted[labels == label]
        taken_for = {ACTIONS[other]: int((found == other).sum()) for other in np.unique(found) if other != label}
        told = ", ".join(f"{count} for {name}" for name, count in taken_for.items())
        yield f"  {ACTIONS[label]}: {(found == label).mean():.3f} of {len(found)}" + (f"; taken {told}" if told else "")


def main() -> None:
    """Draw, train, write, judge."""
    shipped = SHIPPED / f"{MODEL}.safetensors"
    parser = argparse.ArgumentParser(description="Train the demo teacher on drawn frames and write its weights.")
    parser.add_argument("--output", type=Path, default=shipped, help="where to write (default: the shipped file)")
    parser.add_argument("--videos", type=int, default=NUM_VIDEOS, help="videos to learn from")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over their frames")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is no teacher made like this")
    asked = parser.parse_args()
    try:
        commit.check_writable(asked.output.parent)
        check_output(asked.output, asked.overwrite)
    except (CacheError, PipelineError) as error:
        parser.exit(error.exit_code, f"Error: {error}\n")
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it, and filling takes time
    started = time.monotonic()
    with Progress(asked.videos, "drawing", "videos") as progress:
        frames = draw(asked.seed, TRAIN, asked.videos, progress)
    digest = save(train(frames, asked.epochs, asked.seed), asked.output)
    trained_min = (time.monotonic() - started) / 60
    with Progress(NUM_HELD_OUT, "drawing held-out videos", "videos") as progress:
        held_out = draw(asked.seed, HELD_OUT, NUM_HELD_OUT, progress)
    lines = judge(load_teacher(MODEL, str(asked.output), "quickgelu", CPU, 0), held_out)
    sys.stdout.write("\n".join([*lines, f"{trained_min:.1f} minutes", f"SHA-256 {digest}", ""]))


if __name__ == "__main__":
    main()
