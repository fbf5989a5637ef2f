"""Results of search-cache as one self-contained page: moments, near-duplicates and outliers with their frames.

Everything that comes from the cache or the query is escaped.
"""

from collections.abc import Sequence
from html import escape

from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.reporting.html.markup import page, thumbnail
from embedonce.pipeline.reporting.html.style import STYLE
from embedonce.pipeline.search.moments import Duplicates, Frame, FramePair, Moment, format_time

THUMBNAIL = (320, 320)  # pixels, at most
PAGE_STYLE = (
    STYLE
    + """
ol.moments,ul.pairs{list-style:none;margin:1rem 0;padding:0;display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,10.5rem),1fr))}
ul.pairs{grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr))}
.moments li,.pairs li{border:1px solid var(--line);border-radius:6px;padding:.6rem;background:var(--raised);
min-width:0}
.moments img,.pairs img{width:100%;height:auto;display:block;border-radius:3px}
.moments figcaption,.pairs figcaption{margin-top:.3rem}.pairs .two{display:flex;gap:.6rem}.pairs figure{flex:1 1 0;
min-width:0}
.score{font-variant-numeric:tabular-nums;color:var(--ink);font-weight:600}.pairs .score{margin:0 0 .4rem}"""
)


def moments_page(cache: str, query: str, moments: Sequence[Moment]) -> str:
    """The document of a search. cache: its place. query: what was searched for. DamagedError as thumbnails."""
    cards = "".join(f"<li>{_figure(moment, _score(rank, moment))}</li>" for rank, moment in enumerate(moments, 1))
    body = f'<ol class="moments">{cards}</ol>' if moments else "<p>There is no other moment.</p>"
    return page(query, PAGE_STYLE, _head(cache, query) + body)


def duplicates_page(cache: str, query: str, found: Duplicates) -> str:
    """The document of near-duplicates and outliers. Arguments as in moments_page()."""
    parts = (
        ("Near-duplicates", "Of each two videos the most similar frames.", found.pairs),
        ("Outliers", "Of each video the frame least similar to all other videos, and the nearest one.", found.outliers),
    )
    body = "".join(f'<h2>{title}</h2><p class="faint">{about}</p>{_pairs(pairs)}' for title, about, pairs in parts)
    return page(query, PAGE_STYLE, _head(cache, query) + body)


def _head(cache: str, query: str) -> str:
    return f'<header><h1>{escape(query)}</h1><p class="faint">{escape(cache)}</p></header>'


def _score(rank: int, moment: Moment) -> str:
    return f'<div class="score">{rank}. cosine {moment.score:.4f}</div>'


def _pairs(pairs: Sequence[FramePair]) -> str:
    cards = "".join(
        f'<li><p class="score">cosine {pair.cosine:.4f}</p>'
        f'<div class="two">{_figure(pair.first)}{_figure(pair.second)}</div></li>'
        for pair in pairs
    )
    return f'<ul class="pairs">{cards}</ul>' if pairs else "<p>None.</p>"


def _figure(frame: Frame, above: str = "") -> str:
    """above: markup at the beginning of the caption."""
    time = format_time(frame.t_sec)
    image = canonical_frame.decode_jpeg(frame.thumbnail, frame.reader.identity.canonical_short_side)
    picture = thumbnail(image, THUMBNAIL, f"frame of {frame.source} at {time}")
    lines = [time, frame.source, *([frame.label] if frame.label else [])]
    return f"<figure>{picture}<figcaption>{above}{'<br>'.join(map(escape, lines))}</figcaption></figure>"
