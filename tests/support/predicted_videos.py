"""Videos, their cache, and a small student of it, untrained but sure of itself: a checkpoint and its predictions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import predict
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.frames.preprocessing import preprocessing_of
from tests.extraction.test_runner import make_source, run
from tests.support.fake_teacher import DIM, FakeTeacher, write_zero_shot
from tests.support.videos import write_video

RESOLUTION, FRAMES, FPS, WINDOW = 128, 3, 5.0, 1.0
CLIPS = [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]  # of every video: windows of WINDOW side by side
VIDEOS = {
    "wide": {"num_frames": 90, "size": (240, 426)},
    "portrait": {"num_frames": 30, "rate": 10, "size": (240, 320), "rotation": -90},
    "slow": {"num_frames": 6, "rate": 2, "size": (240, 320)},  # each frame answers several times
}


@dataclass(frozen=True)
class PredictedVideos:
    """folder: of the videos, `NAME.mp4`, and of best_student.pt. cache: of them."""

    folder: Path
    reader: CacheReader
    student: torch.nn.Module

    @property
    def checkpoint(self) -> Path:
        return self.folder / "best_student.pt"

    def video(self, name: str) -> Path:
        return self.folder / f"{name}.mp4"

    def expected(self) -> dict[tuple[str, float], np.ndarray]:
        """(video, start of a clip) -> probabilities (C,) that evaluation computes from cached frames."""
        labels = self.reader.label_set()
        clips = ClipDataset(self.reader, labels, list(labels.clips), ClipSampling(FRAMES, RESOLUTION, False, 0))
        logits = predict(self.student, clips, 4, 0, torch.device("cpu")).logits.astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return {(clip.video_uid, clip.start_sec): row for clip, row in zip(clips.clips, shares, strict=True)}


def make_predicted_videos(folder: Path) -> PredictedVideos:
    for name, settings in VIDEOS.items():
        settings = dict(settings)
        write_video(folder / f"{name}.mp4", settings.pop("num_frames"), **settings)
    source, teacher = make_source(folder, list(VIDEOS), CLIPS), FakeTeacher()
    _, reader, _ = run(source, folder / "cache", teacher, fps=FPS)
    writer = open_writer(folder / "cache", reader.identity)
    write_zero_shot(writer, source, teacher)
    writer.close()
    reader = open_reader(folder / "cache")
    torch.manual_seed(1)
    student = build_student(student_config("tiny", DIM, 2, RESOLUTION, "mlp"), pretrained=False).eval()
    student.head[-1].weight.data *= 30
    labels, made = reader.label_set(), preprocessing_of(reader.identity, RESOLUTION, WINDOW)
    meta = checkpoint.new_checkpoint(student, labels, reader.identity.teacher, FRAMES, preprocessing=made)
    checkpoint.save(folder / "best_student.pt", meta)
    return PredictedVideos(folder, reader, student)
