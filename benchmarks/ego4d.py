"""Ego4D's size: what planning takes in time and memory, what 10, 100 and all videos cost, and how fast labels change.

    python -m benchmarks.ego4d --work-dir results/benchmarks

The annotations are made up, in Ego4D's schema and to its published totals (Grauman et al., 2022, and the v2 release):
9,821 videos of 3,670 hours, 3.85 M narrations, 110 moments. Words and times are random; only counts mean something.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.measuring import finish, machine
from benchmarks.safety import fresh
from embedonce.cache.labels import LabelSet
from embedonce.cache.plan import PlannedSegment
from embedonce.cache.schema import FrameBatch, Segment
from embedonce.cache.store import open_writer
from tests.conftest import make_cache_identity, planned_video

VIDEOS, HOURS, NARRATIONS = 9_821, 3_670, 3_850_000
MOMENTS_VIDEOS, MOMENTS, ACTIONS_VIDEOS, ACTIONS = 1_900, 22_000, 1_500, 90_000
VERBS, NOUNS = 119, 508
NUM_TIMES, ROWS, DIM = 100_000, 1_000, 512  # cached frames of the relabeling part, of one unit, of an embedding
JPEG_BYTES = 20_000
ALL_KINDS = "moments,fho-verbs,narrations"


def write_annotations(root: Path, seed: int = 0) -> dict:
    """A metadata file and annotations of Ego4D's size; returns their sizes in MB."""
    rng = np.random.default_rng(seed)
    uids = [f"{a:08x}-{b:04x}-4000-8000-{c:012x}" for a, b, c in rng.integers(0, 1 << 16, (VIDEOS, 3)).tolist()]
    durations = rng.gamma(2.0, 1.0, VIDEOS)
    durations *= HOURS * 3600 / durations.sum()
    folder = root / "v2" / "annotations"
    folder.mkdir(parents=True)
    splits = ["val" if share < 0.2 else "train" for share in rng.random(VIDEOS)]
    videos = []
    for i, (uid, duration, split) in enumerate(zip(uids, durations.tolist(), splits, strict=True)):
        tasks = {"split_em": split if i < MOMENTS_VIDEOS else None, "split_fho": split if i < ACTIONS_VIDEOS else None}
        facts = {"is_stereo": False, "scenarios": ["Cooking"], "redacted_intervals": []}
        videos.append({"video_uid": uid, "duration_sec": duration, **facts, **tasks})
    (root / "ego4d.json").write_text(json.dumps({"videos": videos, "clips": []}))
    verbs = [f"verb{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(VERBS)]
    taxonomy = {"verbs": verbs, "nouns": [f"noun_{i}" for i in range(NOUNS)]}
    (folder / "fho_main_taxonomy.json").write_text(json.dumps(taxonomy))
    _write_narrations(folder / "narration.json", uids, durations, verbs, rng)
    _write_moments(folder, uids, durations, splits, rng)
    _write_actions(folder / "fho_main.json", uids, durations, taxonomy, rng)
    return {path.name: round(path.stat().st_size / 1e6) for path in sorted(folder.iterdir())}


def _write_narrations(path: Path, uids, durations, verbs, rng) -> None:
    counts = np.maximum(1, np.round(NARRATIONS * durations / durations.sum()).astype(int))
    with path.open("w") as file:
        file.write("{")
        for i, (uid, duration, count) in enumerate(zip(uids, durations.tolist(), counts.tolist(), strict=True)):
            passes = {}
            for number, part in enumerate((count // 2, count - count // 2), 1):
                times, words = np.sort(rng.random(part)) * duration, rng.integers(0, VERBS, part)
                narrations = [
                    {"timestamp_sec": t, "timestamp_frame": round(t * 30), "annotation_uid": uid,
                     "narration_text": f"#C C {verbs[w]}s the thing on the table with both hands"}
                    for t, w in zip(times.tolist(), words.tolist(), strict=True)
                ]  # fmt: skip
                passes[f"narration_pass_{number}"] = {"narrations": narrations, "summaries": []}
            file.write(("," if i else "") + f'"{uid}": ' + json.dumps(passes | {"status": "complete"}))
        file.write("}")


def _write_moments(folder: Path, uids, durations, splits, rng) -> None:
    for split in ("train", "val"):
        videos = []
        for i in range(MOMENTS_VIDEOS):
            if splits[i] != split:
                continue
            starts = rng.random(MOMENTS // MOMENTS_VIDEOS) * max(durations[i] - 60, 1)
            labels = [
                {"label": f"moment_{rng.integers(110)}", "primary": True, "video_start_time": s,
                 "video_end_time": min(s + 20.0, durations[i]), "start_time": s, "end_time": s + 20.0}
                for s in starts.tolist()
            ]  # fmt: skip
            span = {"clip_uid": uids[i], "video_start_sec": 0.0, "video_end_sec": durations[i]}
            videos.append(
                {"video_uid": uids[i], "split": split, "clips": [span | {"annotations": [{"labels": labels}]}]}
            )
        (folder / f"moments_{split}.json").write_text(json.dumps({"videos": videos}))


def _write_actions(path: Path, uids, durations, taxonomy, rng) -> None:
    frames = ("pre_45", "pre_30", "pre_15", "pre_frame", "contact_frame", "pnr_frame", "post_frame")
    with path.open("w") as file:
        file.write('{"videos": [')
        for i in range(ACTIONS_VIDEOS):
            actions = []
            for start in (rng.random(ACTIONS // ACTIONS_VIDEOS) * max(durations[i] - 8, 0)).tolist():
                noun = taxonomy["nouns"][rng.integers(NOUNS)]
                box = {"object_type": "object_of_change", "structured_noun": noun, "bbox": {"x": 1.5, "y": 2.5}}
                times = {"start_sec": start, "end_sec": min(start + 8, durations[i])}
                flags = {"is_valid_action": True, "is_rejected": False, "stage": "stage_3"}
                verb = {"structured_verb": taxonomy["verbs"][rng.integers(VERBS)], "narration_text": "C does something"}
                actions.append(
                    times | flags | verb | {"frames": [{"frame_type": kind, "boxes": [box] * 3} for kind in frames]}
                )
            interval = {"clip_uid": uids[i], "narrated_actions": actions}
            file.write(("," if i else "") + json.dumps({"video_uid": uids[i], "annotated_intervals": [interval]}))
        file.write("]}")


PLANNING = """
import re, sys, time
from pathlib import Path
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.extraction.plan_ego4d import plan
kinds, count = sys.argv[2], int(sys.argv[3]) or None
start = time.perf_counter()
found = plan(PlanConfig(Path(sys.argv[1]), annotations=kinds, fps=2.0, assume_downloaded=True, num_videos=count))
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
import json
facts = {k: found.document[k] for k in ("frames", "bytes")} | {"hours": found.document["videos"]["hours"]}
spent = {"seconds": round(time.perf_counter() - start, 1), "CPU seconds": round(time.process_time(), 1)}
print(json.dumps(facts | spent | {"peak MB": round(peak / 1024)}))
"""


def planned(root: Path, kinds: str, num_videos: int) -> dict:
    """plan-ego4d in a process of its own, as if so many videos (0: all) were on disk."""
    command = [sys.executable, "-c", PLANNING, root, kinds, str(num_videos)]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def relabeled(root: Path, backend: str, num_classes: int) -> float:
    """Seconds to write logits of so many classes over NUM_TIMES cached frames, from their embeddings."""
    from embedonce.pipeline.labeling.label_sets import write_labels
    from embedonce.pipeline.labeling.requests import LabelSetRequest
    from embedonce.pipeline.sources.source import Source

    writer = open_writer(fresh(root), make_cache_identity(backend, num_views=0, embed_dim=DIM))
    rng, index = np.random.default_rng(0), np.arange(ROWS, dtype=np.int64)
    view = np.array([[0, 0, 256, 256, 0, 3]], np.int32)
    uids = [f"v{i}" for i in range(NUM_TIMES // ROWS)]
    requests = [PlannedSegment(uid, index, index * 512, index, index) for uid in uids]
    writer.extend_plan([planned_video(uid, views=view) for uid in uids], requests, ROWS)
    for unit, uid in zip(writer.units, uids, strict=True):
        segment = Segment(uid, (1, 15360), 0, view, index, index * 512, index, np.zeros(ROWS, np.uint8), index)
        embeddings = rng.standard_normal((ROWS, 1, DIM), np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
        jpegs = tuple(rng.bytes(JPEG_BYTES) for _ in range(ROWS))
        batch = FrameBatch((segment,), jpegs, embeddings.astype(np.float16), np.zeros((ROWS, 1), np.uint32))
        writer.commit_frames(unit.name, batch, {})
    text = rng.standard_normal((num_classes, DIM), np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    import safetensors.numpy

    tensors = safetensors.numpy.save({"class_text": text, "logit_scale": np.array([100.0], np.float32)})
    classes = tuple(f"c{i}" for i in range(num_classes))
    labels = LabelSet("new", "zero-shot", classes, tuple((name,) for name in classes), 100.0, {})
    start = time.perf_counter()
    write_labels(writer, LabelSetRequest(Source(root, "folder", (), (), classes), labels, tensors), 0)
    seconds = time.perf_counter() - start
    writer.close()
    return seconds


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"))
@click.option("--repeats", type=int, default=5, show_default=True)
def main(work_dir: Path, repeats: int):
    root = fresh(work_dir / "ego4d")
    root.mkdir(parents=True)
    sizes = write_annotations(root)
    click.echo(f"annotation files, MB: {sizes}")
    plans = {}
    for kinds, counts in (("moments", (0,)), ("fho-verbs", (0,)), ("narrations", (0,)), (ALL_KINDS, (10, 100, 0))):
        for count in counts:
            plans[f"{kinds} {count or 'all'}"] = found = planned(root, kinds, count)
            click.echo(f"{kinds}, {count or 'all'} videos: {found}")
    labels = {}
    for backend in ("hdf5", "webdataset"):
        for classes in (VERBS, NOUNS):
            seconds = [relabeled(work_dir / "relabel", backend, classes) for _ in range(repeats)]
            labels[f"{backend} {classes} classes"] = round(float(np.median(seconds)), 2)
            click.echo(f"{NUM_TIMES} frames, {backend}, {classes} classes: {np.median(seconds):.2f} s")
    fresh(work_dir / "relabel")
    finish("ego4d", {"MB": sizes, "plans": plans, "relabel, s": labels, **machine("numpy", "h5py", "ijson")})


if __name__ == "__main__":
    main()
