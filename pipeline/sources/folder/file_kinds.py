"""Recognizes the kind of a file (video, image, text, …) by its name and its first bytes. Opens no file."""

import re
import unicodedata
from pathlib import PurePosixPath

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob"),
    *(".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".mxf", ".h264", ".264", ".h265", ".265", ".hevc"),
    *(".ivf", ".y4m"),
)
VIDEO, IMAGE, AUDIO, TEXT, ARCHIVE, OTHER = "video", "image", "audio file", "text", "archive", "other file"
HIDDEN, UNFINISHED = "hidden or metadata file", "unfinished download or backup"
HEAD_BYTES = 4096  # length of the beginning of a file that kind_of_bytes() needs

_SUFFIXES = {
    IMAGE: ".jpg .jpeg .jpe .png .gif .bmp .tif .tiff .webp .heic .heif .avif .svg .ico .dng .cr2 .nef .arw .thm",
    AUDIO: ".wav .mp3 .m4a .aac .flac .oga .opus .wma .aiff .aif .mka .amr .ac3 .mid",
    TEXT: ".txt .csv .tsv .json .jsonl .xml .yaml .yml .md .rst .srt .vtt .ass .ssa .html .htm .log .ini .cfg .py "
    ".sh .m .nfo .url .toml .bib .tex .gpx .eaf .anvil .list .lst .sha256 .md5",
    ARCHIVE: ".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst .lz4 .tbz .txz .iso .dmg",
    OTHER: ".pdf .doc .docx .xls .xlsx .ppt .pptx .npy .npz .pkl .pickle .pt .pth .h5 .hdf5 .mat .db .sqlite .parquet "
    ".exe .dll .so .pyc .onnx .safetensors .lnk",
}
_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_METADATA = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "folder.jpg:zone.identifier"))
_METADATA_FOLDERS = (
    *("@eadir", "__macosx", "$recycle.bin", "system volume information", "lost+found", "#recycle"),
    *("@recycle", "@tmp", "#snapshot", "__pycache__"),
)
_UNFINISHED = re.compile(
    r".+(?:\.part(?:ial)?|\.crdownload|\.download|\.aria2|\.!ut|\.!qb|\.ytdl|\.filepart|\.tmp|\.temp|\.bak|\.orig"
    r"|\.old|~)",
    re.IGNORECASE | re.DOTALL,
)
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof", b"sidx")
_ISO_IMAGES = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"jxl ", b"crx ")
_ISO_AUDIO = (b"M4A ", b"M4B ", b"M4P ", b"F4A ")
_MAGIC = (
    (b"\x1a\x45\xdf\xa3", VIDEO),  # Matroska and WebM
    (b"FLV\x01", VIDEO),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", VIDEO),  # ASF
    (b"DKIF", VIDEO),
    (b"YUV4MPEG2 ", VIDEO),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", VIDEO),  # MXF
    (b".RMF", VIDEO),
    (b"nut/multimedia container\0", VIDEO),
    (b"\x12\x00\x0a", VIDEO),  # AV1
    (b"\x1f\x07\x00", VIDEO),  # DV
    (b"\0\0\x01\xba", VIDEO),  # MPEG program stream
    (b"\0\0\x01\xb3", VIDEO),  # MPEG video
    (b"\xff\xd8\xff", IMAGE),
    (b"\x89PNG", IMAGE),
    (b"GIF8", IMAGE),
    (b"II*\0", IMAGE),
    (b"MM\0*", IMAGE),
    (b"ID3", AUDIO),
    (b"fLaC", AUDIO),
    (b"PK\x03\x04", ARCHIVE),
    (b"\x1f\x8b", ARCHIVE),
    (b"Rar!", ARCHIVE),
    (b"7z\xbc\xaf", ARCHIVE),
    (b"BZh", ARCHIVE),
    (b"\xfd7zXZ\0", ARCHIVE),
    (b"%PDF", OTHER),
)
_ANNEX_B = re.compile(rb"\0?\0\0\x01(?:[\x27\x47\x67\x09][^\0]|[\x40\x42\x46]\x01)")  # SPS or AUD; HEVC VPS, SPS, AUD


def kind_of_name(name: str) -> str | None:
    """The kind of a file by its name, in any case; None if its bytes must be read to find out."""
    if is_hidden(name) or name.casefold() in _METADATA or name.casefold().endswith(":zone.identifier"):
        return HIDDEN
    if _UNFINISHED.fullmatch(name):
        return UNFINISHED
    suffix = suffix_of(name)
    return VIDEO if suffix in VIDEO_SUFFIXES else _KIND_OF_SUFFIX.get(suffix)


def is_metadata_folder(name: str) -> bool:
    """Whether this is a hidden folder or one that operating systems and tools create: @eaDir, __MACOSX, …"""
    return is_hidden(name) or name.casefold() in _METADATA_FOLDERS


def is_hidden(name: str) -> bool:
    return name.startswith(".")


def suffix_of(name: str) -> str:
    """The suffix in lower case, with its dot; "" if there is none."""
    return unicodedata.normalize("NFKC", PurePosixPath(name).suffix).lower()


def kind_of_bytes(head: bytes) -> str:
    """The kind of a file by its first HEAD_BYTES bytes, or all of it if it is shorter."""
    if head[4:8] in _ISO_BOXES and (head[0] == 0 or head[4:8] == b"mdat"):  # else it may be text, "The free …"
        brand = head[8:12] if head[4:8] == b"ftyp" else b""
        return IMAGE if brand in _ISO_IMAGES else AUDIO if brand in _ISO_AUDIO else VIDEO
    if head[:4] == b"RIFF":
        return {b"AVI ": VIDEO, b"WEBP": IMAGE, b"WAVE": AUDIO}.get(head[8:12], OTHER)
    if head[:4] == b"OggS":
        return VIDEO if b"\x80theora" in head[:256] or b"BBCD" in head[:64] else AUDIO
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return IMAGE
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _is_transport_stream(head) or _ANNEX_B.match(head):
        return VIDEO
    return TEXT if head and _is_text(head) else OTHER


def proxy_of(name: str) -> tuple[str, ...]:
    """Possible names, in lower case without suffix, of the recording that this preview file belongs to.

    Cameras write low-resolution previews next to their recordings: GoPro .LRV, DJI .LRF, Insta360 LRV_…. () for names
    that are not of previews.
    """
    lower = name.lower()
    stem, suffix = str(PurePosixPath(lower).stem), suffix_of(lower)
    if suffix not in (".lrv", ".lrf") and not lower.startswith("lrv_"):
        return ()
    gopro = [prefix + stem[2:] for prefix in ("gx", "gh", "gopr") if stem.startswith("gl")]
    insta = [stem.replace("lrv_", "vid_", 1), stem.replace("lrv_", "vid_", 1).replace("_11_", "_00_")]
    return (stem, *gopro, *insta)


def _is_transport_stream(head: bytes) -> bool:
    return any(
        len(head) > start + 2 * size and all(head[start + n * size] == 0x47 for n in range(3))
        for start, size in ((0, 188), (4, 192), (0, 204))
    )


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) >= HEAD_BYTES  # a character cut off at the end of the head
    return True
