"""A cache that is pushed and pulled again is the same cache; half an upload is never taken for a whole one."""

import hashlib
import json
import os
import socket
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from embedonce.cache import documents
from embedonce.cache.layout import Layout
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.pipeline.hub import push_cache as push_module
from embedonce.pipeline.hub import uploading
from embedonce.pipeline.hub.cache_files import is_cache_file
from embedonce.pipeline.hub.client import Hub
from embedonce.pipeline.hub.push_cache import PushRequest, prepared
from embedonce.pipeline.runtimes import requirements
from tests.commands.test_cli import call, error_of
from tests.extraction.test_runner import content
from tests.support.fake_hub import TOKEN, hub
from tests.support.hub_commands import (
    MANIFEST,
    REPO,
    WARNING,
    cache,
    original,
    pull,
    pull_error,
    push,
    push_error,
    shard_sha256,
)
from tests.support.memory_store import MemoryStore
from tests.support.shared_units import SECRET, make_shared_cache

__all__ = ["cache", "hub", "original"]
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings(WARNING)]


# -- what arrives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["hdf5", "webdataset"])
def test_a_pulled_cache_has_everything(hub, tmp_path, backend):
    cache = make_shared_cache(tmp_path / "cache", backend)
    output = push(cache)
    assert f"next: python cli.py pull-cache --output-dir kitchen {REPO}" in output
    output = call("pull-cache", REPO, "--output-dir", tmp_path / "copy")
    assert "19 embedded frames of 6 videos, teacher fake" in output
    report = verify(tmp_path / "copy")
    assert report.problems == [] and report.extra == [] and report.unfinished == {} and report.uncovered == {}
    assert content(tmp_path / "copy") == content(cache)
    theirs, mine = open_reader(cache), open_reader(tmp_path / "copy")
    assert theirs.label_sets() == mine.label_sets() == ("computed", "main", "plain")
    assert theirs.label_set("main") == mine.label_set("main")
    unit = max(mine.records)
    assert (theirs.all_logits("main", unit) == mine.all_logits("main", unit)).all()
    assert (theirs.teachers.all_embeddings("second", unit) == mine.teachers.all_embeddings("second", unit)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "copy"]


def test_a_pulled_cache_can_be_extended(cache, hub, tmp_path):
    push(cache)
    copy = pull(tmp_path)
    with closing(open_writer(copy, open_reader(copy).identity)) as writer:
        writer.write_manifest()
    assert verify(copy).problems == []


def test_nothing_that_concerns_only_its_maker_is_uploaded(cache, hub):
    for record in sorted((cache / "records").glob("*.json")):
        document = documents.parse(record.read_bytes(), "record")
        document["provenance"] |= {"host": "anns-laptop", "device": "cpu"}
        record.write_bytes(documents.serialize_with_checksum(document))
    for name in ("extract_config.yaml", "file_fingerprints.json", "notes.txt"):
        (cache / name).write_text("/home/ann/videos")
    (cache / "labels" / "mine.txt").write_text("notes")
    output = push(cache)
    uploaded = hub.content(REPO)
    assert {name for name in uploaded if not is_cache_file(name)} == {".gitattributes", "README.md", MANIFEST}
    everything = b"".join(uploaded.values())
    for private in (b"anns-laptop", b"/home/ann", str(cache).encode(), socket.gethostname().encode() + b'"'):
        assert private not in everything
    assert b'"device":"cpu"' in everything
    names = "extract_config.yaml, file_fingerprints.json, labels/mine.txt, notes.txt"
    assert f"not shared: 4 files ({names})" in output


