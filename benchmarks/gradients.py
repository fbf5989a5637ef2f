"""Compares gradients from cached targets with gradients from a teacher in the loop, step by step.

    python -m benchmarks.gradients --cache-dir CACHE

One student is trained from the cache. Every few steps the teacher also embeds the frames of the batch, and the gradient
of the same weights is computed three times: from cached targets, from the teacher's, and from the cache rounded to
8-bit blocks. Two training runs diverge from the smallest difference; gradients of one run do not.
"""

import copy
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.ablation import Condition, Source, student_run
from benchmarks.ablation_clips import Clips, Setting
from benchmarks.measuring import finish, machine
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.pipeline.clips.batch import ClipBatch

CACHED = Condition("cached")
OTHERS = {
    "teacher in the loop": Condition("live", teacher="live"),
    "8-bit blocks": Condition("int8", blocks=True),
}


def gradient(run, batch: dict) -> torch.Tensor:
    """The gradient of the whole loss as one vector, with fixed dropout. The student itself stays unchanged."""
    student = copy.deepcopy(run.student).train()
    torch.manual_seed(0)
    clips = ClipBatch.from_items(batch)
    distillation_loss(student(*clips.inputs), clips.targets, run.settings)["total"].backward()
    return torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])


@click.command()
@click.option("--cache-dir", type=click.Path(path_type=Path), required=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/ablation"))
@click.option("--size", default="tiny", show_default=True)
@click.option("--train-clips", type=int, default=900, show_default=True)
@click.option("--frames", type=int, default=2, show_default=True)
@click.option("--batch-size", type=int, default=16, show_default=True)
@click.option("--steps", type=int, default=240, show_default=True)
@click.option("--every", type=int, default=12, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(steps: int, every: int, **settings):
    setting = Setting(**settings, epochs=1)
    setting.work_dir.mkdir(parents=True, exist_ok=True)
    train = Clips(setting, "train", None)
    train.prepare(1)
    train.load()
    source = Source(train, CACHED, 0)
    others = {name: Source(train, condition, 0) for name, condition in OTHERS.items()}
    run = student_run(train, CACHED, 0, steps)
    differences: dict[str, list[float]] = {name: [] for name in (*others, "another batch")}
    for step in range(steps):
        epoch, place = divmod(step, len(source.planned(0, setting.batch_size)))
        indexes = source.planned(epoch, setting.batch_size)[place]
        batch = source.batch(indexes, epoch)
        if step % every == every - 1:
            ours = gradient(run, batch)
            theirs = {name: gradient(run, other.batch(indexes, epoch)) for name, other in others.items()}
            theirs["another batch"] = gradient(
                run, source.batch(source.planned(epoch + 1, setting.batch_size)[0], epoch)
            )
            for name, value in theirs.items():
                differences[name].append(float((value - ours).norm() / ours.norm()))
            click.echo(
                f"step {step + 1}: " + ", ".join(f"{name} {values[-1]:.1e}" for name, values in differences.items())
            )
        run.train_mode()
        run.step(ClipBatch.from_items(batch))
    figures = {name: {"median": float(np.median(v)), "largest": max(v)} for name, v in differences.items()}
    for name, figure in figures.items():
        click.echo(f"{name}: median relative difference {figure['median']:.1e}, largest {figure['largest']:.1e}")
    finish(
        "gradients", {"differences": figures, "points": len(differences["another batch"]), **machine("torch", "timm")}
    )


if __name__ == "__main__":
    main()
