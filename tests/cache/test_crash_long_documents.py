"""Power cuts while long documents are written: a document is there with all its continuations, or as it was before."""

import os
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from embedonce.cache import long_documents
from embedonce.cache.labels import LabelSet
from embedonce.cache.layout import CONTINUED, Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.verify import verify
from tests.cache.test_long_documents import CLASSES, CLIPS, SMALL, continued
from tests.conftest import make_cache_identity
from tests.support.crash_states import Explorer
from tests.support.planned_cache import UNITS, commit_units, plan_videos
from tests.support.recorded_operations import Recorder

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def write_and_rewrite(root: Path, backend: str, mark) -> None:
    """Clips, a revision and manifests that are continued, and a manifest that changes twice."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        plan_videos(writer, {"a": 10, "b": 3})
        writer.create_label_set(LabelSet("long", "none", CLASSES, (), None, {}), None)
        mark("classes", CLASSES)
        writer.publish_clips("long", 0, CLIPS)
        mark("clips", tuple(CLIPS))
        for units in (("000000", "000001"), ("000002", "000003"), ()):
            commit_units(writer, units)
            writer.write_manifest()
            mark("manifest", True)


def examine(backend: str, folder: Path) -> tuple[dict, list[str]]:
    """What is in the cache of a state: classes, clips, whether a manifest can be read; and what is wrong with it."""
    root = folder / "cache"
    if not (root / "cache.json").exists():
        return {}, []
    try:
        reader, found = open_reader(root), {}
        if reader.label_sets():
            labels = reader.label_set("long")
            found = {"classes": labels.classes} | ({"clips": labels.clips} if labels.clips else {})
        complaints = [] if found.get("clips", tuple(CLIPS)) == tuple(CLIPS) else ["other clips"]
        found["manifest"] = read_manifest(Layout.at(root)) is not None
        write_and_rewrite_again(root, backend)
        problems = [problem.message for problem in verify(root).problems]
        return found, [*complaints, *problems]
    except Exception as error:  # whatever it is: no state may lead to it
        return {}, [f"{type(error).__name__}: {error}"]


def write_and_rewrite_again(root: Path, backend: str) -> None:
    """The script taken up again."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        if not writer.plan:
            plan_videos(writer, {"a": 10, "b": 3})
        writer.create_label_set(LabelSet("long", "none", CLASSES, (), None, {}), None)
        writer.publish_clips("long", 0, CLIPS)
        commit_units(writer, UNITS[:4])
        writer.write_manifest()
    with closing(open_reader(root)) as reader:
        assert reader.label_set("long").clips == tuple(CLIPS)


@pytest.fixture
def recorder(tmp_path, backend, monkeypatch) -> Recorder:
    monkeypatch.setattr(long_documents, "MAX_BYTES", SMALL)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the simulated disk decides what is durable
    (tmp_path / "session").mkdir()
    (tmp_path / "scratch").mkdir()
    return Recorder(tmp_path / "session")


def violations(recorder: Recorder, backend: str) -> tuple[list[str], Explorer]:
    with recorder.recording():
        write_and_rewrite(recorder.folder / "cache", backend, recorder.mark)
    assert {"manifest.continued", "labels/long/clips/000000.continued"} <= set(continued(recorder.folder / "cache"))
    explorer = Explorer(recorder.folder.parent / "scratch", partial(examine, backend))
    return list(dict.fromkeys(explorer.violations(recorder))), explorer


def test_every_state_after_a_power_cut_is_readable_and_can_be_resumed(recorder, backend):
    found, explorer = violations(recorder, backend)
    assert found == [] and len(explorer.examined) > 50


def test_a_document_before_its_continuations_is_noticed(recorder, backend, monkeypatch):
    replace, put_if_absent, later = StoredPath.replace, StoredPath.put_if_absent, []

    def late(write):
        def written(path, data):
            if path.parent.name.endswith(CONTINUED):
                later.append((path, data))
                return
            write(path, data)
            while later:
                replace(*later.pop())

        return written

    monkeypatch.setattr(StoredPath, "replace", late(replace))
    monkeypatch.setattr(StoredPath, "put_if_absent", late(put_if_absent))
    found = violations(recorder, backend)[0]
    assert any("manifest was promised and is lost" in text for text in found)
    assert any("DamagedError" in text and "clips" in text for text in found)
