"""Pairs of nearly equal frames of different videos, side by side. Markup."""

from collections.abc import Sequence

import numpy as np

from embedonce.pipeline.metrics.near_duplicates import Pair, near_duplicates
from embedonce.pipeline.reporting.contact_sheet.contents import Content
from embedonce.pipeline.reporting.contact_sheet.films import Video, image
from embedonce.pipeline.reporting.contact_sheet.texts import SHORT, counted, file_name, seconds, text

MIN_COSINE = 0.98
MOST_PAIRS, OPEN_PAIRS = 24, 8


def find_pairs(videos: Sequence[Video], contents: Sequence[Content]) -> list[Pair]:
    """The most similar frames of each two videos, by number, best first; frames that show nothing are left out.

    contents: of all frames of the videos, by number.
    """
    uids = [video.uid for video in videos for strip in video.strips for _ in strip.frames]
    rich = [place for place, content in enumerate(contents) if not content.is_plain]
    if len({uids[place] for place in rich}) < 2:
        return []
    embeddings = np.stack([contents[place].embedding for place in rich])
    found = near_duplicates(embeddings, [uids[place] for place in rich], MIN_COSINE, MOST_PAIRS)
    return [Pair(rich[pair.first], rich[pair.second], pair.cosine) for pair in found]


def duplicates(
    pairs: Sequence[Pair], videos: Sequence[Video], contents: Sequence[Content], classes: Sequence[str]
) -> str:
    """The section's content."""
    about = [
        (video.name, seconds(frame.t_sec), ", ".join(classes[c] for c in strip.clip.all_labels) if strip.clip else "")
        for video in videos
        for strip in video.strips
        for frame in strip.frames
    ]
    if not pairs:
        return f"<p>No two frames shown here of different videos have a cosine of {MIN_COSINE} or more.</p>"
    limit = f" The {MOST_PAIRS} most similar pairs are shown." if len(pairs) == MOST_PAIRS else ""
    intro = (
        f"<p>Frames of different videos whose embeddings have a cosine of {MIN_COSINE} or more, the best pair of each "
        f"two videos. Copies in different splits make an evaluation too good.{limit}</p>"
    )
    cards = [_pair(pair, about, contents) for pair in pairs]
    first, rest = "".join(cards[:OPEN_PAIRS]), "".join(cards[OPEN_PAIRS:])
    more = counted(len(cards) - OPEN_PAIRS, "more pair")
    folded = f'<details><summary>{more}</summary><div class="pairs">{rest}</div></details>' if rest else ""
    return f'{intro}<div class="pairs">{first}</div>{folded}'


def _pair(pair: Pair, about: Sequence[tuple[str, str, str]], contents: Sequence[Content]) -> str:
    sides = "".join(
        f'<figure data-of="{number}">{image(contents[number].image, f"frame at {about[number][1]}")}<figcaption>'
        f'<b>{file_name(about[number][0])}</b> <a href="#f{number}"><time>{about[number][1]}</time></a>'
        f"<small>{text(about[number][2], SHORT)}</small></figcaption></figure>"
        for number in (pair.first, pair.second)
    )
    return f'<article class="pair"><p class="cosine">cosine {pair.cosine:.3f}</p><div>{sides}</div></article>'
