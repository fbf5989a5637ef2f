"""Downloads a subset of Ego4D: sizes are known before, files are checked after, and it can be run again.

The official client transfers the files (client.py). This module finds what the client does not notice: truncated files,
refusals that it reports as success, and leftovers of a killed run.
"""

import logging
import shutil
from dataclasses import asdict

from embedonce.cache import commit
from embedonce.cache.files import exists
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.ego4d.download import bucket, client
from embedonce.pipeline.sources.ego4d.download.bucket import Bucket
from embedonce.pipeline.sources.ego4d.download.download_plan import DownloadConfig, plan_videos
from embedonce.pipeline.sources.ego4d.download.s3_errors import find_refusal
from embedonce.pipeline.sources.ego4d.download.transfers import (
    DownloadRecord,
    FileState,
    RemoteFile,
    Transfer,
    bytes_on_disk,
    remove_leftovers,
    remove_wrong_sizes,
)
from embedonce.pipeline.sources.ego4d.layout import ANNOTATIONS
from embedonce.pipeline.sources.ego4d.metadata import FILE_NAME

LOG = "download-ego4d.log"
LOCK = ".download-ego4d.lock"
_log = logging.getLogger(__name__)


class Download:
    """One run of download-ego4d. Queries S3 only for what the record in the data folder does not answer."""

    def __init__(self, config: DownloadConfig):
        self._config, self._root = config, config.data_dir
        self._record = DownloadRecord(self._root)
        self._bucket: Bucket | None = None
        self._annotation_options = {"dataset": ANNOTATIONS, "version": config.version}
        scenarios = sorted({name.casefold() for name in config.criteria.scenarios})
        criteria = asdict(config.criteria) | {"scenarios": scenarios}
        self._video_options = {"dataset": config.kind, "version": config.version, **criteria}

    def annotations(self) -> Transfer:
        """Plan ego4d.json and the annotation files of the version."""
        known = self._record.find(self._annotation_options)
        if known is not None and not known.remaining(self._root):
            return known
        s3 = self._s3()
        return self._local_annotations() if s3 is None else self._listed_annotations(s3)

    def _local_annotations(self) -> Transfer:
        """The annotation files on disk, or one that the client will download, without asking S3."""
        folder = f"{self._config.version_folder}/{ANNOTATIONS}"
        local = [RemoteFile(f"{folder}/{path.name}", "", None) for path in sorted((self._root / folder).glob("*.json"))]
        expected = RemoteFile(f"{folder}/narration.json", "", None)
        return Transfer(ANNOTATIONS, (RemoteFile(FILE_NAME, FILE_NAME, None), *(local or [expected])))

    def _listed_annotations(self, s3: Bucket) -> Transfer:
        """The annotation files that S3 lists, with their sizes."""
        folder, version = f"{self._config.version_folder}/{ANNOTATIONS}", self._config.version
        paths = {s3.metadata_file(version): FILE_NAME}
        paths |= {file: f"{folder}/{file.name}" for file in s3.manifest(version, ANNOTATIONS).values()}
        sizes = s3.sizes(paths)
        missing = [file.name for file, size in sizes.items() if size is None]
        if FILE_NAME in missing or len(missing) == len(sizes):
            raise PipelineError(f"{', '.join(missing[:3])} of version {version} cannot be read on S3")
        notes = (f"listed, but missing on S3: {', '.join(missing)}",) if missing else ()
        files = (RemoteFile(path, file.uid, sizes[file]) for file, path in paths.items() if sizes[file] is not None)
        return Transfer(ANNOTATIONS, tuple(files), notes=notes)

    def videos(self) -> Transfer:
        """Plan the videos: those of an earlier request with the same options, else a new selection."""
        known = self._record.find(self._video_options)
        if known is None:
            _log.info("selecting videos: reading %s and the annotations", FILE_NAME)
            return plan_videos(self._config, self._s3())
        remaining = known.remaining(self._root)
        s3 = self._s3() if remaining or not known.is_exact else None
        return known if s3 is None else self._with_current_sizes(known, s3)

    def _with_current_sizes(self, known: Transfer, s3: Bucket) -> Transfer:
        """An earlier request with the sizes that its files have on S3 now."""
        manifest = s3.manifest(self._config.version, self._config.kind)
        gone = [file.uid for file in known.files if file.uid not in manifest]
        if gone:
            raise InputError(
                f"Ego4D's manifest no longer lists {gone[0]} and {len(gone) - 1} more of the selected videos"
            )
        sizes = s3.sizes(manifest[file.uid] for file in known.files)
        files = tuple(RemoteFile(file.path, file.uid, sizes[manifest[file.uid]]) for file in known.files)
        return Transfer(known.dataset, files, known.videos, known.gb_per_hour)

    def check_space(self, transfer: Transfer) -> None:
        """Raise PipelineError if the disk has too little free space for the remaining files."""
        needed, free = transfer.size(transfer.remaining(self._root)), self.free_bytes()
        if needed > free:
            raise PipelineError(
                f"the download needs {in_bytes(needed)}, and {in_bytes(free)} are free in {self._root}; free some "
                "space, or download less with --num-videos, --max-gb or --max-hours"
            )

    def free_bytes(self) -> int:
        """The free space on the disk of the data folder."""
        return shutil.disk_usage(commit.existing_parent(self._root)).free

    def fetch(self, transfer: Transfer) -> None:
        """Download the remaining files with the client and check them. The request is recorded first."""
        client.program()
        commit.make_folder(self._root)
        lock = commit.Lock(self._root / LOCK)
        try:
            self.check_foreign_files(transfer)
            self._record.save(self._options(transfer), transfer)
            if remaining := transfer.remaining(self._root):
                remove_leftovers(self._root, transfer)
                remove_wrong_sizes(self._root, transfer)
                self._run_client(transfer, remaining, lock)
                self._check(transfer)
        finally:
            lock.close()

    def check_foreign_files(self, transfer: Transfer) -> None:
        """Raise InputError if a file or log would be replaced that no download into this folder has requested."""
        requested = self._record.requested_paths()
        wrong = [file.path for file in transfer.files if file.state(self._root) is FileState.WRONG_SIZE]
        foreign = [path for path in wrong if path not in requested]
        if not self._record.has_requests and exists(self._root / LOG):
            foreign.append(LOG)
        if foreign:
            raise InputError(
                f"{self._root / foreign[0]} would be replaced, but no download into this folder created it; move it "
                "away, or choose another --data-dir"
            )

    def _run_client(self, transfer: Transfer, remaining: list[RemoteFile], lock: commit.Lock) -> None:
        uids = sorted(file.uid for file in remaining) if transfer.dataset != ANNOTATIONS else []
        config = self._config
        with Progress(transfer.size(remaining) // 10**6 or None, f"downloading {transfer.dataset}", "MB") as progress:

            def tick() -> None:
                progress.update(max(bytes_on_disk(self._root, remaining) // 10**6 - progress.count, 0))

            log = self._root / LOG
            try:
                client.run(self._root, transfer.dataset, config.version, config.profile, uids, log, lock.fileno(), tick)
            finally:
                remove_leftovers(self._root, transfer)

    def _check(self, transfer: Transfer) -> None:
        remaining = transfer.remaining(self._root)
        if not remaining:
            return
        complete = f"{len(transfer.files) - len(remaining)} of {len(transfer.files)} files are complete"
        needed, free = transfer.size(remaining), self.free_bytes()
        if needed > free:  # the log may have been cut off as well
            raise PipelineError(
                f"the disk is full: {complete} and kept, the others need {in_bytes(needed)} and {in_bytes(free)} are "
                "free; free some space and run the same command again"
            )
        known = find_refusal(client.read_log(self._root / LOG), self._config.profile)
        if known is not None:
            known.args = (f"{known}; {complete}",)
            raise known
        raise PipelineError(
            f"Ego4D's client exited, but only {complete}; {remaining[0].path} is not. Run the same command again. The "
            f"end of its log, {self._root / LOG}:"
        ).with_details(client.last_lines(self._root / LOG))

    def _s3(self) -> Bucket | None:
        """S3, or None if boto3 is not installed, as with a client outside this environment."""
        if self._bucket is None:
            client.program()
            self._bucket = Bucket(self._config.profile) if bucket.is_available() else None
        return self._bucket

    def _options(self, transfer: Transfer) -> dict:
        return self._annotation_options if transfer.dataset == ANNOTATIONS else self._video_options
