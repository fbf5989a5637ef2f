"""What train-student writes, and what of a folder it may write over: files of the run that its state file belongs to.

Knows names and bytes; which run a state belongs to is pipeline.checkpoint's to say.
"""

from functools import partial
from pathlib import Path

from embedonce.pipeline.files.output_folder import check_replaceable
from embedonce.pipeline.files.recognition import is_list_of_objects, is_settings, is_table
from embedonce.pipeline.training.settings import TrainConfig

BEST = "best_student.pt"
SETTINGS = "train_config.yaml"
_COLUMN = "epoch"  # the first of both logs


def student_folders(config: TrainConfig) -> dict[str, Path]:
    """Where the files of each student lie, by its size."""
    sizes = config.student_sizes
    return {size: config.output_dir / size if len(sizes) > 1 else config.output_dir for size in sizes}


def check_folders(config: TrainConfig, continues: bool) -> None:
    """InputError where training would write over what its run did not make.

    continues: the folder holds the state of this very run, so checkpoints and logs in it are its own. Without that
    nobody knows whose they are.
    """
    files = {config.output_dir / SETTINGS: partial(is_settings, kind=TrainConfig)}
    for folder in student_folders(config).values():
        files |= {folder / name: is_ours if continues else _of_unknown_run for name, is_ours in _OF_A_STUDENT.items()}
    check_replaceable(files, config.overwrite, "this run of train-student", "--output-dir")


def _of_unknown_run(data: bytes) -> bool:
    return False


_OF_A_STUDENT = {
    BEST: lambda data: True,  # it was opened when the state was read
    "train_log.csv": partial(is_table, columns=(_COLUMN,)),
    "train_log.json": partial(is_list_of_objects, keys=(_COLUMN,)),
}
