"""Videos that were removed for good: extraction leaves their files out, and their names are nowhere in the cache.

One small document per video holds hashes of its uid and of its file's fingerprint, and nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from embedonce.cache import documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import file_name
from embedonce.cache.schema import check_fingerprint
from embedonce.cache.stores.stored_path import StoredPath


@dataclass(frozen=True)
class WithdrawnVideo:
    """name_sha256: of the uid in UTF-8. fingerprint_sha256: of the file's fingerprint; empty if that is unknown."""

    name_sha256: str
    fingerprint_sha256: str = ""


@dataclass(frozen=True)
class WithdrawnVideos:
    """The withdrawn videos of a cache, as two sets of hashes."""

    names: frozenset[str] = frozenset()
    fingerprints: frozenset[str] = frozenset()

    @classmethod
    def of(cls, videos: Iterable[WithdrawnVideo]) -> "WithdrawnVideos":
        videos = list(videos)
        fingerprints = frozenset(video.fingerprint_sha256 for video in videos) - {""}
        return cls(frozenset(video.name_sha256 for video in videos), fingerprints)

    def has_name(self, name: str) -> bool:
        """Whether the video of this name was withdrawn."""
        return bool(self.names) and hash_of_name(name) in self.names

    def has_content(self, fingerprint: str) -> bool:
        """Whether a video of this fingerprint was withdrawn; False if it is empty."""
        return bool(fingerprint and self.fingerprints) and hash_of_name(fingerprint) in self.fingerprints


def hash_of_name(name: str) -> str:
    """SHA-256 of a text, which may have bytes of file names that are not UTF-8."""
    return sha256(name.encode("utf-8", "surrogateescape"))


def withdraw(layout: Layout, name: str, fingerprint: str) -> None:
    """Record that a video was removed for good. fingerprint: empty if unknown."""
    video = WithdrawnVideo(hash_of_name(name), hash_of_name(fingerprint) if fingerprint else "")
    layout.withdrawn.make_folder()
    path = layout.withdrawn / file_name(name)
    path.replace(documents.serialize_verified(documents.to_fields(video), _video_from, str(path)))


def copy_withdrawn(source: Layout, target: Layout) -> None:
    """Record all withdrawn videos of a cache in another one, too."""
    record_withdrawn(withdrawn_by_file(source), target)


def record_withdrawn(videos: Mapping[str, WithdrawnVideo], target: Layout) -> None:
    """Record withdrawn videos in a cache. videos: by the names of their documents."""
    for name, video in videos.items():
        target.withdrawn.make_folder()
        (target.withdrawn / name).replace(documents.serialize_with_checksum(documents.to_fields(video)))


def is_withdrawn(layout: Layout, name: str) -> bool:
    """Whether the video of this name was removed for good."""
    return (layout.withdrawn / file_name(name)).exists()


def readmit(layout: Layout, name: str) -> None:
    """Forget that a video was removed for good."""
    if is_withdrawn(layout, name):
        (layout.withdrawn / file_name(name)).delete()


def read_withdrawn(path: StoredPath) -> WithdrawnVideo:
    """The withdrawn video in a file. DamagedError if it cannot be read or was renamed."""
    video = _video_from(documents.read(path), str(path))
    if path.stem != video.name_sha256[: len(path.stem)] or not path.stem:
        raise DamagedError(f"{path} is the document of another video: it was renamed or copied")
    return video


def withdrawn_by_file(layout: Layout) -> dict[str, WithdrawnVideo]:
    """Name of its document -> video, of all withdrawn videos of a cache. Errors as in withdrawn_videos()."""
    layout.refuse_links((layout.withdrawn,))
    return {path.name: read_withdrawn(path) for path in layout.withdrawn.list(".json")}


def withdrawn_videos(layout: Layout) -> WithdrawnVideos:
    """All withdrawn videos of a cache. DamagedError if a document cannot be read: its video must not come back."""
    return WithdrawnVideos.of(withdrawn_by_file(layout).values())


def _video_from(document: dict, name: str) -> WithdrawnVideo:
    with documents.as_damaged_error(name):
        video = WithdrawnVideo(document["name_sha256"], document["fingerprint_sha256"])
        documents.validate_types(video)
        check_fingerprint(video.fingerprint_sha256)
        if not check_fingerprint(video.name_sha256):
            raise ValueError("the hash of its name is empty")
        return video
