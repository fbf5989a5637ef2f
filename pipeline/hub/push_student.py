"""Uploads an exported student to a model repository of the Hugging Face Hub, in one commit."""

import json
from dataclasses import asdict
from pathlib import Path

import safetensors

from embedonce.cache.commit import sha256
from embedonce.models.plain_files import read_plain
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.export.card import CARD_NAME
from embedonce.pipeline.export.folder import MARK, file_names
from embedonce.pipeline.export.source import exported_checkpoint
from embedonce.pipeline.export.weights import BACKBONE_NAME, CONFIG_NAME, PARTS_NAME
from embedonce.pipeline.files.recognition import is_sealed, sealed
from embedonce.pipeline.hub.client import Hub
from embedonce.pipeline.hub.uploading import OF_THE_HUB, fetched

KIND = "push-student"
CHECKPOINT_NAME = "student.pt"
MAX_BYTES = 4 << 30  # of a file of an export


def student_files(folder: Path, checkpoint: Path | None, repo: str, license_id: str) -> dict[str, bytes]:
    """Content by name: the files of an export, its card for this repository, and the checkpoint if one is given.

    The settings of the export, which have paths of this machine, stay here. InputError if the folder is not an export
    or the checkpoint is of another student; CheckpointError if a file is damaged.
    """
    if not (folder / MARK).is_file():
        options = {"student_checkpoint": checkpoint, "output_dir": folder}
        raise InputError(f"{folder} does not hold an export; {next_line('export-student', options)}")
    names = sorted(name for name in file_names() - {MARK} if (folder / name).is_file())
    files = {name: read_plain(folder / name, MAX_BYTES) for name in names}
    facts = _facts(folder, files)
    files[CARD_NAME] = sealed(_card(files[CARD_NAME].decode(), repo, license_id).encode(), KIND)
    if checkpoint is not None:
        files[CHECKPOINT_NAME] = _checkpoint(checkpoint, facts, folder)
    return files


def _facts(folder: Path, files: dict[str, bytes]) -> dict:
    """The facts of an exported student. CheckpointError if what timm loads is missing or damaged."""
    missing = {CARD_NAME, CONFIG_NAME, BACKBONE_NAME, PARTS_NAME} - set(files)
    if missing:
        raise CheckpointError(f"{folder} lacks {min(missing)}: export the student again")
    try:
        for name in (BACKBONE_NAME, PARTS_NAME):
            safetensors.deserialize(files[name])
        return dict(json.loads(files[CONFIG_NAME])["embedonce"])
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged ({error}): export the student again") from error


def _checkpoint(path: Path, facts: dict, folder: Path) -> bytes:
    """The bytes of a checkpoint. InputError unless it is the one that was exported, or if the export does not say
    which one that was, one of the same settings."""
    from embedonce.pipeline.checkpoints.checkpoint import load_student

    _, meta = load_student(path)
    data, exported = read_plain(path, MAX_BYTES), exported_checkpoint(folder)
    if exported is not None and exported != sha256(data):
        raise InputError(f"{path} is not the checkpoint that was exported to {folder}; export it first")
    if facts["student"] != json.loads(json.dumps(asdict(meta.student))) or facts["classes"] != list(meta.classes):
        raise InputError(f"{path} is another student than the one exported to {folder}; export it first")
    return data


def _card(text: str, repo: str, license_id: str) -> str:
    """The card of an export, with the license, and with the repository in place of the folder."""
    front = f"---\nlicense: {license_id}\npipeline_tag: image-feature-extraction\n"
    return text.replace("---\n", front, 1).replace("local-dir:THIS_FOLDER", f"hf-hub:{repo}")


def push_student(hub: Hub, files: dict[str, bytes], revision: str | None, work: Path) -> str:
    """Make the repository hold these files; returns the commit. work: an empty folder for temporary files.

    InputError if the repository holds anything but an earlier push.
    """
    head = hub.commit_of(revision)
    remote = hub.files(head)
    known = {*file_names(), CHECKPOINT_NAME, *OF_THE_HUB} - {MARK}
    if foreign := sorted(set(remote) - known):
        raise InputError(f"{hub.address} holds {foreign[0]}, which is not of a student; choose another --repo")
    if CARD_NAME in remote and not is_sealed(fetched(hub, CARD_NAME, head, work), KIND):
        files = {name: data for name, data in files.items() if name != CARD_NAME}  # it was edited there
    stale = sorted(set(remote) - set(files) - {CARD_NAME, *OF_THE_HUB})
    additions = [hub.addition(name, data) for name, data in files.items()]
    return hub.commit(additions, stale, "Share a student", revision, head)
