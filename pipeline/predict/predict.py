"""predict: classes of the windows of videos, streams and cameras, as JSON lines and as an annotated video."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from embedonce.cache import commit
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME
from embedonce.pipeline.predict.annotated_video import AnnotatedVideo, annotate_file
from embedonce.pipeline.predict.opened_source import CameraOpener
from embedonce.pipeline.predict.prediction import Prediction
from embedonce.pipeline.predict.settings import PredictConfig
from embedonce.pipeline.predict.source_names import FILE, SourceName, source_names
from embedonce.pipeline.predict.student import PredictOptions, Student
from embedonce.pipeline.processes import interrupts
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.h264_writer import check_encoder
from embedonce.pipeline.video.live import open_camera

log = logging.getLogger(__name__)

EXIT_SOME_FAILED = 3  # exit code of a run that completed without some sources


@dataclass
class Summary:
    """What was predicted for one source, for the line at its end."""

    windows: int = 0
    uncertain: int = 0
    lacking: int = 0
    latencies: list[float] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        self.windows += 1
        self.lacking += prediction.probability is None
        self.uncertain += prediction.probability is not None and prediction.label is None
        if prediction.latency_ms is not None:
            self.latencies.append(prediction.latency_ms)

    def line(self, name: str, num_dropped: int | None) -> str:
        """num_dropped: frames of a live source; None for files."""
        parts = [_counted(self.windows, "window")]
        parts += [f"{self.uncertain} below their thresholds"] if self.uncertain else []
        parts += [f"{self.lacking} with too few frames"] if self.lacking else []
        if num_dropped is not None:
            parts.append(f"{_counted(num_dropped, 'frame')} dropped")
        if self.latencies:
            median, high = np.percentile(self.latencies, (50, 95))
            parts.append(f"latency {median:.0f} ms (median), {high:.0f} ms (95 %)")
        return f"{name}: {', '.join(parts)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def predict(config: PredictConfig, write: Callable[[str], Any], camera: CameraOpener = open_camera) -> int:
    """Predict all sources; the exit code. write: takes each JSON line if there is no --output.

    camera: opens cameras. InputError and CheckpointError before any output, for what cannot be used; LiveError if a
    live source breaks off. Files that cannot be decoded are reported, and others are predicted.
    """
    names = source_names(config.sources)
    _check_outputs(config, names)
    student = Student.load(config.student, config.calibration, config.cache_dir, config.device)
    student.check_classes()
    failures: list[str] = []
    with _lines(config, write) as put:
        for name in names:
            try:
                _predict_one(config, student, name, camera, put)
            except VideoError as error:
                failures.append(f"{name.shown}: {error}")
                if len(names) > 1:
                    log.warning("%s: it is left out: %s", name.shown, error)
    if len(failures) == len(names):
        raise InputError(failures[0] if len(names) == 1 else f"no video can be decoded, such as {failures[0]}")
    if failures:
        log.warning("%d of %d videos could not be decoded", len(failures), len(names))
    return EXIT_SOME_FAILED if failures else 0


def _predict_one(
    config: PredictConfig, student: Student, name: SourceName, camera: CameraOpener, put: Callable[[str], Any]
) -> None:
    options = PredictOptions(**{field: getattr(config, field) for field in PredictOptions.__dataclass_fields__})
    source, summary, found = student.open(name, options, camera), Summary(), list[Prediction]()
    live = source.live
    with _annotated(config.annotated) as video:
        if video is not None and live is not None:
            live.on_frame = lambda time, frame, orientation: video.add(time, frame, orientation, _latest(found))
        try:
            for prediction in student.run(source, name.shown, options):
                put(json.dumps(prediction.as_dict()))
                summary.add(prediction)
                found[:] = [prediction] if live is not None else [*found, prediction]
        finally:
            if summary.windows:
                log.info("%s", summary.line(name.shown, None if live is None else live.num_dropped))
        if video is not None and source.location is not None:
            annotate_file(video, source.location, found, config.max_seconds)


def _latest(predictions: list[Prediction]) -> Prediction | None:
    return predictions[-1] if predictions else None


@contextmanager
def _annotated(path: Path | None) -> Iterator[AnnotatedVideo | None]:
    """The annotated video of a run, which is completed however the run ends."""
    if path is None:
        yield None
        return
    video = AnnotatedVideo(path)
    try:
        yield video
    finally:
        with interrupts.deferred():
            try:
                video.publish()
            except BaseException:
                video.discard()
                raise


@contextmanager
def _lines(config: PredictConfig, write: Callable[[str], Any]) -> Iterator[Callable[[str], Any]]:
    """What takes each line: the file of --output, made with the first line, or write.

    Each line is written at once; one that does not fit on the disk leaves no part of it behind.
    """
    path, opened = config.output, list[FileIO]()
    if path is None:
        yield write
        return

    def put(line: str) -> None:
        if not opened:
            opened.append(FileIO(path, "w"))
        _append(opened[0], f"{line}\n".encode(), path)

    try:
        yield put
    finally:
        for file in opened:
            file.close()


def _append(file: FileIO, data: bytes, path: Path) -> None:
    """OSError, with the path, if not all of the data could be written; then the file is as it was before."""
    before, done = file.tell() if file.seekable() else 0, 0
    try:
        while done < len(data):
            done += file.write(data[done:]) or 0
    except OSError as error:
        with suppress(OSError):  # of a pipe
            file.truncate(before)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _used_file(config: PredictConfig, path: Path) -> str | None:
    """What of the student an output would replace; None if nothing."""
    beside = (config.student if config.student.is_dir() else config.student.parent) / CALIBRATION_NAME
    if config.student.is_dir() and path.resolve().parent == config.student.resolve():
        return "in the folder of the student"
    if path.resolve() == config.student.resolve():
        return "the student"
    return "its calibration" if path.resolve() == (config.calibration or beside).resolve() else None


def _check_outputs(config: PredictConfig, names: list[SourceName]) -> None:
    """InputError if an output exists, is one of the sources, or cannot be written."""
    if config.annotated is not None:
        check_encoder()
        if len(names) > 1:
            raise InputError(f"--annotated makes one video, and there are {len(names)} sources; name one")
    outputs = {"--output": config.output, "--annotated": config.annotated}
    for option, path in ((option, path) for option, path in outputs.items() if path is not None):
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder; name a file")
        if any(path.exists() and os.path.samefile(path, name.place) for name in names if name.kind == FILE):
            raise InputError(f"{option} {path} is one of the sources; name another file")
        if used := _used_file(config, path):
            raise InputError(f"{option} {path} is {used}, which this run reads; name another file")
        if path.exists() and not config.overwrite:
            raise InputError(f"{option} {path} exists; name another file, or give --overwrite to replace it")
        commit.make_folder(path.parent)
        commit.check_writable(path.parent)
