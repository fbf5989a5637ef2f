"""Folders behind URLs are sorted and labeled as local ones are."""

import contextlib
import dataclasses
import random
import uuid
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.sources.content_identity import are_equal, fingerprint, in_threads
from embedonce.pipeline.sources.folder.listing import find_videos
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source
from tests.support.remote_runs import new_run
from tests.support.s3_server import directed_to, s3_server, upload
from tests.support.videos import write_video
from tests.support.web_server import file_answers, serving

PARTS = (
    *("train", "val", "cut", "Cut", "100%", "a+b&c=d", "x#y", "q?s=1", "[1]", "*", "ä", "a\u0308", "日本", "a\\b"),
    *("a%20b", "%2F", "x;y", "a:b", "'q'", "~", "e.", "__MACOSX", ".git", "a b", "a'b\"c", "\x1b[31m"),
)
ENDS = (".mp4", ".MKV", ".txt", "", ".part", ".jpg", ".LRV", "~", ".ts")


@pytest.fixture(autouse=True)
def run(tmp_path):
    with new_run(tmp_path / "copies"):
        yield


def stored(files: dict[str, bytes], name: str) -> RemoteFolder:
    memory = fsspec.filesystem("memory")
    for path, data in files.items():
        memory.pipe_file(f"/{name}/{path}", data)
    return RemoteFolder(f"memory://{name}")


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    video = write_video(tmp_path_factory.mktemp("video") / "v.mp4", 10).read_bytes()
    return {
        **{f"train/cut/{n}.mp4": video + bytes([n]) for n in range(3)},
        "train/stir it/Ünï ©.MP4": video + b"x",
        "val/cut/without_suffix": video + b"y",
        "val/cut/notes.txt": b"text",
        "val/cut/unknown": b"\0\1\2",
        "val/.hidden/a.mp4": video,
        "val/cut/@eaDir/a.mp4": video,
        "val/cut/.b.mp4": video,
        "val/cut/b.mp4.part": video,
        "empty/readme.md": b"nothing",
        "val/cut/GL010042.LRV": video,
        "val/cut/GX010042.MP4": video + b"z",
    }


@pytest.fixture(scope="module")
def s3():
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["memory", "s3", "web"])
def url_of(request, s3):
    """A function that puts a local folder behind a URL of each kind."""
    with contextlib.ExitStack() as stack:

        def put(root: Path) -> str:
            name = uuid.uuid4().hex
            if request.param == "memory":
                fsspec.filesystem("memory").put(f"{root}/", f"/{name}/", recursive=True)
            elif request.param == "s3":
                upload(s3, name, root)
                stack.enter_context(directed_to(s3))
            else:
                return stack.enter_context(serving(file_answers(root)))[0] + "/"
            return f"{request.param}://{name}"

        yield put


def check_as_local(root: Path, url: str) -> Source:
    """Everything that a source consists of is that of the local folder, but for the places of the files."""
    local, remote = folder_source(root), folder_source(RemoteFolder(url))
    for field in dataclasses.fields(Source):
        if field.name not in ("root", "videos"):
            assert getattr(remote, field.name) == getattr(local, field.name), field.name
    placed = [dataclasses.replace(video, path=None) for video in remote.videos]
    assert placed == [dataclasses.replace(video, path=None) for video in local.videos]
    assert in_threads(fingerprint, (v.path for v in remote.videos)) == in_threads(
        fingerprint, (v.path for v in local.videos)
    )
    assert [v.path.name for v in remote.videos] == [v.path.name for v in local.videos]
    return remote


def test_a_folder_is_read_as_its_local_copy(files, tmp_path, url_of):
    root = write_tree(tmp_path / "v", files)
    remote = check_as_local(root, url_of(root))
    assert remote.classes == ("cut", "stir it") and len(remote.videos) == 6


def test_folders_of_any_names_are_read_as_their_local_copies(files, tmp_path, url_of):
    """Names of all kinds in all depths: what is a video, a class, a split, hidden or unfinished is that of the walk."""
    video, generator = files["train/cut/0.mp4"], random.Random(7)
    tree = {}
    for number in range(60):
        folders = generator.choices(PARTS, k=generator.randrange(4))
        name = f"{generator.choice(PARTS)}{generator.choice(ENDS)}"
        tree["/".join([*folders, f"{name}" if number % 2 else f"{number}{name}"])] = video + bytes([number])
    tree = {path: data for path, data in tree.items() if not any(p.startswith(f"{path}/") for p in tree)}
    root = write_tree(tmp_path / "v", tree)
    local = find_videos(root)
    url = url_of(root)
    remote = find_videos(RemoteFolder(url))
    assert len(local.usable) > 20
    for field in dataclasses.fields(local):
        assert getattr(remote, field.name) == getattr(local, field.name), field.name
    assert [path_uid(name) for name in remote.usable] == [path_uid(name) for name in local.usable]


def test_content_is_identified_as_that_of_a_local_copy(files, tmp_path):
    local, remote = folder_source(write_tree(tmp_path, files)), folder_source(stored(files, "content"))
    ours, theirs = [v.path for v in remote.videos], [v.path for v in local.videos]
    prints = in_threads(fingerprint, ours)
    assert prints == in_threads(fingerprint, theirs) and "" not in prints
    assert are_equal(ours[0], theirs[0]) and not are_equal(ours[0], theirs[1])
    fsspec.filesystem("memory").rm("/content/train", recursive=True)
    assert fingerprint(ours[0]) == ""


@pytest.mark.parametrize("name", ["../up.mp4", "a/../b.mp4", "a//b.mp4", "a/./b.mp4", "/b.mp4", "a\0b.mp4"])
def test_names_that_no_file_of_a_folder_can_have_are_listed_as_unusable(name):
    folder = RemoteFolder("memory://names")
    folder._urls = {name: f"memory://names/{name}"}
    listing = find_videos(folder)
    assert listing.usable == () and listing.unusable == ((name, "its name cannot be that of a file in a folder"),)


def test_a_folder_without_videos_and_one_that_is_not_there():
    stored({"a.txt": b"text"}, "texts")
    with pytest.raises(InputError, match=r"no video file in memory://texts or below it \(found: 1 text"):
        open_sources("memory://texts")
    stored({"cut/a.jpg": b""}, "photos")
    with pytest.raises(InputError, match=r"images are read from local disks only: copy them to this machine$"):
        open_sources("memory://photos")
    for option in ({"frames_rate": 25.0}, {"frames_layout": "images"}):
        with pytest.raises(InputError, match="which is read from local disks only: copy memory://photos to this machi"):
            open_sources("memory://photos", SimpleNamespace(**option))
    with pytest.raises(InputError, match="no video file in memory://nowhere"):
        open_sources("memory://nowhere")


def test_an_ego4d_download_must_be_local():
    stored({"ego4d.json": b"{}", "v2/full_scale/x.mp4": b"\0\0\0\x20ftyp"}, "ego4d")
    with pytest.raises(InputError, match=r"ego4d\.json, which lists the redacted parts .* copy the download"):
        open_sources("memory://ego4d")
