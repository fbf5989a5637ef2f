"""The ranges of numbers that options take: wide enough for any use, narrow enough for what computes with them.

Knows names and numbers; of everything that a range is about, only which command's settings check it.
"""

from embedonce.cache.limits import MAX_FPS, MAX_FRAMES_PER_CLIP, MAX_SHORT_SIDE, MAX_VIEWS, MIN_FPS

MAX_SEED = 2**63 - 1  # of a signed 64-bit integer, as the cache's identity stores it
MAX_PROCESSES = 256
MAX_SHARD_FRAMES = 1 << 16
MAX_COUNT = 10**9

# field of settings -> (least, greatest); None: not limited here
RANGES: dict[str, tuple[float | None, float | None]] = {
    "seed": (0, MAX_SEED),
    "fps": (None, MAX_FPS),
    "views": (None, MAX_VIEWS),
    "canonical_short_side": (None, MAX_SHORT_SIDE),
    "num_workers": (None, MAX_PROCESSES),
    "decode_workers": (None, MAX_PROCESSES),
    "frames_per_clip": (None, MAX_FRAMES_PER_CLIP),
    "shard_frames": (None, MAX_SHARD_FRAMES),
    "temperature": (None, 1e3),
    "lr": (None, 1e30),
    "weight_decay": (None, 1e3),
    "alpha": (None, 1e6),
    "beta": (None, 1e6),
    "gamma": (None, 1e6),
    "batch_size": (None, 1 << 16),
    **dict.fromkeys(("epochs", "patience", "accumulate_steps", "calibration_frames", "num_actions"), (None, 10**6)),
    **dict.fromkeys(("num_samples", "num_videos", "checkpoint_steps"), (None, MAX_COUNT)),
}
LEAST_POSITIVE = {"fps": MIN_FPS, "temperature": 1e-3, "video_timeout": 1e-3}


def outside(field: str, value) -> str | None:
    """What a number must be, in words, where it is out of its range; None where it is in it, or is no number.

    Zero, negative and NaN values are judged where the settings say what they may be.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    least, greatest = RANGES.get(field, (None, None))
    if least is not None and value < least:
        return f"{least} or more"
    if 0 < value < LEAST_POSITIVE.get(field, 0):
        return f"at least {LEAST_POSITIVE[field]:g}"
    if greatest is not None and value > greatest:
        return f"at most {greatest if isinstance(greatest, int) else format(greatest, 'g')}"
    return None
