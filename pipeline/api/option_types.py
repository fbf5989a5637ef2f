"""The keyword arguments of the functions of the library, for editors and type checkers.

Generated from the settings of the commands: python -m embedonce.pipeline.api.write_option_types
"""

from pathlib import Path
from typing import TypedDict


class ExtractOptions(TypedDict, total=False):
    data_dir: Path | str | None
    use_synthetic: bool
    cache_dir: Path | str
    num_samples: int
    layout: str | None
    fps: float
    sampling: str
    snap_tolerance: float | None
    decoder: str
    video_timeout: float
    teacher_head: str | None
    prompt_style: str | None
    embed_texts: bool
    backend: str
    views: int
    view_area: float
    shard_frames: int
    canonical_short_side: int | None
    jpeg_quality: int
    engine: str
    part: str | None
    ray_address: str | None
    ray_workers: int | None
    decode_workers: int | None
    teacher_size: str
    teacher_model: str | Path | None
    teacher_module: Path | str | None
    teacher_onnx: Path | str | None
    teacher_torchscript: Path | str | None
    teacher_input_size: int | None
    teacher_weights: str | Path | None
    teacher_activation: str | None
    teacher_preprocess: str | None
    teacher_runtime: str
    batch_size: int | str
    device: str
    teacher_processes: int | None
    seed: int
    annotations: str | None
    fho_window: str
    max_narration_window: float
    clip_splits: bool
    strict: bool
    skip_invalid: bool
    num_actions: int | None
    frames_rate: float | None
    frames_prefix: str | None
    frames_layout: str | None
    manifest: Path | str | None
    skip_missing: bool
    classes: Path | str | None
    class_names: Path | str | None
    prompts: Path | str | None
    label_set: str | None
    store_logits: bool | None
    epic_labels: str | None
    charades_labels: str | None
    egoexo_labels: str | None
    hd_epic_labels: str | None
    ucf_split: int
    egtea_labels: str | None
    egtea_split: int
    assembly101_labels: str | None


class TrainOptions(TypedDict, total=False):
    cache_dir: Path | str
    output_dir: Path | str
    label_set: str | None
    views: int | None
    evaluation_view_share: float | None
    evaluation_view_warmup: float
    student_size: str | None
    student_resolution: int | None
    student_pretrained: bool | None
    projection: str | None
    pooling: str
    frames_per_clip: int | None
    epochs: int
    batch_size: int
    accumulate_steps: int
    optimizer: str | None
    lr: float | None
    weight_decay: float | None
    jitter: float
    time_shift: float
    ema: float
    patience: int
    alpha: float
    beta: float
    gamma: float
    text_weight: float
    teachers: str | None
    temperature: float
    class_weights: str
    selection: bool
    sampler: str
    report_to: str
    tensorboard: bool
    overwrite: bool
    local_cache_dir: Path | str | None
    local_cache_gb: float
    checkpoint_steps: int
    amp: bool
    compile: bool
    num_workers: int
    preload: str
    device: str
    seed: int


class EvaluateOptions(TypedDict, total=False):
    cache_dir: Path | str
    student_checkpoint: Path | str
    output_dir: Path | str
    label_set: str | None
    split: str
    num_samples: int | None
    teacher_latency: bool
    teacher_model: str | Path | None
    runtime: str
    batch_size: int
    num_workers: int
    device: str
    seed: int
    overwrite: bool
    local_cache_dir: Path | str | None
    local_cache_gb: float


class ExportOptions(TypedDict, total=False):
    cache_dir: Path | str
    student_checkpoint: Path | str
    output_dir: Path | str
    label_set: str | None
    formats: str
    split: str
    num_samples: int
    calibration_frames: int
    web_runtime: Path | str | None
    seed: int
    overwrite: bool
    local_cache_dir: Path | str | None
    local_cache_gb: float


class SearchOptions(TypedDict, total=False):
    text: str | None
    image: Path | str | None
    video: str | None
    time: float | None
    class_name: str | None
    top: int
    min_gap: float
    split: str | None
    label_set: str | None
    index: str
    index_dir: Path | str | None
    student: Path | str | None
    teacher_model: str | Path | None
    teacher_module: Path | str | None
    teacher_onnx: Path | str | None
    teacher_torchscript: Path | str | None
    teacher_weights: str | Path | None
    teacher_activation: str | None
    teacher_preprocess: str | None
    device: str
    seed: int