def test_a_path_of_this_machine_in_a_document_is_pointed_out(cache, hub, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    path = Layout.at(cache).label_set_document("main")
    document = documents.parse(path.get(), "label set")
    document["facts"] = {"prompts_from": "/home/ann/prompts.yaml"}
    path.replace(documents.serialize_with_checksum(document))
    assert "note: labels/main/label_set.json has a path of this machine in it" in push(cache, "--dry-run")


def test_a_dry_run_shows_the_card_and_sends_nothing(cache, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    output = push(cache, "--dry-run")
    assert "57 files" in output and "frames: 5 files" in output and "license: cc-by-4.0" in output
    assert "names of videos are in it, such as a.mp4, secretvideo.mp4, b.mp4" in output
    assert hub.requests == []


def test_the_card_describes_the_cache(cache, hub):
    push(cache)
    card = hub.content(REPO)["README.md"].decode()
    front = card.split("---\n")[1]
    assert "license: cc-by-4.0" in front and "tags: [embedonce" in front
    assert "| teacher | fake |" in card and f"pull-cache {REPO} --output-dir kitchen" in card
    assert "`main`: 2 classes" in card and "further teacher `second`" in card


def test_the_manifest_lists_every_file_with_its_hash(cache, hub):
    push(cache)
    uploaded = hub.content(REPO)
    listed = json.loads(uploaded[MANIFEST])["files"]
    found = {name: hashlib.sha256(data).hexdigest() for name, data in uploaded.items() if is_cache_file(name)}
    assert {file["name"]: file["sha256"] for file in listed} == found and len(found) > 40


def test_a_branch_is_pushed_and_pulled(cache, hub, tmp_path):
    assert "pull-cache --output-dir kitchen --revision v2 ann/kitchen" in push(cache, "--revision", "v2")
    assert MANIFEST not in hub.content(REPO) and MANIFEST in hub.content(REPO, branch="v2")
    assert "is not a shared cache" in pull_error(tmp_path, code=4)
    pull(tmp_path, "--revision", "v2")


def test_a_private_repository_is_created_as_one(cache, hub, tmp_path):
    push(cache, "--private")
    assert hub.repositories["dataset", REPO].is_private
    pull(tmp_path)
    push(cache)
    hub.repositories["dataset", REPO].is_private = False
    assert "exists and is public" in push_error(cache, "--private")


def test_a_cache_that_is_not_a_folder_is_pushed(hub, tmp_path):
    make_shared_cache(store := MemoryStore(), "webdataset")
    client = Hub(REPO, "dataset")
    client.create(False, None)
    with prepared(PushRequest(store, REPO, "mit")) as share:
        uploading.push(client, share, None, tmp_path)
    assert content(pull(tmp_path)) == content(store)


# -- without frames ----------------------------------------------------------------------------------------------------


def test_embeddings_are_shared_without_a_single_pixel(cache, hub, tmp_path):
    push(cache, "--no-frames")
    uploaded = hub.content(REPO)
    tables = {"embeddings/first.parquet", "embeddings/second.parquet"}
    labels = {f"label_sets/{name}.json" for name in ("main", "plain", "computed")}
    assert set(uploaded) == {".gitattributes", "README.md", MANIFEST, *tables, *labels}
    jpegs = [jpeg for unit in open_reader(cache).records for jpeg in open_reader(cache).batch(unit).jpegs]
    everything = b"".join(uploaded.values())
    assert len(jpegs) == 19 and not any(jpeg[2:] in everything for jpeg in jpegs)
    output = call("pull-cache", REPO, "--output-dir", tmp_path / "copy")
    assert "embeddings without frames" in output and "not to train students" in output
    assert pq.read_table(tmp_path / "copy" / "embeddings" / "first.parquet").num_rows == 19
    clips = json.loads((tmp_path / "copy" / "label_sets" / "main.json").read_text())["clips"]
    assert len(clips) == len(open_reader(cache).label_set("main").clips) and clips[0]["labels"][0] in ("cut", "stir")


def test_a_missing_library_is_a_sentence(cache, hub, monkeypatch):
    find = requirements.find_spec
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == "pyarrow" else find(name))
    assert push_error(cache, "--no-frames", code=2).startswith("--no-frames needs pyarrow; install with: pip install")
    assert hub.repositories == {}


def test_both_kinds_are_not_mixed_in_one_repository(cache, hub):
    push(cache)
    assert "holds cache.json, which is not of such a share" in push_error(cache, "--no-frames", code=2)


# -- licenses ----------------------------------------------------------------------------------------------------------


def test_a_license_is_required(cache, hub):
    words = ["push-cache", "--cache-dir", cache, "--repo", REPO]
    assert "--license must be the identifier of the license" in error_of(*words)
    assert "such as cc-by-4.0" in error_of(*words, "--license", "All rights reserved!")
    assert hub.requests == []


UUID = "0a1b2c3d-0000-4000-8000-00000000000"


@pytest.mark.parametrize(
    ("source", "kind", "name", "without_frames"),
    [
        (f"full_scale/{UUID}1.mp4", "", "Ego4D", False),
        ("a.mp4", "fho-verbs", "Ego4D", False),
        ("P01/P01_101.MP4", "", "EPIC-KITCHENS", True),
        ("a.mp4", "egtea-actions", "EGTEA", True),
    ],
)
def test_caches_of_known_data_sets_need_an_explicit_right(tmp_path, hub, source, kind, name, without_frames):
    from embedonce.cache.labels import LabelSet
    from tests.conftest import make_cache_identity, planned_segment, planned_video

    with closing(open_writer(tmp_path / "cache", make_cache_identity())) as writer:
        writer.extend_plan([planned_video("a", source=source)], [planned_segment("a", 2)], 4)
        writer.create_label_set(LabelSet("x", "none", ("one",), (), None, {"annotations": kind} if kind else {}), None)
        writer.write_manifest()
    error = push_error(tmp_path / "cache", code=2)
    assert f"seems to be made from {name}" in error and "--i-have-the-right-to-share" in error
    if not without_frames:
        assert "what is computed from its videos" in push_error(tmp_path / "cache", "--no-frames", code=2)
    assert hub.repositories == {}
    push(tmp_path / "cache", "--i-have-the-right-to-share")
    assert name in hub.content(REPO)["README.md"].decode()


# -- interrupted pushes ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_commits(monkeypatch):
    monkeypatch.setattr(uploading, "FILES_OF_COMMIT", 10)
    monkeypatch.setattr(uploading, "FILES_AT_ONCE", 3)


@pytest.mark.parametrize("failure", [503, "cut"])
def test_a_failed_push_is_never_taken_for_a_whole_one_and_continues(cache, hub, tmp_path, small_commits, failure):
    made = []

    def third_commit_fails(method: str, path: str):
        made.append(path) if method == "POST" and "/commit/" in path else None
        return failure if len(made) == 3 and "/commit/" in path else None

    hub.faults.append(third_commit_fails)
    assert "run the same command again" in push_error(cache)
    assert len(hub.content(REPO)) == (31 if failure == "cut" else 21)  # "cut": the answer alone is lost
    assert MANIFEST not in hub.content(REPO)
    assert "upload was not finished" in pull_error(tmp_path, code=4)
    before = set(hub.uploads())
    hub.requests.clear()
    push(cache)
    assert before and not before & set(hub.uploads())  # nothing is uploaded twice
    assert content(pull(tmp_path)) == content(cache)


def test_an_upload_that_fails_in_the_middle_is_continued(cache, hub, tmp_path):
    hub.fail("PUT", shard_sha256(cache), 500, times=20)
    error = push_error(cache)
    assert "failed to upload files with status 500" in error and "run the same command again" in error
    assert MANIFEST not in hub.content(REPO)
    hub.faults.clear()
    push(cache)
    assert content(pull(tmp_path)) == content(cache)


def test_one_failing_request_is_tried_again(cache, hub, tmp_path):
    hub.fail("PUT", "/objects/", 503)
    hub.fail("PUT", "/objects/", "cut")
    push(cache)
    pull(tmp_path)


def test_a_second_push_sends_what_is_new_and_deletes_what_is_gone(cache, hub, tmp_path):
    push(cache)
    remove(cache, videos_removal([SECRET], is_withdrawal=True))
    hub.requests.clear()
    push(cache)
    everything = b"".join(hub.content(REPO).values())
    assert SECRET.encode() not in everything
    assert content(pull(tmp_path)) == content(cache)
    hub.requests.clear()
    push(cache)
    assert hub.uploads() == []


def test_a_state_between_two_pushes_is_the_old_share_or_the_new_one(cache, hub, tmp_path, small_commits):
    push(cache)
    old = content(cache)
    remove(cache, videos_removal([SECRET], is_withdrawal=True))
    push(cache)
    new, repository = content(cache), hub.repositories["dataset", REPO]
    whole = [name for name, files in repository.commits.items() if MANIFEST in files]
    assert len(whole) > 1
    for number, commit in enumerate(whole):
        call("pull-cache", REPO, "--output-dir", tmp_path / f"copy{number}", "--revision", commit)
        assert content(tmp_path / f"copy{number}") in (old, new)


def test_an_edited_card_stays(cache, hub):
    push(cache)
    repository = hub.repositories["dataset", REPO]
    repository.add_commit({**repository.head, "README.md": b"---\nlicense: mit\n---\nMine.\n"})
    push(cache)
    assert hub.content(REPO)["README.md"].endswith(b"Mine.\n")


def test_another_push_at_the_same_time_is_noticed(cache, hub):
    push(cache)
    (cache / "manifest.json").write_bytes((cache / "manifest.json").read_bytes())
    repository = hub.repositories["dataset", REPO]

    def another_commit(method: str, path: str):
        if method == "POST" and "/commit/" in path:
            repository.add_commit({**repository.head, "plan/000099.json": b"{}"})

    hub.faults.append(another_commit)
    assert "was changed by someone else meanwhile" in push_error(cache)


# -- refused pushes ----------------------------------------------------------------------------------------------------


def test_a_damaged_cache_is_not_uploaded(cache, hub):
    shard = sorted((cache / "frames").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    error = push_error(cache, code=4)
    assert "is damaged, so nothing was uploaded" in error and shard.name in error
    assert hub.repositories == {}


def test_a_cache_that_is_being_written_is_refused(cache, hub):
    with closing(open_writer(cache, open_reader(cache).identity)):
        assert "is being written by another process" in push_error(cache, code=4)
    assert hub.repositories == {}


def test_a_cache_that_changes_while_it_is_uploaded_gets_no_manifest(cache, hub):
    def change(method: str, path: str):
        if method == "PUT":
            with closing(open_writer(cache, open_reader(cache).identity)) as writer:
                writer.write_manifest()
            os.utime(cache / "manifest.json", ns=(1, 1))

    hub.faults.append(change)
    assert "was changed while it was shared" in push_error(cache, code=4)
    assert MANIFEST not in hub.content(REPO)


def test_records_that_appear_while_files_are_listed_are_noticed(cache, hub, monkeypatch):
    real = push_module.verify

    def verify_while_others_write(*arguments):
        report = real(*arguments)
        record = cache / "records" / "000000.json"
        record.with_name("000099.json").write_bytes(record.read_bytes())
        return report

    monkeypatch.setattr(push_module, "verify", verify_while_others_write)
    assert "was changed while it was shared" in push_error(cache, code=4)
    assert hub.repositories == {}


def test_a_repository_of_something_else_is_left_alone(cache, hub, tmp_path):
    push(cache)
    repository = hub.repositories["dataset", REPO]
    repository.add_commit({**repository.head, "model.bin": b"weights"})
    assert "holds model.bin, which is not of such a share" in push_error(cache, code=2)
    other = make_shared_cache(tmp_path / "other", "webdataset")
    repository.add_commit({name: data for name, data in repository.head.items() if name != "model.bin"})
    assert "holds another cache" in push_error(other, code=2)


@pytest.mark.parametrize("name", ["kitchen", "a/b/c", "ann/..", "ann/a--b", "ann/x.git", "-a/b", "ann/b c"])
def test_names_of_repositories_are_checked_first(cache, hub, tmp_path, name):
    assert "is not a repository" in error_of("push-cache", "--cache-dir", cache, "--license", "mit", "--repo", name)
    assert "is not a repository" in error_of("pull-cache", "--output-dir", tmp_path / "x", "--", name)
    assert hub.requests == []


def test_without_a_token_nothing_is_verified_or_sent(cache, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.utils._auth.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    assert "not logged in" in (error := push_error(cache)) and "hf auth login" in error
    assert hub.requests == []


def test_a_token_is_refused_without_being_printed(cache, hub):
    hub.readers = ()
    error = push_error(cache)
    assert "does not accept the token" in error and "hf auth login" in error and TOKEN not in error
    hub.readers, hub.writers = (TOKEN,), ()
    error = push_error(cache)
    assert "not allowed to create it" in error and TOKEN not in error


def test_an_unreachable_hub_is_a_sentence(cache, hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in push_error(cache)
    assert "http://127.0.0.1:9 cannot be reached" in pull_error(tmp_path)
