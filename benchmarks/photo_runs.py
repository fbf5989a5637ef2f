"""Trainings of benchmarks/photos.py: each is done once, continued if it was interrupted, judged, and written down."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import feature_distances
from benchmarks.photo_conditions import BASE, Overrides
from benchmarks.photo_figures import Figures, photo_figures
from embedonce.cache import commit
from embedonce.cache.identity_document import identity_document
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.pipeline.checkpoints.checkpoint import load_student
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.fingerprint import fingerprint
from embedonce.pipeline.clips.inference import predict
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.trainer import train

DECIMALS = 5
PLACES = ("cache_dir", "output_dir", "local_cache_dir")


@dataclass(frozen=True)
class Photos:
    """The clips of one split of a cache, without those that have no frame."""

    reader: CacheReader
    split: str

    @classmethod
    def of(cls, cache: Path, split: str) -> "Photos":
        return cls(open_reader(cache), split)

    def dataset(self, resolution: int) -> ClipDataset:
        """Their evaluation crops; without frames if the resolution is 0."""
        labels = self.reader.label_set()
        clips = [clip for clip in labels.clips if clip.split == self.split]
        return ClipDataset(self.reader, labels, clips, ClipSampling(1, resolution, random=False, seed=0))

    def embeddings(self) -> np.ndarray:
        """(N, D) float32 unit vectors of the teacher."""
        vectors = np.stack([item["embeddings"][0].numpy() for item in self.dataset(0)])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    @property
    def videos(self) -> list[str]:
        """The uid of each photo's video."""
        return [clip.video_uid for clip in self.dataset(0).clips]

    def identify(self) -> dict[str, Any]:
        """What must be equal for figures of these photos to be compared."""
        return {"cache": identity_document(self.reader.identity), "clips": fingerprint(self.dataset(0))}


class Runs:
    """All trainings from one cache. judged: name -> photos that students are judged on.

    Figures of finished trainings are in results.jsonl of the work folder, one line each, and are read from there if
    settings, cache and judged photos are the same.
    """

    def __init__(self, cache: Path, work_dir: Path, judged: dict[str, Photos]):
        self._cache, self._work_dir, self._judged = cache, work_dir, judged
        self._path = work_dir / "results.jsonl"
        trained = Photos.of(cache, "train")
        self._center = trained.embeddings().mean(0)
        photos = {"training": trained.identify()} | {name: part.identify() for name, part in judged.items()}
        self._photos = hashlib.sha256(json.dumps(photos, sort_keys=True).encode()).hexdigest()
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._done = [json.loads(line) for line in lines]

    def figures(self, name: str, overrides: Overrides, seed: int) -> tuple[dict[str, Figures], float]:
        """(figures by name of the judged photos, seconds of training) of one student, which is trained if need be."""
        config = training_config(self._cache, self._work_dir, name, overrides, seed)
        entry = self._find(config) or self._train(config, name)
        found = {part: {key: np.array(v) for key, v in values.items()} for part, values in entry["figures"].items()}
        return found, entry["seconds"]

    def _find(self, config: TrainConfig) -> dict | None:
        """The line of a finished training with these settings."""
        wanted = _settings(config)
        usual = {option.name: option.default for option in TrainConfig.options()}
        for entry in self._done:
            known = entry["settings"]
            added = wanted.keys() - known.keys()  # options that are newer than the line
            is_same = all(wanted.get(key) == value for key, value in known.items())
            if is_same and entry["photos"] == self._photos and all(wanted[key] == usual[key] for key in added):
                return entry
        return None

    def _train(self, config: TrainConfig, name: str) -> dict:
        (path,) = train(config).best_paths
        student, meta = load_student(path)
        figures = {}
        for part, photos in self._judged.items():
            found = predict(student, photos.dataset(meta.student.resolution), 32, 0, torch.device("cpu"))
            values = photo_figures(found.embeddings, found.teacher_embeddings, self._center)
            figures[part] = {key: of.astype(float).round(DECIMALS).tolist() for key, of in values.items()}
        log = json.loads(path.with_name("train_log.json").read_text())
        seconds = sum(epoch["seconds"] for epoch in log)
        entry = {"condition": name, "settings": _settings(config), "photos": self._photos, "seconds": seconds}
        entry |= {"figures": figures}
        self._done.append(entry)
        commit.replace(self._path, "".join(f"{json.dumps(line)}\n" for line in self._done).encode())
        return entry


def training_config(cache: Path, work_dir: Path, name: str, overrides: Overrides, seed: int) -> TrainConfig:
    """The settings of one training, with an output folder of its own. ValueError if they are not those of a student."""
    values = BASE | overrides | {"seed": seed, "cache_dir": cache}
    number = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]
    readable = "".join(char if char.isalnum() or char in ".-" else "-" for char in name)[:60]
    config = TrainConfig.from_options(values | {"output_dir": work_dir / f"{readable}-{seed}-{number}"})
    if len(config.student_sizes) != 1:
        raise ValueError(f"condition {name!r} must train one student, not {len(config.student_sizes)}")
    return config


def _settings(config: TrainConfig) -> dict[str, Any]:
    """All options of a training besides places, and weights of terms that only some runs of the benchmark have."""
    settings = config.as_dict()
    unused = {name for name in feature_distances.WEIGHTS if not settings.get(name)}
    return {name: value for name, value in settings.items() if name not in {*PLACES, *unused}}
