"""A remote file that is open for reading anywhere: ranges are downloaded when needed, and further ahead the longer a
reader continues. What was downloaded is kept in the run's spool, so that it is downloaded once.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from embedonce.cache.stores.request_errors import ShortBodyError
from embedonce.pipeline.remote_files.addresses import encoded, file_system, is_web, shown
from embedonce.pipeline.remote_files.failures import NoRangesError, RemoteError
from embedonce.pipeline.remote_files.retries import with_retries
from embedonce.pipeline.remote_files.spool import BLOCK_BYTES, SpooledFile

if TYPE_CHECKING:
    from embedonce.pipeline.remote_files.remote_file import RemoteFile

MAX_AHEAD = 128  # blocks of one request: 8 MiB
MAX_READERS = 16  # places in a file that are read in turns, such as its video and its audio
STREAM_BYTES = 1 << 20
_NO_RANGES = "range requests"  # in fsspec's message


class RangedFile(io.RawIOBase):
    """Reads one version of a remote file. RemoteError if it cannot be read, or if it changed meanwhile.

    A read never returns fewer bytes because of a broken connection: at the end of the file only.
    """

    def __init__(self, file: "RemoteFile", spooled: SpooledFile):
        self.name = file.name  # demuxers recognize raw streams by it
        self._file, self._spooled = file, spooled
        self._position = 0
        self._ahead: dict[int, int] = {}  # next block of a reader -> how many blocks to download there
        self._remote: Any = None  # the open file of fsspec
        self._has_fetched = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.num_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        start = self._position
        stop = min(start + len(view), self._file.num_bytes)
        if stop <= start:
            return 0
        first, last = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        if self._spooled.first(False, first, first + 1) == first:
            self._download(first)
        stop = min(stop, self._spooled.first(False, first, last) * BLOCK_BYTES)
        count = self._spooled.read_into(view[: stop - start], start)
        self._position += count
        return count

    def close(self) -> None:
        """RemoteError if the file was changed while it was downloaded."""
        if self.closed:
            return
        super().close()
        if self._remote is not None:
            self._remote.close()
        try:
            if self._has_fetched:
                self._file.check_version()
        except RemoteError:
            self._spooled.discard()  # it may hold bytes of two versions
            raise
        finally:
            self._spooled.close()

    def _download(self, first: int) -> None:
        """Download the missing blocks from this one on: twice as many as before if a reader continues here."""
        self._has_fetched = True
        spooled, ahead = self._spooled, self._ahead.pop(first, 1)
        spooled.keep_within_limit()
        stop = spooled.first(True, first + 1, min(first + ahead, spooled.num_blocks))
        try:
            data = with_retries(lambda: self._range(first * BLOCK_BYTES, stop * BLOCK_BYTES), self._file.url)
            self._store(first, data)
        except NoRangesError:
            self._download_whole()
        following = spooled.first(False, stop, min(stop + MAX_AHEAD, spooled.num_blocks))
        self._ahead[following] = min(2 * ahead, MAX_AHEAD)
        if len(self._ahead) > MAX_READERS:
            del self._ahead[next(iter(self._ahead))]

    def _range(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop) of the file, or up to its end."""
        stop = min(stop, self._file.num_bytes)
        if self._remote is None:
            self._remote = self._open_remote(cache_type="none")
        try:
            self._remote.seek(start)
            data = self._remote.read(stop - start)
        except ValueError as error:
            if _NO_RANGES not in str(error):
                raise
            raise NoRangesError(str(error)) from error
        if len(data) != stop - start:
            raise ShortBodyError(f"{len(data)} of {stop - start} bytes arrived")
        return data

    def _download_whole(self) -> None:
        """For servers that ignore ranges."""
        if not self._spooled.reserve():
            raise RemoteError(
                f"{shown(self._file.url)} has {self._file.num_bytes} bytes, its server sends whole files only, and the "
                "temporary folder lacks the space: set TMPDIR to a larger one"
            )
        with_retries(self._stream, self._file.url)

    def _stream(self) -> None:
        block = 0
        for data in self._pieces():
            self._store(block, data)
            block += len(data) // BLOCK_BYTES

    def _pieces(self) -> Iterator[bytes]:
        """The whole file in pieces of whole blocks, the last one excepted. ShortBodyError if its length is wrong."""
        received, waiting = 0, bytearray()
        with self._open_remote(block_size=0) as remote:
            while data := remote.read(STREAM_BYTES):
                received += len(data)
                waiting += data
                whole = len(waiting) // BLOCK_BYTES * BLOCK_BYTES
                if whole and received < self._file.num_bytes:
                    yield bytes(waiting[:whole])
                    del waiting[:whole]
        if received != self._file.num_bytes:
            raise ShortBodyError(f"{received} of {self._file.num_bytes} bytes arrived")
        yield bytes(waiting)

    def _open_remote(self, **options: Any) -> Any:
        url = self._file.url
        if is_web(url):
            return file_system(url).open(encoded(url), "rb", size=self._file.num_bytes, **options)
        return file_system(url).open(url, "rb", **options)

    def _store(self, block: int, data: bytes) -> None:
        try:
            self._spooled.write(block, data)
        except OSError as error:
            raise RemoteError(
                f"the temporary copy of {shown(self._file.url)} cannot be written: {error.strerror}; set TMPDIR to a "
                "folder with more space"
            ) from error
