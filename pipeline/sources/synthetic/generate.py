"""Writes a synthetic data set: H.264 videos and annotations, in the layout of an Ego4D download."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import av

from embedonce.cache import strict_json
from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.files.partial_files import PARTIAL, check_documents, partial_path, publish, write_json
from embedonce.pipeline.processes.main_module import without_main
from embedonce.pipeline.processes.worker_signals import leave_to_parent
from embedonce.pipeline.sources.synthetic.annotations import metadata_document, moments_document
from embedonce.pipeline.sources.synthetic.plan import FPS, Parameters, VideoPlan, plan_videos
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH, render

MAX_ACTIONS = len(ACTIONS)
MIN_SAMPLES = 12
_ENCODER = {"crf": "23", "preset": "ultrafast", "g": "50", "bf": "2"}


def make_synthetic(root: Path, num_samples: int, num_actions: int, seed: int, progress=None) -> Path:
    """Write the data set to root, or its missing files, and return root.

    num_samples: labeled clips. num_actions: classes, the first ones of ACTIONS. progress: an object with `update()`,
    which is called for every video. Equal arguments give equal frames. ego4d.json is written last: if it exists, the
    data set is complete. InputError: arguments out of range, or other files in the folder. PipelineError: it cannot be
    written.
    """
    _check(num_samples, num_actions, seed)
    parameters = Parameters(num_samples, num_actions, seed)
    videos = plan_videos(parameters)
    folder = root / "v2" / "full_scale"
    complete = _is_complete(root, parameters)
    annotations = {
        root / "v2" / "annotations" / f"moments_{split}.json": moments_document(videos, split)
        for split in ("train", "val")
    }
    if not complete:
        _check_nothing_else(root, folder, parameters, videos)
        check_documents(annotations)
    missing = [video for video in videos if not _video_path(folder, video).is_file()]
    if progress is not None:
        progress.update(len(videos) - len(missing))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_videos(folder, missing, progress)
        if not complete:
            for path, document in annotations.items():
                write_json(path, document)
            write_json(root / "ego4d.json", metadata_document(parameters, videos))
    except BrokenProcessPool as error:
        raise PipelineError(
            "a worker process that makes synthetic videos was killed (out of memory?); run the same command again to "
            "continue"
        ) from error
    except (OSError, av.FFmpegError) as error:
        raise PipelineError(f"cannot write synthetic videos to {root}: {error.strerror or error}") from error
    return root


def _check(num_samples: int, num_actions: int, seed: int) -> None:
    if num_samples < MIN_SAMPLES:
        raise InputError(f"--num-samples must be at least {MIN_SAMPLES} for synthetic data, got {num_samples}")
    if not 2 <= num_actions <= MAX_ACTIONS:
        raise InputError(f"--num-actions must be from 2 to {MAX_ACTIONS} for synthetic data, got {num_actions}")
    if seed < 0:
        raise InputError(f"--seed must be 0 or more, got {seed}")


def _is_complete(root: Path, parameters: Parameters) -> bool:
    """Whether root contains this data set. InputError if it contains another one."""
    path = root / "ego4d.json"
    if root.is_file():
        raise InputError(f"{root} is a file; name a folder for the synthetic data")
    if not path.exists():
        return False
    try:
        document = strict_json.loads(read_plain(path, LIST_BYTES))
        made_with = document.get("synthetic") if isinstance(document, dict) else None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); give another folder for the synthetic data") from error
    if made_with is None:
        raise InputError(f"{path} does not describe synthetic data; give another folder, or omit --use-synthetic")
    if made_with != asdict(parameters):
        raise InputError(
            f"{root} contains synthetic data made with {_as_text(made_with)}, not {_as_text(asdict(parameters))}; "
            "give another folder, or delete that one"
        )
    return True


def _check_nothing_else(root: Path, folder: Path, parameters: Parameters, videos: tuple[VideoPlan, ...]) -> None:
    """InputError if the folder contains anything but an incomplete copy of this data set."""
    ours = {_video_path(folder, video) for video in videos}
    ours |= {partial_path(path) for path in ours}
    paths = [*root.glob("*"), *folder.glob("*")]
    others = [path for path in paths if path != root / "v2" and path not in ours and PARTIAL not in path.name]
    if others:
        raise InputError(
            f"{root} contains files that do not belong to synthetic data of {_as_text(asdict(parameters))}, such as "
            f"{sorted(others)[0].relative_to(root)}; give another folder, or delete that one"
        )


def _as_text(parameters: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _write_videos(folder: Path, videos: list[VideoPlan], progress) -> None:
    """Render and encode in one process per core; a file gets its final name when it is complete."""
    if not videos:
        return
    context = multiprocessing.get_context("spawn")
    workers = min(len(videos), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=leave_to_parent) as pool:
        try:
            with without_main():
                futures = [pool.submit(write_video, folder, video) for video in videos]
            for future in as_completed(futures):
                future.result()
                if progress is not None:
                    progress.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # otherwise it would render all remaining videos first
            raise


def write_video(folder: Path, video: VideoPlan) -> None:
    """Encode one video into folder/<uid>.mp4."""
    path = _video_path(folder, video)
    scene = video.scene()
    with av.open(str(partial_path(path)), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options=_ENCODER)
        stream.width, stream.height, stream.pix_fmt = FRAME_WIDTH, FRAME_HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1  # videos are encoded in parallel
        for index in range(video.num_frames):
            frame = av.VideoFrame.from_ndarray(render(scene, index / FPS), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    publish(path)


def _video_path(folder: Path, video: VideoPlan) -> Path:
    return folder / f"{video.uid}.mp4"
