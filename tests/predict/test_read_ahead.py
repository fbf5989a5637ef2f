"""Reading ahead: values in order, errors passed on, few values waiting, and an end when nobody takes them."""

import threading

import pytest

from embedonce.pipeline.predict.read_ahead import read_ahead


def test_values_come_in_order_and_then_the_error_of_the_iterator():
    def failing():
        yield from range(50)
        raise ValueError("broken")

    found = []
    with pytest.raises(ValueError, match="broken"):
        for value in read_ahead(failing(), 3):
            found.append(value)
    assert found == list(range(50))


def test_few_values_wait_and_the_thread_ends_with_its_consumer():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    values = read_ahead(endless(), 4)
    assert next(values) == 0
    values.close()
    assert len(made) <= 7  # taken, waiting, and one that finds no place
    assert not any(thread.name == "read ahead" for thread in threading.enumerate())
