"""An error from another process brings its traceback along, and its text stays what it is."""

import pickle
import traceback

from embedonce.cache.errors import DamagedError
from embedonce.pipeline.processes.worker_errors import with_traceback_note


def test_a_pickled_error_keeps_its_traceback_as_a_note():
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise DamagedError("the shard is torn") from first
    except DamagedError as error:
        sent = pickle.dumps(with_traceback_note(error))
    received = pickle.loads(sent)
    assert str(received) == "the shard is torn" and isinstance(received, DamagedError)
    text = "".join(traceback.format_exception(received))
    assert "in another process: Traceback" in text and "KeyError: 'first'" in text
