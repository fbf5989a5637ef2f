"""What an evaluation was made from, so that a later run can tell whether it is still the one of these inputs."""

from pathlib import Path

from embedonce.cache.files import digest
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.student_teachers import embedded_teachers
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.fingerprint import fingerprint
from embedonce.pipeline.clips.open_cache import open_cache
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.evaluation.held_out import held_out
from embedonce.pipeline.evaluation.output_files import ALWAYS_WRITTEN, EVALUATE_SETTINGS
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.files.recognition import changed_options
from embedonce.pipeline.metrics.results_file import read_results

CHECKPOINT, CLIPS = "checkpoint_sha256", "clips_sha256"
MAY_DIFFER = (  # where files are, and how fast they are read
    *("output_dir", "cache_dir", "student_checkpoint", "num_workers", "overwrite"),
    *("local_cache_dir", "local_cache_gb"),
)


def evaluated_inputs(config: EvaluateConfig, clips: ClipDataset) -> dict[str, str]:
    """Name -> SHA-256 of the checkpoint and of the clips."""
    return {CHECKPOINT: digest(Path(config.student_checkpoint).resolve())[1], CLIPS: fingerprint(clips)}


def why_evaluate(config: EvaluateConfig) -> str | None:
    """Why these settings must be evaluated; None if the output folder holds just this evaluation."""
    if not all((config.output_dir / name).exists() for name in ALWAYS_WRITTEN):
        return "there is no evaluation yet"
    if changed := changed_options((config.output_dir / EVALUATE_SETTINGS).read_bytes(), config, MAY_DIFFER):
        return f"{', '.join(changed)} changed"
    try:
        made_from = read_results(config.output_dir).environment
    except PipelineError:
        return "the last evaluation cannot be read"
    reader = open_cache(config)
    _, meta = checkpoint.load_student(config.student_checkpoint)
    clips = held_out(config, meta, reader, reader.label_set(config.label_set), tuple(embedded_teachers(meta, reader)))
    inputs = evaluated_inputs(config, clips)
    if made_from.get(CHECKPOINT) != inputs[CHECKPOINT]:
        return "the last evaluation is of another student"
    return None if made_from.get(CLIPS) == inputs[CLIPS] else "the clips or their labels have changed"
