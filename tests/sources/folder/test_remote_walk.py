"""Folders behind URLs are sorted and labeled as local ones are."""

from pathlib import Path

import fsspec
import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.sources.content_identity import are_equal, fingerprint, fingerprints
from embedonce.pipeline.sources.folder.listing import find_videos
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import open_sources
from tests.support.videos import write_video


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


def test_a_folder_is_read_as_its_local_copy(files, tmp_path):
    local, remote = folder_source(write_tree(tmp_path, files)), folder_source(stored(files, "as-local"))
    assert remote.clips == local.clips and remote.classes == local.classes == ("cut", "stir it")
    assert [(v.uid, v.source) for v in remote.videos] == [(v.uid, v.source) for v in local.videos]
    assert (remote.files, remote.notes, remote.rejected) == (local.files, local.notes, local.rejected)
    assert len(remote.videos) == 6


def test_content_is_identified_as_that_of_a_local_copy(files, tmp_path):
    local, remote = folder_source(write_tree(tmp_path, files)), folder_source(stored(files, "content"))
    ours, theirs = [v.path for v in remote.videos], [v.path for v in local.videos]
    assert fingerprints(ours) == fingerprints(theirs) and "" not in fingerprints(ours)
    assert are_equal(ours[0], theirs[0]) and not are_equal(ours[0], theirs[1])
    fsspec.filesystem("memory").rm("/content/train", recursive=True)
    assert fingerprint(ours[0]) == ""


@pytest.mark.parametrize(
    "name", ["../up.mp4", "a/../b.mp4", "a//b.mp4", "a/./b.mp4", "a\nb.mp4", "a\\b.mp4", "x\x1b.mp4"]
)
def test_names_that_no_file_of_a_folder_can_have_are_listed_as_unusable(name):
    folder = RemoteFolder("memory://names")
    folder._urls = {name: f"memory://names/{name}"}
    listing = find_videos(folder)
    assert listing.usable == () and listing.unusable == ((name, "its name cannot be that of a file in a folder"),)


def test_a_folder_without_videos_and_one_that_is_not_there():
    stored({"a.txt": b"text"}, "texts")
    with pytest.raises(InputError, match=r"no video file in memory://texts or below it \(found: 1 text"):
        open_sources("memory://texts")
    with pytest.raises(InputError, match="no video file in memory://nowhere"):
        open_sources("memory://nowhere")


def test_an_ego4d_download_must_be_local():
    stored({"ego4d.json": b"{}", "v2/full_scale/x.mp4": b"\0\0\0\x20ftyp"}, "ego4d")
    with pytest.raises(InputError, match=r"ego4d\.json, which lists the redacted parts .* copy the download"):
        open_sources("memory://ego4d")
