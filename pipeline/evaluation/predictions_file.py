"""Write predictions.npz: which clips were evaluated, and the outputs of student and teacher for each."""

import io

import numpy as np

from embedonce.cache.labels import ClipLabel
from embedonce.pipeline.clips.inference import Predictions


def predictions_file(predictions: Predictions, clips: list[ClipLabel], classes: tuple[str, ...]) -> bytes:
    """The content of predictions.npz, without pickled objects. predictions: for these clips, in this order."""
    buffer = io.BytesIO()
    arrays = {
        "video_uid": np.array([clip.video_uid for clip in clips], str),
        "start_sec": np.array([clip.start_sec for clip in clips], np.float64),
        "end_sec": np.array([clip.end_sec for clip in clips], np.float64),
        "labels": predictions.labels.astype(np.int64),
        "logits": predictions.logits.astype(np.float32),
        "teacher_logits": predictions.teacher_logits.astype(np.float32),
        "embeddings": predictions.embeddings.astype(np.float16),
        "teacher_embeddings": predictions.teacher_embeddings.astype(np.float16),
        "classes": np.array(classes, str),
    }
    if predictions.multi_hot is not None:
        arrays["multi_hot"] = predictions.multi_hot
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # all keywords but one are arrays
    return buffer.getvalue()
