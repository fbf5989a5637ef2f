"""Find missing fragments of a fragmented MP4 by their sequence numbers. Reads bytes, no frames.

ISO/IEC 14496-12: each fragment's header (moof) contains an increasing number (mfhd, section 8.8.5).
"""

import numpy as np

from embedonce.pipeline.video.location import VideoLocation

MIN_ALIKE = 2  # steps from number to number: fewer do not tell how the numbers grow


def missing_before(path: VideoLocation) -> list[int]:
    """File positions, in bytes, of fragments before which others are missing. OSError if the file cannot be read."""
    positions, numbers = _fragments(path)
    steps = np.diff(numbers)
    if not len(steps):
        return []
    values, counts = np.unique(steps, return_counts=True)
    usual = values[counts.argmax()]
    if usual < 1 or counts.max() < max(MIN_ALIKE, len(steps) // 2):
        return []
    return [positions[i + 1] for i in np.flatnonzero(steps > usual)]


def _fragments(path: VideoLocation) -> tuple[list[int], list[int]]:
    """(positions, numbers) of the fragments, from box to box."""
    positions, numbers = [], []
    with path.open("rb") as file:
        end, position = path.stat().st_size, 0
        while position + 8 <= end:
            file.seek(position)
            head = file.read(24)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            if kind == b"moof" and head[12:16] == b"mfhd":
                positions.append(position)
                numbers.append(int.from_bytes(head[20:24], "big"))
            if size < 8:
                break
            position += size
    return positions, numbers
