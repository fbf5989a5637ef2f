"""Brings a repository to the files of a share: only what it lacks is sent, so a push that was stopped continues."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.files.recognition import is_sealed
from embedonce.pipeline.hub.cache_files import SharedFile, is_cache_file
from embedonce.pipeline.hub.client import Hub, HubError, RemoteFile
from embedonce.pipeline.hub.dataset_card import KIND
from embedonce.pipeline.hub.embedding_tables import is_table_file
from embedonce.pipeline.hub.manifest import CACHE, parsed, serialized
from embedonce.pipeline.hub.push_cache import Share
from embedonce.pipeline.hub.repositories import CARD_NAME, MANIFEST_NAME
from embedonce.pipeline.progress import Progress

FILES_OF_COMMIT = 1000
DOCUMENT_BYTES_OF_COMMIT = 64 << 20  # a commit has the content of what is not stored as a large file
FILES_AT_ONCE = 16  # that are uploaded between two updates of the progress
OF_THE_HUB = (".gitattributes",)


def push(hub: Hub, share: Share, revision: str | None, work: Path) -> str:
    """Upload a share and return its commit. work: an empty folder for temporary files.

    HubError; InputError if the repository holds anything else.
    """
    head = hub.commit_of(revision)
    remote = hub.files(head)
    _check_repository(hub, remote, head, share, work)
    lacking = [file for file in share.manifest.files if file.name not in remote]
    changed = [file for file in share.manifest.files if file.name in remote and not _is_same(file, remote[file.name])]
    listed = {file.name for file in share.manifest.files}
    stale = [name for name in remote if _is_of_share(name) and name not in listed]
    with Progress(len(lacking) + len(changed), "uploading", "files") as progress:
        while (count := _files_of_commit(lacking)) < len(lacking):
            additions = _uploaded(hub, share, lacking[:count], revision, progress)
            head = hub.commit(additions, (), "Add files of a cache", revision, head)
            lacking = lacking[count:]
        additions = _uploaded(hub, share, [*lacking, *changed], revision, progress)
    documents = [hub.addition(MANIFEST_NAME, serialized(share.manifest))]
    if _may_replace_card(hub, remote, head, work):
        documents.append(hub.addition(CARD_NAME, share.card))
    share.check()
    return hub.commit([*additions, *documents], stale, "Share a cache", revision, head)


def _files_of_commit(files: Sequence[SharedFile]) -> int:
    """How many of the first of these files make one commit."""
    sizes = itertools.accumulate(file.size if file.blob_id else 0 for file in files[:FILES_OF_COMMIT])
    return max(1, sum(total <= DOCUMENT_BYTES_OF_COMMIT for total in sizes)) if files else 0


def _uploaded(
    hub: Hub, share: Share, files: Sequence[SharedFile], revision: str | None, progress: Progress
) -> list[Any]:
    """The files as additions to a commit, the content of large ones uploaded."""
    additions = []
    for some in _chunks(files):
        made = [hub.addition(file.name, share.content(file.name)) for file in some]
        hub.upload(made, revision)
        for file, addition in zip(some, made, strict=True):
            if addition.upload_info.size != file.size or addition.upload_info.sha256.hex() != file.sha256:
                raise HubError(f"{file.name} was changed while it was uploaded; run the same command again")
            progress.update()
        additions += made
    return additions


def _chunks(files: Sequence[SharedFile]) -> Iterator[Sequence[SharedFile]]:
    for start in range(0, len(files), FILES_AT_ONCE):
        yield files[start : start + FILES_AT_ONCE]


def _check_repository(hub: Hub, remote: dict[str, RemoteFile], head: str, share: Share, work: Path) -> None:
    """InputError unless a repository is empty, or holds an earlier push of the same kind, whole or not."""
    known = {CARD_NAME, MANIFEST_NAME, *OF_THE_HUB}
    is_file = is_cache_file if share.manifest.kind == CACHE else is_table_file
    foreign = sorted(name for name in remote if name not in known and not is_file(name))
    if foreign:
        raise InputError(f"{hub.address} holds {foreign[0]}, which is not of such a share; choose another --repo")
    if MANIFEST_NAME in remote:
        earlier = parsed(fetched(hub, MANIFEST_NAME, head, work), hub.repo)
        if earlier.kind != share.manifest.kind:
            raise InputError(f"{hub.address} holds a share of another kind ({earlier.kind}); choose another --repo")
    identity = {file.name: file for file in share.manifest.files}.get("cache.json")
    if identity is not None and "cache.json" in remote and not _is_same(identity, remote["cache.json"]):
        raise InputError(f"{hub.address} holds another cache, with another cache.json; choose another --repo")


def _may_replace_card(hub: Hub, remote: dict[str, RemoteFile], head: str, work: Path) -> bool:
    """Whether there is no card, or one that a push wrote and nobody has edited."""
    return CARD_NAME not in remote or is_sealed(fetched(hub, CARD_NAME, head, work), KIND)


def fetched(hub: Hub, name: str, commit: str, work: Path) -> bytes:
    """The bytes of a small file of a commit. work: a folder for temporary files."""
    hub.download(name, commit, work)
    return (work / name).read_bytes()


def _is_of_share(name: str) -> bool:
    return is_cache_file(name) or is_table_file(name)


def _is_same(file: SharedFile, remote: RemoteFile) -> bool:
    if remote.size != file.size:
        return False
    return remote.sha256 == file.sha256 if remote.sha256 else bool(file.blob_id) and remote.blob_id == file.blob_id
