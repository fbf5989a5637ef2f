"""A pull brings exactly what was pushed, or says why not and leaves no half of a cache."""

import hashlib
import json
import shutil

import pytest

from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.verify import verify
from tests.commands.test_cli import error_of
from tests.extraction.test_runner import content
from tests.support.fake_hub import hub
from tests.support.hub_commands import (
    MANIFEST,
    REPO,
    WARNING,
    cache,
    original,
    pull,
    pull_error,
    push,
    shard_of,
)
from tests.support.shared_units import SECRET

__all__ = ["cache", "hub", "original"]
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings(WARNING)]


def test_a_damaged_file_is_refused_by_name_and_downloaded_again_later(cache, hub, tmp_path):
    push(cache)
    name = shard_of(hub)
    oid = hub.repositories["dataset", REPO].head[name]
    sound = hub.objects[oid]
    hub.objects[oid] = sound[:-1] + b"?"
    assert f"{name} is not the file that {MANIFEST} lists" in pull_error(tmp_path, code=4)
    hub.objects[oid] = sound
    hub.requests.clear()
    assert content(pull(tmp_path)) == content(cache)
    downloads = [request for request in hub.requests if request.startswith("GET") and "frames" in request]
    assert f"GET /datasets/{REPO}/resolve/" in downloads[0] and name in downloads[0]


def test_a_file_that_is_missing_or_longer_than_listed_is_refused_before_anything_is_downloaded(cache, hub, tmp_path):
    push(cache)
    repository, name = hub.repositories["dataset", REPO], shard_of(hub)
    pushed = repository.head
    for files in ({**pushed, name: b"x" * 10**6}, {other: pushed[other] for other in pushed if other != name}):
        repository.add_commit(files)
        hub.requests.clear()
        assert f"{name} is not the file that {MANIFEST} lists" in pull_error(tmp_path, code=4)
        assert not any("frames/" in request for request in hub.requests)


def test_a_pull_that_was_cut_off_continues(cache, hub, tmp_path):
    push(cache)
    last = json.loads(hub.content(REPO)[MANIFEST])["files"][-1]["name"]
    hub.fail("GET", last, 500, times=12)
    assert "run the same command again" in pull_error(tmp_path)
    assert (tmp_path / ".copy.pull").is_dir()
    hub.faults.clear()
    hub.requests.clear()
    assert content(pull(tmp_path)) == content(cache)
    downloads = [request for request in hub.requests if request.startswith("GET") and "resolve" in request]
    assert 0 < len(downloads) < 10 and any(last in request for request in downloads)
    assert not (tmp_path / ".copy.pull").exists()


def test_connections_that_end_in_the_middle_are_resumed(cache, hub, tmp_path):
    push(cache)
    hub.fail("GET", shard_of(hub), "cut", times=2)
    assert content(pull(tmp_path)) == content(cache)


def test_a_repository_that_changes_meanwhile_is_pulled_as_it_was(cache, hub, tmp_path):
    push(cache)
    before = content(cache)
    changes = iter([True])

    def change(name: str) -> None:
        if next(changes, False):
            repository = hub.repositories["dataset", REPO]
            repository.add_commit({".gitattributes": b""})

    hub.before_download = change
    assert content(pull(tmp_path)) == before


def test_an_unfinished_pull_of_another_state_keeps_only_what_belongs(cache, hub, tmp_path):
    push(cache)
    hub.fail("GET", "manifest.json", 404)
    pull_error(tmp_path)
    remove(cache, videos_removal([SECRET], is_withdrawal=True))
    push(cache)
    copy = pull(tmp_path)
    assert content(copy) == content(cache) and verify(copy).extra == []
    assert not any(SECRET.encode() in path.read_bytes() for path in copy.rglob("*") if path.is_file())


def test_existing_folders_and_unfinished_pulls_of_others_are_kept(cache, hub, tmp_path):
    push(cache)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").write_text("keep")
    assert "exists already" in error_of("pull-cache", REPO, "--output-dir", tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    (tmp_path / ".copy.pull").mkdir()
    (tmp_path / ".copy.pull" / "mine").write_text("keep")
    assert "holds an unfinished pull of something else" in pull_error(tmp_path, code=2)
    assert (tmp_path / ".copy.pull" / "mine").read_text() == "keep"
    assert "is inside the cache" in error_of("pull-cache", REPO, "--output-dir", cache / "x", code=4)


NAMES = ("../evil", "/etc/evil", "frames/../../evil", "frames/000000.h5\n", "labels/x", "a\0b", "frames/000000.h5")
FORMS = (b"", b"[]", b"{}", b'{"format": 2}', b"\xff", b'{"format":1,"kind":"other","files":[{}]}')


def test_names_of_a_manifest_lead_nowhere_else_and_other_forms_are_a_sentence(cache, hub, tmp_path):
    push(cache)
    repository = hub.repositories["dataset", REPO]
    pushed = repository.head
    for name in NAMES:
        document = json.loads(pushed[MANIFEST])
        document["files"].append({"name": name, "size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()})
        repository.add_commit({**pushed, MANIFEST: json.dumps(document).encode(), name: b"evil"})
        assert "cannot be the name of a file of it" in pull_error(tmp_path, code=4), name
    for data in FORMS:
        repository.add_commit({**pushed, MANIFEST: data})
        assert "is not a list of shared files" in pull_error(tmp_path, code=4), data
    assert sorted(path.name for path in tmp_path.iterdir()) == [".copy.pull", "cache"]
    assert {path.name for path in (tmp_path / ".copy.pull").iterdir()} <= {MANIFEST, ".pulled-from", ".cache"}


def test_a_huge_manifest_is_not_downloaded(cache, hub, tmp_path, monkeypatch):
    push(cache)
    monkeypatch.setattr("embedonce.pipeline.hub.pull_cache.MAX_BYTES", 100)
    hub.requests.clear()
    assert "bytes, too many" in pull_error(tmp_path, code=4)
    assert not any("/resolve/" in request for request in hub.requests)


def test_the_current_folder_cannot_become_a_cache(cache, hub, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", tmp_path / "here"):
        assert "is the folder that you are in" in error_of("pull-cache", REPO, "--output-dir", name)


def test_what_is_not_a_cache_or_not_there_is_a_sentence(cache, hub, tmp_path):
    assert f"dataset {REPO} does not exist" in pull_error(tmp_path)
    push(cache)
    assert "has no revision 'v9'" in pull_error(tmp_path, "--revision", "v9")
    repository = hub.repositories["dataset", REPO]
    repository.add_commit({"data.csv": b"1,2\n"})
    assert "it is not a shared cache" in pull_error(tmp_path, code=4)


def test_files_that_match_the_manifest_but_make_no_sound_cache_are_refused(cache, hub, tmp_path):
    push(cache)
    repository = hub.repositories["dataset", REPO]
    document = json.loads(repository.head[MANIFEST])
    document["files"] = [file for file in document["files"] if file["name"] != shard_of(hub)]
    repository.add_commit({**repository.head, MANIFEST: json.dumps(document).encode()})
    assert "holds a damaged cache" in pull_error(tmp_path, code=4)


def test_a_full_disk_is_a_sentence(cache, hub, tmp_path, monkeypatch):
    push(cache)
    monkeypatch.setattr("embedonce.pipeline.files.disk_space.free_bytes", lambda where: 1000)
    assert "make space, or choose another --output-dir" in pull_error(tmp_path)
