"""Calls in a thread beside the program."""

import threading
import time

import pytest

from embedonce.pipeline.processes.background import BackgroundCall


def test_waiting_ends_when_the_function_has_returned():
    done = []
    call = BackgroundCall(lambda: (time.sleep(0.05), done.append(threading.current_thread().name)), "mine")
    call.wait()
    assert done == ["mine"]


def test_an_error_is_raised_to_whoever_waits():
    def fail():
        raise OSError("no library")

    call = BackgroundCall(fail, "mine")
    for _ in range(2):
        with pytest.raises(OSError, match="no library"):
            call.wait()


def test_a_program_does_not_wait_for_it():
    never = threading.Event()
    BackgroundCall(never.wait, "mine")
    assert next(thread for thread in threading.enumerate() if thread.name == "mine").daemon
    never.set()
