"""A subset of Ego4D fetched safely: what it takes is known before, what came is checked after, it can be run again.

The official client fetches (client.py); what it does not notice, that is truncated files, refusals that it calls
success, and what a killed run left, is looked for here.
"""

import logging
import shutil
from dataclasses import asdict
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.files import exists
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.ego4d.download import bucket, client
from embedonce.pipeline.sources.ego4d.download.bucket import Bucket
from embedonce.pipeline.sources.ego4d.download.s3_errors import refusal
from embedonce.pipeline.sources.ego4d.download.selection import METADATA, DownloadConfig, chosen
from embedonce.pipeline.sources.ego4d.download.transfers import (
    DownloadRecord,
    RemoteFile,
    Transfer,
    bytes_there,
    remove_leftovers,
    remove_wrong,
)

LOG = "download-ego4d.log"
LOCK = ".download-ego4d.lock"
_log = logging.getLogger(__name__)


class Download:
    """One run of the command. Asks S3 only for what the record beside the data does not say."""

    def __init__(self, config: DownloadConfig):
        self._config, self._root = config, config.data_dir
        self._record = DownloadRecord(self._root)
        self._bucket: Bucket | None = None
        self._annotations = {"dataset": "annotations", "version": config.version}
        wish = asdict(config.wish) | {"scenarios": sorted({name.casefold() for name in config.wish.scenarios})}
        self._videos = {"dataset": config.kind, "version": config.version, **wish}

    def annotations(self) -> Transfer:
        """ego4d.json and the annotation files of the version."""
        known = self._record.find(self._annotations)
        if known is not None and not known.remaining(self._root):
            return known
        s3 = self._s3()
        if s3 is None:
            metadata = RemoteFile(METADATA, METADATA, None)
            folder = self._root / self._config.folder / "annotations"
            there = [RemoteFile(f"{self._config.folder}/annotations/{path.name}", "", None) for path in _json(folder)]
            expected = RemoteFile(f"{self._config.folder}/annotations/narration.json", "", None)
            return Transfer("annotations", (metadata, *(there or [expected])))
        files = s3.manifest(self._config.version, "annotations").values()
        paths = {s3.metadata_file(self._config.version): METADATA}
        paths |= {file: f"{self._config.folder}/annotations/{file.name}" for file in files}
        sizes = s3.sizes(paths)
        absent = [file.name for file, size in sizes.items() if size is None]
        if METADATA in absent or len(absent) == len(sizes):
            raise PipelineError(f"S3 does not give {', '.join(absent[:3])} of {self._config.version}")
        note = (f"not to be had, though listed: {', '.join(absent)}",) if absent else ()
        wanted = (RemoteFile(path, file.uid, sizes[file]) for file, path in paths.items() if sizes[file] is not None)
        return Transfer("annotations", tuple(wanted), notes=note)

    def videos(self) -> Transfer:
        """The videos: those of the record where the same was asked for before, else chosen now."""
        known = self._record.find(self._videos)
        if known is None:
            _log.info("choosing videos: reading %s and the annotations", METADATA)
            return chosen(self._config, self._s3())
        remaining = known.remaining(self._root)
        s3 = self._s3() if remaining or not known.is_exact else None
        if s3 is None:
            return known
        manifest = s3.manifest(self._config.version, self._config.kind)
        gone = [file.uid for file in known.files if file.uid not in manifest]
        if gone:
            raise InputError(
                f"Ego4D's manifest no longer lists {gone[0]} and {len(gone) - 1} more of the videos chosen"
            )
        sizes = s3.sizes(manifest[file.uid] for file in known.files)
        files = tuple(RemoteFile(file.path, file.uid, sizes[manifest[file.uid]]) for file in known.files)
        return Transfer(known.dataset, files, known.videos, known.gb_per_hour)

    def check_space(self, transfer: Transfer) -> None:
        """PipelineError where the disk has not room for what is to be fetched."""
        needed, free = transfer.size(transfer.remaining(self._root)), self.free_bytes()
        if needed > free:
            raise PipelineError(
                f"{in_bytes(needed)} are to be fetched and {in_bytes(free)} are free in {self._root}; make room, or "
                "ask for less with --num-videos, --max-gb or --max-hours"
            )

    def free_bytes(self) -> int:
        return shutil.disk_usage(commit.existing_parent(self._root)).free

    def fetch(self, transfer: Transfer) -> None:
        """Call the client for what is not there, and check what came. What was asked for is recorded first."""
        client.program()
        commit.make_folder(self._root)
        lock = commit.Lock(self._root / LOCK)
        try:
            self.refuse_foreign(transfer)
            self._record.save(self._options(transfer), transfer)
            if remaining := transfer.remaining(self._root):
                remove_leftovers(self._root, transfer)
                remove_wrong(self._root, transfer)
                self._run_client(transfer, remaining, lock)
                self._check(transfer)
        finally:
            lock.close()

    def refuse_foreign(self, transfer: Transfer) -> None:
        """InputError where a file would be replaced that no download into this folder asked for, or its log."""
        asked_for = self._record.asked_for()
        foreign = [file.path for file in transfer.files if file.state(self._root) == "wrong"]
        foreign = [path for path in foreign if path not in asked_for]
        if not self._record.is_there and exists(self._root / LOG):
            foreign.append(LOG)
        if foreign:
            raise InputError(
                f"{self._root / foreign[0]} would be replaced, and no download into this folder has fetched it; move "
                "it away, or choose another --data-dir"
            )

    def _run_client(self, transfer: Transfer, remaining: list[RemoteFile], lock: commit.Lock) -> None:
        is_of_videos = transfer.dataset != "annotations"
        uids = sorted(file.uid for file in remaining) if is_of_videos else ()
        config = self._config
        with Progress(transfer.size(remaining) // 10**6 or None, f"fetching {transfer.dataset}", "MB") as progress:

            def tick() -> None:
                progress.update(max(bytes_there(self._root, remaining) // 10**6 - progress.count, 0))

            log = self._root / LOG
            try:
                client.run(self._root, transfer.dataset, config.version, config.profile, uids, log, lock.fileno(), tick)
            finally:
                remove_leftovers(self._root, transfer)

    def _check(self, transfer: Transfer) -> None:
        remaining = transfer.remaining(self._root)
        if not remaining:
            return
        there = f"{len(transfer.files) - len(remaining)} of {len(transfer.files)} files are there"
        needed, free = transfer.size(remaining), self.free_bytes()
        if needed > free:  # the log may have found no room to say so
            raise PipelineError(
                f"the disk is full: {there} and are kept, the others take {in_bytes(needed)} and {in_bytes(free)} are "
                "free; make room and run the same command again"
            )
        known = refusal(client.said(self._root / LOG), self._config.profile)
        if known is not None:
            known.args = (f"{known}; {there}",)
            raise known
        raise PipelineError(
            f"Ego4D's client ended and {there}, {remaining[0].path} is not; run the same command again. Its last "
            f"words, of {self._root / LOG}:"
        ).with_details(client.last_lines(self._root / LOG))

    def _s3(self) -> Bucket | None:
        """S3, where boto3 is installed here. It comes with the client, unless that is a program of its own."""
        if self._bucket is None:
            client.program()
            self._bucket = Bucket(self._config.profile) if bucket.is_to_be_had() else None
        return self._bucket

    def _options(self, transfer: Transfer) -> dict:
        return self._annotations if transfer.dataset == "annotations" else self._videos


def _json(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json")) if folder.is_dir() else []
