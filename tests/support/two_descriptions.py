"""An MP4 whose samples have two sample descriptions, as editing programs write it; made box by box."""

import struct
from pathlib import Path

import av

UNITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TICKS, STEP = 1000, 100  # per second, of one sample


def write_two_descriptions(path: Path, *parts: Path) -> Path:
    """The samples of H.264 MP4 files without B-frames, each file with a description of its own."""
    samples, entries, keys = [], [], []
    for part in parts:
        with av.open(str(part)) as source:
            stream = source.streams.video[0]
            packets = [packet for packet in source.demux(stream) if packet.size]
            context = stream.codec_context
            entries.append(_entry(context.width, context.height, bytes(context.extradata)))
        before = sum(map(len, samples))
        keys += [before + n for n, packet in enumerate(packets) if packet.is_keyframe]
        samples.append([bytes(packet) for packet in packets])
    head = _box(b"ftyp", b"isom", bytes(4), b"isom")
    offsets = [len(head) + 8 + sum(len(s) for before in samples[:n] for s in before) for n in range(len(samples))]
    data = [sample for part in samples for sample in part]
    table = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">II", 0, len(entries)), *entries),
        _box(b"stts", struct.pack(">4I", 0, 1, len(data), STEP)),
        _box(
            b"stsc",
            struct.pack(">II", 0, len(samples)),
            *(struct.pack(">3I", n + 1, len(part), n + 1) for n, part in enumerate(samples)),
        ),
        _box(b"stsz", struct.pack(f">{3 + len(data)}I", 0, 0, len(data), *map(len, data))),
        _box(b"stco", struct.pack(f">{2 + len(offsets)}I", 0, len(offsets), *offsets)),
        _box(b"stss", struct.pack(f">{2 + len(keys)}I", 0, len(keys), *(key + 1 for key in keys))),
    )
    path.write_bytes(head + _box(b"mdat", *data) + _movie(table, len(data) * STEP))
    return path


def _movie(table: bytes, duration: int) -> bytes:
    handler = _box(b"hdlr", bytes(8), b"vide", bytes(13))
    references = _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), _box(b"url ", struct.pack(">I", 1))))
    media = _box(
        b"mdia",
        _box(b"mdhd", struct.pack(">5IHH", 0, 0, 0, TICKS, duration, 0x55C4, 0)),
        handler,
        _box(b"minf", _box(b"vmhd", struct.pack(">I8x", 1)), references, table),
    )
    track = _box(
        b"tkhd",
        struct.pack(">6I8xHHHH", 7, 0, 0, 1, 0, duration, 0, 0, 0, 0),
        UNITY,
        struct.pack(">II", 160 << 16, 90 << 16),
    )
    movie = _box(
        b"mvhd",
        struct.pack(">5IIHH8x", 0, 0, 0, TICKS, duration, 1 << 16, 256, 0),
        UNITY,
        bytes(24),
        struct.pack(">I", 2),
    )
    return _box(b"moov", movie, _box(b"trak", track, media))


def _entry(width: int, height: int, configuration: bytes) -> bytes:
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 72 << 16, 72 << 16, 0, 1, 24, -1)
    return _box(b"avc1", head, _box(b"avcC", configuration))


def _box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body
