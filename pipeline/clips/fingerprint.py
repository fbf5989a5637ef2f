"""What tells the clips of data sets apart: their labels and frames, and the shards that determine their order."""

import hashlib

from embedonce.pipeline.clips.dataset import ClipDataset


def fingerprint(*datasets: ClipDataset) -> str:
    """SHA-256 (16 digits) of the clips, their labels and frames, and of the shards that determine their order."""
    digest = hashlib.sha256()
    for data in datasets:
        for line in data.described_clips():
            digest.update(f"{line}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
