"""What text targets are worth: students with and without --text-weight, found by free text among synthetic clips.

The text of a clip names the action and the color of the sleeves, in words of the demo teacher's captions: 36 texts.
python -m benchmarks.text_targets FOLDER --weights 0 0.5 --seeds 0 1 2
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from embedonce import cli
from embedonce.pipeline.demo_teacher.recipe import SLEEVES
from embedonce.pipeline.sources.synthetic.generate import make_synthetic
from embedonce.pipeline.sources.synthetic.plan import Parameters, VideoPlan, plan_videos
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS

COLUMNS = ("video", "start", "end", "label", "split", "text")
STUDENT = ("--student-size", "tiny", "--student-resolution", "128", "--batch-size", "32", "--lr", "0.002")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    cache = make_cache(options.folder, options.clips)
    for weight in options.weights:
        results = [student(options, cache, weight, seed) for seed in options.seeds]
        for name in ("teacher", "student"):
            sys.stdout.write(f"--text-weight {weight:g}, {name}: {line(results, name)}\n")


def make_cache(folder: Path, num_clips: int) -> Path:
    """Videos, a manifest with texts, and the demo teacher's cache of them."""
    parameters = Parameters(num_clips, len(ACTIONS), 0)
    make_synthetic(folder / "videos", num_clips, len(ACTIONS), 0)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row for video in plan_videos(parameters) for row in rows(video))
    arguments = ("--manifest", folder / "clips.csv", "--cache-dir", folder / "cache", "--teacher-size", "demo")
    run("extract-teacher", *arguments, "--views", "0", "--embed-texts")
    return folder / "cache"


def rows(video: VideoPlan) -> Iterator[dict[str, object]]:
    """The rows of a manifest for the clips of one video."""
    sleeves = SLEEVES[int(np.argmax(video.scene().arms.sleeve))]
    for station in video.stations:
        values = (station.start_sec, station.end_sec, station.action, video.split)
        text = f"first-person view: {station.action}, {sleeves} sleeves"
        yield dict(zip(COLUMNS, (f"videos/v2/full_scale/{video.uid}.mp4", *values, text), strict=True))


def student(options: argparse.Namespace, cache: Path, weight: float, seed: int) -> dict:
    """The results of a student that was trained with this weight and seed."""
    folder = options.folder / f"students/{weight:g}-{seed}"
    common = ("--cache-dir", cache, "--output-dir", folder, "--device", "cpu")
    training = ("--epochs", options.epochs, "--frames-per-clip", options.frames, "--seed", seed)
    run("train-student", *common, *STUDENT, *training, "--text-weight", weight)
    run("evaluate", *common, "--student-checkpoint", folder / "best_student.pt")
    return json.loads((folder / "evaluation_results.json").read_text())


def line(results: list[dict], model: str) -> str:
    """Means over seeds, with the smallest and the largest value."""
    figures = {"top-1": [one[model]["top1"] for one in results]}
    for name in ("text_to_video", "video_to_text"):
        for figure in ("recall_at_1", "recall_at_5", "mean_average_precision"):
            figures[f"{name} {figure}"] = [one["retrieval"][name][model][figure] for one in results]
    for name in ("inter_video", "intra_video"):
        figures[name] = [one["retrieval"][name][model] for one in results if one["retrieval"][name]]
    shown = {name: values for name, values in figures.items() if values}
    return ", ".join(
        f"{name} {statistics.mean(values):.1%} ({min(values):.1%} to {max(values):.1%})"
        for name, values in shown.items()
    )


def run(*arguments: object) -> None:
    cli.main(list(map(str, arguments)), standalone_mode=False)


if __name__ == "__main__":
    main()
