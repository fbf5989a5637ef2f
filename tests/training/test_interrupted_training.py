"""Training ended by a signal saves its state, within an epoch too, and resumes to the very same weights."""

import signal

import pytest

from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.file_names import TRAINING_STATE
from embedonce.pipeline.checkpoints.tensor_files import read_tensors
from embedonce.pipeline.processes import interrupts
from embedonce.pipeline.training import epoch_loop, run_files, training_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.student_run import StudentRun
from tests.support.small_student import build_small_student
from tests.support.tiny_cache import make_tiny_cache
from tests.training.test_exact_resume import FULL, differing, settings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 8, num_views=2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(training_run, "build_student", build_small_student)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The folder of a run that nobody stopped: two epochs of six batches, two batches to a step."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "build_student", build_small_student)
        training.train(settings(tiny, folder, **FULL, accumulate_steps=2))
    return folder


def signalled(place, name: str, call: int, number: int, patch) -> None:
    """Have the call of this number raise a signal before it does its work."""
    real, calls = getattr(place, name), []

    def function(*arguments, **named):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(number)
        return real(*arguments, **named)

    patch.setattr(place, name, function)


PLACES = {
    "the first batch of a step": (StudentRun, "step", 3, (0, 4)),
    "the last batch of a step": (StudentRun, "step", 4, (0, 4)),
    "the last batch of an epoch": (StudentRun, "step", 6, (0, 6)),
    "the validation of an epoch": (epoch_loop, "predict", 1, (0, 6)),
    "the saving of the best student": (checkpoint, "save", 1, (1, 0)),
    "the logs": (run_files, "write_logs", 1, (1, 0)),
    "the second epoch": (StudentRun, "step", 7, (1, 2)),
}
QUICK = ("the last batch of an epoch", "the validation of an epoch", "the second epoch")


@pytest.mark.parametrize(
    ("place", "number"),
    [
        *(pytest.param(p, signal.SIGTERM, marks=() if p in QUICK else pytest.mark.slow) for p in PLACES),
        ("the last batch of a step", signal.SIGINT),
    ],
)
@pytest.mark.integration
def test_an_interrupted_training_saves_its_state_and_resumes_exactly(tiny, whole, tmp_path, place, number):
    where, name, call, saved = PLACES[place]
    config = settings(tiny, tmp_path, **FULL, accumulate_steps=2)
    with pytest.MonkeyPatch.context() as patch, interrupts.handled():
        signalled(where, name, call, number, patch)
        with pytest.raises(KeyboardInterrupt):
            training.train(config)
        assert interrupts.exit_code() == 128 + number
    state = read_tensors(tmp_path / TRAINING_STATE)
    assert (state["epoch"], state["position"]) == saved
    training.train(config)
    assert differing(tmp_path, whole) == []
