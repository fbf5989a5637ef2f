"""A contact sheet of a cache: one HTML file with its frames, a map of its embeddings, its classes, and what it lacks.

The page loads nothing and runs no script but its own. Everything that comes from the cache is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.reporting.contact_sheet.coloring import color
from embedonce.pipeline.reporting.contact_sheet.contents import Content, read_contents
from embedonce.pipeline.reporting.contact_sheet.distributions import class_table, split_table, splits_of
from embedonce.pipeline.reporting.contact_sheet.duplicates import MOST_PAIRS, duplicates, find_pairs
from embedonce.pipeline.reporting.contact_sheet.embedding_map import map_section
from embedonce.pipeline.reporting.contact_sheet.films import Video, films
from embedonce.pipeline.reporting.contact_sheet.head import controls, head, sampled
from embedonce.pipeline.reporting.contact_sheet.methods import PCA
from embedonce.pipeline.reporting.contact_sheet.names import Names
from embedonce.pipeline.reporting.contact_sheet.problems import problems
from embedonce.pipeline.reporting.contact_sheet.projection import project
from embedonce.pipeline.reporting.contact_sheet.selection import Selection, select
from embedonce.pipeline.reporting.html.markup import page, section
from embedonce.pipeline.reporting.html.style import STYLE

MAX_FRAMES = 3000
MAX_BYTES = 20_000_000  # of the page
READ_BYTES, REMOTE_READ_BYTES = 4 << 30, 512 << 20  # of the shards that frames are taken from
FRAME_MARKUP, BOX_MARKUP = 600, 500  # bytes, about: a frame's caption and point; the rest of a strip, and of a video
FRAME_BYTES = 3000  # room for each frame, so that its thumbnail is worth looking at
RETRIES = 8
TITLES = {
    "map": "Map of the embeddings",
    "classes": "Classes",
    "splits": "Splits",
    "problems": "What is missing",
    "duplicates": "Near-duplicates",
    "videos": "Videos",
}


@dataclass(frozen=True)
class Limits:
    """frames, and bytes of the page, at most; read_bytes: of the shards that are read, about."""

    frames: int = MAX_FRAMES
    page_bytes: int = MAX_BYTES
    read_bytes: int | None = None


@dataclass(frozen=True)
class _Fixed:
    """What of a page does not depend on the number of frames, as markup."""

    style: str
    script: str
    head: str
    columns: str

    @property
    def num_bytes(self) -> int:
        return sum(len(part.encode("utf-8", "replace")) for part in self.__dict__.values())


def contact_sheet(
    reader: CacheReader,
    lines: Sequence[str],
    labels: LabelSet | None,
    limits: Limits = Limits(),
    method: str = PCA,
) -> str:
    """The HTML document. DamagedError if a shard cannot be read.

    lines: a summary of the cache. labels: whose clips, classes and predictions are shown. method: of the map.
    """
    names = Names.of(reader)
    fixed = _Fixed(_asset("sheet.css"), _asset("sheet.js"), head(reader, lines, labels), _columns(reader, labels))
    remote = reader.store.keeps_copies
    read_bytes = limits.read_bytes or (REMOTE_READ_BYTES if remote else READ_BYTES)
    frames = min(limits.frames, max(1, (limits.page_bytes - fixed.num_bytes) // FRAME_BYTES))
    for _ in range(RETRIES):
        selection = select(reader, labels, names.uids, frames, read_bytes)
        document = _page(reader, labels, names, selection, fixed, limits.page_bytes, method)
        num_bytes = len(document.encode("utf-8", "backslashreplace"))
        if num_bytes <= limits.page_bytes or frames == 1:
            break
        frames = max(1, int(frames * limits.page_bytes / num_bytes * 0.9))
    return document


def _page(
    reader: CacheReader,
    labels: LabelSet | None,
    names: Names,
    selection: Selection,
    fixed: _Fixed,
    page_bytes: int,
    method: str,
) -> str:
    classes = labels.classes if labels is not None else ()
    videos = [names.video(uid, strips) for uid, strips in selection.by_video.items()]
    room = page_bytes - fixed.num_bytes
    contents = read_contents(reader, labels, selection.frames, _image_bytes(room, selection))
    body = (
        _section("map", _map(selection, contents, labels, names, method))
        + fixed.columns
        + _section("duplicates", duplicates(find_pairs(videos, contents), videos, contents, classes))
        + _section("videos", _videos(videos, contents, classes))
    )
    shown = {anchor: title for anchor, title in TITLES.items() if f'<section id="{anchor}"' in body}
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in shown.items())
    splits = splits_of([strip.clip for strip in selection.strips if strip.clip])
    nav = f'<div class="bar-top"><nav>{links}</nav>{controls(splits)}</div>'
    top = fixed.head + sampled(reader, labels, selection)
    return page(names.title, STYLE + fixed.style, f"{top}{nav}<main>{body}</main>", fixed.script)


def _section(anchor: str, content: str) -> str:
    return section(TITLES[anchor], content, anchor)


def _columns(reader: CacheReader, labels: LabelSet | None) -> str:
    """Classes on the left; splits, and what is missing, on the right."""
    right = _section("problems", problems(reader))
    if labels is None:
        return right
    left, right = _section("classes", class_table(labels)), _section("splits", split_table(labels)) + right
    return f'<div class="columns"><div>{left}</div><div>{right}</div></div>'


def _image_bytes(room: int, selection: Selection) -> float:
    """Bytes that a thumbnail may have: one per frame, one more per video, two more per pair; base64 adds a third."""
    num_frames, num_videos = len(selection.frames), len(selection.by_video)
    markup = num_frames * FRAME_MARKUP + (num_videos + len(selection.strips)) * BOX_MARKUP
    num_images = num_frames + num_videos + min(2 * MOST_PAIRS, num_frames)
    return max(room - markup, 0) / max(num_images, 1) * 3 / 4


def _map(selection: Selection, contents: Sequence[Content], labels: LabelSet | None, names: Names, method: str) -> str:
    if not contents:
        return "<p>There are no frames to draw.</p>"
    projection = project(np.stack([content.embedding for content in contents]), method)
    return map_section(projection, color(selection, contents, labels, names.sources))


def _videos(videos: Sequence[Video], contents: Sequence[Content], classes: Sequence[str]) -> str:
    return films(videos, contents, classes) if videos else "<p>The cache has no videos yet.</p>"


def _asset(name: str) -> str:
    return files("embedonce.pipeline.reporting.contact_sheet").joinpath(name).read_text("utf-8")
