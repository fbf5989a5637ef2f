"""Stored files as the file objects that libraries read."""

import io

from embedonce.cache.stores.base import StoredFile


class StoredFileIO(io.RawIOBase):
    """A stored file as a raw file object, for libraries that read one. Closing it closes the stored file."""

    def __init__(self, file: StoredFile):
        super().__init__()
        self._source, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        size = max(0, min(len(buffer), self._source.size - self._position))
        self._source.read_into(self._position, memoryview(buffer)[:size])
        self._position += size
        return size

    def close(self) -> None:
        self._source.close()
        super().close()
