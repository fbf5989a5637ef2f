"""A writer that has lost its lock, as one that was suspended until its lease expired, changes nothing that counts."""

from contextlib import closing

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache.errors import BusyError
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.store import open_writer
from tests.conftest import make_batch, make_cache_identity, make_segment
from tests.support.memory_store import MemoryLock, MemoryStore
from tests.support.shared_units import LABELS, SECRET, TENSORS, make_shared_cache


def lost(lock) -> None:
    raise BusyError("another process has taken the lock")


def test_neither_frames_nor_logits_are_committed(monkeypatch):
    store, batch = MemoryStore(), make_batch(make_segment("v", 3))
    with closing(open_writer(store, make_cache_identity())) as writer:
        writer.create_label_set(LABELS, safetensors.numpy.save(TENSORS))
        writer.commit_frames("000000", batch, {})
        store.files["frames/000001.h5"] = b"of a run that stopped before its record"
        monkeypatch.setattr(MemoryLock, "check", lost)
        with pytest.raises(BusyError):
            writer.commit_frames("000001", make_batch(make_segment("w", 3)), {})
        logits = np.zeros((*batch.embeddings.shape[:2], len(LABELS.classes)), np.float32)
        with pytest.raises(BusyError):
            writer.commit_logits(LABELS.name, "000000", batch.keys, logits, {})
    assert store.files["frames/000001.h5"] == b"of a run that stopped before its record"
    assert [name for name in store.files if "records/" in name] == ["records/000000.json"]


@pytest.mark.parametrize("is_withdrawal", [True, False])
def test_a_removal_looks_at_its_lock_right_before_each_step_that_counts(monkeypatch, is_withdrawal):
    store, events = MemoryStore(), []
    make_shared_cache(store, "hdf5")
    noted = {"replace": MemoryStore.replace, "delete": MemoryStore.delete}
    for kind, real in noted.items():
        monkeypatch.setattr(MemoryStore, kind, noting(events, kind, real))
    monkeypatch.setattr(MemoryLock, "check", lambda lock: events.append("check"))
    remove(store, videos_removal([SECRET], is_withdrawal=is_withdrawal))
    steps = [i for i, event in enumerate(events) if event != "check" and counts(*event)]
    assert {events[i][0] for i in steps} == {"replace", "delete"} and len(steps) > 8
    assert [events[i] for i in steps if events[i - 1] != "check"] == []


def noting(events: list, kind: str, real):
    def method(store, name, *arguments):
        events.append((kind, name))
        return real(store, name, *arguments)

    return method


def counts(kind: str, name: str) -> bool:
    """Whether it changes what a reader sees: a plan part, clips or a revision, or which units exist."""
    if kind == "delete":
        return name.startswith("records/")
    return name.startswith("plan/") or "/clips/" in name or "/revisions/" in name
