"""The videos of a contact sheet: each a box to open, with a strip of frames for each of its clips. Markup."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedonce.cache.schema import Status
from embedonce.pipeline.reporting.contact_sheet.contents import Content, representative
from embedonce.pipeline.reporting.contact_sheet.gaps import Gap
from embedonce.pipeline.reporting.contact_sheet.selection import Frame, Strip
from embedonce.pipeline.reporting.contact_sheet.texts import SHORT, counted, file_name, seconds, share, span, text
from embedonce.pipeline.reporting.contact_sheet.thumbnails import Thumbnail
from embedonce.pipeline.reporting.html.markup import embedded

OPEN_FRAMES = 120  # the first videos are open, up to so many frames
MOST_GAPS = 4  # of a strip
SHORT_STRIP, FEW = 5, 3  # pictures; two strips of the one size are side by side, three or four of the other
REASONS = {
    Status.CORRUPT: "could not be decoded",
    Status.REDACTED: "redacted in the annotations",
    Status.MISSING: "the video shows nothing then",
    Status.RESHAPED: "has another shape than the video's other frames",
}


@dataclass(frozen=True)
class Video:
    """name: as the user knows it. about: further texts, such as its length. strips: at least one."""

    uid: str
    name: str
    about: tuple[str, ...]
    strips: tuple[Strip, ...]


def image(thumbnail: Thumbnail, alt: str) -> str:
    """alt: text, not markup."""
    return embedded(thumbnail.data, "webp", (thumbnail.width, thumbnail.height), alt)


def films(videos: Sequence[Video], contents: Sequence[Content], classes: Sequence[str]) -> str:
    """contents: of the frames, by their numbers. classes: names by number."""
    boxes, shown = [], 0
    for video in videos:
        shown += sum(len(strip.frames) for strip in video.strips)
        boxes.append(_box(video, contents, classes, is_open=shown <= OPEN_FRAMES or video is videos[0]))
    return f'<div class="videos">{"".join(boxes)}</div>'


def _box(video: Video, contents: Sequence[Content], classes: Sequence[str], is_open: bool) -> str:
    frames = [frame for strip in video.strips for frame in strip.frames]
    best = representative([contents[frame.number] for frame in frames])
    poster = '<span class="poster"></span>' if best is None else _poster(contents[frames[best].number])
    gaps = sum(gap.count for strip in video.strips for gap in strip.gaps)
    about = [
        *video.about,
        f"{counted(len(frames), 'frame')} shown",
        *([f"{gaps:,} times without a frame"] if gaps else []),
    ]
    uid = "" if video.uid == video.name else f'<small class="uid">{text(video.uid)}</small>'
    strips = "".join(_strip(strip, contents, classes) for strip in video.strips)
    longest = max(len(strip.frames) + len(strip.gaps) for strip in video.strips)
    few = " few" if longest <= FEW else ""
    kind = "video narrow" if len(video.strips) == 1 and longest <= SHORT_STRIP else "video"
    return (
        f'<details class="{kind}"{" open" if is_open else ""}><summary>{poster}<span class="title">'
        f'<b class="name">{file_name(video.name)}</b>{uid}<small class="faint">{" · ".join(map(text, about))}</small>'
        f'</span></summary><div class="strips{few}">{strips}</div></details>'
    )


def _poster(content: Content) -> str:
    return f'<span class="poster">{image(content.image, "")}</span>'


def _strip(strip: Strip, contents: Sequence[Content], classes: Sequence[str]) -> str:
    labels = strip.clip.all_labels if strip.clip else ()
    cells = [(frame.t_sec, _frame(frame, contents[frame.number], labels, classes)) for frame in strip.frames]
    cells += [(gap.start_sec, _gap(gap)) for gap in strip.gaps[:MOST_GAPS]]
    cells.sort(key=lambda cell: cell[0])
    more = sum(gap.count for gap in strip.gaps[MOST_GAPS:])
    rest = f'<p class="faint">{more:,} more times without a frame.</p>' if more else ""
    film = "".join(markup for _, markup in cells)
    kind = "strip" if len(cells) <= SHORT_STRIP else "strip long"
    split = f' data-split="{text(strip.clip.split)}"' if strip.clip else ""
    return f'<section class="{kind}"{split}>{_heading(strip, classes)}<div class="film">{film}</div>{rest}</section>'


def _heading(strip: Strip, classes: Sequence[str]) -> str:
    if strip.clip is None:
        title = "Outside of the clips" if strip.is_outside else "Whole video"
        return f'<h4><span class="faint">{title}</span></h4>'
    clip = strip.clip
    names = ", ".join(text(classes[label], SHORT) for label in clip.all_labels)
    label = f'<b class="label">{names}</b>' if names else '<span class="label faint">no class</span>'
    shown = f"{len(strip.frames):,} of {counted(strip.num_rows, 'frame')}" if strip.num_rows else "no frames"
    about = f"{span(clip.start_sec, clip.end_sec)} · {shown}"
    return f'<h4>{label}<span class="split">{text(clip.split, SHORT)}</span><span class="faint">{about}</span></h4>'


def _frame(frame: Frame, content: Content, labels: Sequence[int], classes: Sequence[str]) -> str:
    right = ' class="true"'
    guesses = "".join(
        f"<li{right if c in labels else ''}><span>{text(classes[c], SHORT)}</span><span>{share(p)}</span></li>"
        for c, p in content.guesses
    )
    guesses = f'<ol aria-label="the teacher\'s most likely classes">{guesses}</ol>' if guesses else ""
    plain = " plain" if content.is_plain else ""
    time = seconds(frame.t_sec)
    return (
        f'<figure class="frame{plain}" id="f{frame.number}" tabindex="-1">{image(content.image, f"frame at {time}")}'
        f"<figcaption><time>{time}</time>{guesses}</figcaption></figure>"
    )


def _gap(gap: Gap) -> str:
    name = gap.status.name.lower()
    times = f" × {gap.count:,}" if gap.count > 1 else ""
    return (
        f'<figure class="gap {name}"><div class="hole">{name}{times}</div><figcaption>'
        f"<time>{span(gap.start_sec, gap.end_sec)}</time><p>{REASONS[gap.status]}</p></figcaption></figure>"
    )
