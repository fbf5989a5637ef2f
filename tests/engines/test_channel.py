"""Messages arrive as they were sent, whichever way their arrays take."""

import multiprocessing
import threading

import numpy as np
import pytest

from embedonce.pipeline.engines.channel import MIN_SHARED_BYTES, Channel
from embedonce.pipeline.engines.shared_ring import RingReader, RingWriter
from embedonce.pipeline.processes.shared_memory import SharedMemory

LARGE = np.arange(MIN_SHARED_BYTES, dtype=np.int32)
READ_ONLY = np.ones(MIN_SHARED_BYTES, np.uint8)
READ_ONLY.flags.writeable = False
MESSAGES = {
    "text": "hello",
    "bytes": bytes(10**6),
    "empty": np.zeros((0, 3), np.float16),
    "small": [np.arange(5), np.eye(3)],
    "large": {"a": LARGE, "b": [LARGE[:1000].reshape(10, 100), "text", LARGE * 2]},
    "fortran": np.asfortranarray(LARGE.reshape(64, -1)),
    "strided": LARGE.reshape(64, -1)[:, ::2],
    "read-only": READ_ONLY,
    "half of another": LARGE[len(LARGE) // 2 :],
    "larger than the memory": np.arange(10**6, dtype=np.float64),
}


@pytest.fixture(params=[True, False], ids=["memory", "pipe"])
def ends(request):
    """(the sending end, the receiving end)."""
    ours, theirs = multiprocessing.Pipe()
    if not request.param:
        yield Channel(ours), Channel(theirs)
        return
    told, tells = multiprocessing.Pipe(duplex=False)
    memory = SharedMemory(1 << 22)
    yield Channel(ours, RingWriter(memory, told)), Channel(theirs, reader=RingReader(memory, tells))
    memory.close()


def sent(sender: Channel, message) -> threading.Thread:
    """The message is on its way: a pipe holds only the beginning of a large one."""
    thread = threading.Thread(target=sender.send, args=(message,), daemon=True)
    thread.start()
    return thread


def assert_same(found, message) -> None:
    assert type(found) is type(message)
    if isinstance(message, dict):
        assert_same(list(found.items()), list(message.items()))
    elif isinstance(message, list | tuple):
        assert len(found) == len(message)
        for one, other in zip(found, message, strict=True):
            assert_same(one, other)
    elif isinstance(message, np.ndarray):
        assert found.dtype == message.dtype
        np.testing.assert_array_equal(found, message)
    else:
        assert found == message


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_arrives_as_it_was_sent(ends, name):
    sender, receiver = ends
    for _ in range(3):
        thread = sent(sender, MESSAGES[name])
        assert_same(receiver.receive(), MESSAGES[name])
        thread.join(60)
        thread = sent(sender, MESSAGES[name])
        with receiver.receive_in_place() as found:
            assert_same(found, MESSAGES[name])
        thread.join(60)


def test_received_arrays_belong_to_the_receiver(ends):
    sender, receiver = ends
    thread = sent(sender, LARGE)
    found = receiver.receive()
    thread.join(60)
    found[0] = -1
    for _ in range(10):  # whatever lies where it lay
        thread = sent(sender, LARGE * 3)
        receiver.receive()
        thread.join(60)
    assert found[0] == -1 and found[-1] == LARGE[-1]


def test_large_arrays_do_not_pass_through_the_pipe_if_there_is_memory():
    ours, theirs = multiprocessing.Pipe()
    told, _tells = multiprocessing.Pipe(duplex=False)
    memory = SharedMemory(1 << 22)
    Channel(ours, RingWriter(memory, told)).send([LARGE, LARGE * 2])
    assert len(theirs.recv_bytes()) == 2 * 16 and len(theirs.recv_bytes()) < 1000
    memory.close()


def test_the_other_end_is_gone(ends):
    sender, receiver = ends
    sender.pipe.close()
    with pytest.raises(EOFError):
        receiver.receive()
