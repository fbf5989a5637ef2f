"""The contact sheet: what it shows of a cache, escaped, sampled evenly, and within its bytes."""

import base64
import dataclasses
import hashlib
import html
import io
import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from embedonce.cache.errors import DamagedError
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import Status
from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.frames.canonical_frame import encode_canonical
from embedonce.pipeline.reporting.contact_sheet import methods, projection
from embedonce.pipeline.reporting.contact_sheet import sheet as sheet_module
from embedonce.pipeline.reporting.contact_sheet.names import natural
from embedonce.pipeline.reporting.contact_sheet.selection import select
from embedonce.pipeline.reporting.contact_sheet.sheet import READ_BYTES, Limits, contact_sheet
from embedonce.pipeline.reporting.contact_sheet.texts import seconds, size
from tests.commands.test_cli import call, error_of
from tests.conftest import make_batch, make_cache_identity, make_segment
from tests.reporting.test_html_report import Page
from tests.support.sheet_cache import BLACK_BUT, CLASSES, DIM, FPS, GAPS, SOURCES, clips_of, make_sheet_cache
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_sheet_cache(tmp_path_factory.mktemp("sheet") / "cache")


def sheet(root: Path | str, limits: Limits | None = None, label_set: str | None = None, method: str = "pca") -> str:
    with closing(open_reader(root)) as reader:
        labels = reader.label_set(label_set) if reader.label_sets() else None
        return contact_sheet(reader, ["a summary"], labels, limits or Limits(), method)


@pytest.fixture(scope="module")
def text(cache) -> str:
    return sheet(cache)


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def videos_of(text: str) -> dict[str, str]:
    """file -> markup of its box, in order."""
    boxes = text.split('<details class="video')[1:]
    return {plain(re.search(r'<b class="name">(.*?)</b>', box)[1]): box for box in boxes}


def plain(markup: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", markup))


def strips_of(box: str) -> list[str]:
    return box.split('<section class="strip')[1:]


# -- what it shows -------------------------------------------------------------------------------------------------


def test_videos_are_called_by_their_files_in_natural_order(text):
    boxes = videos_of(text)
    assert list(boxes) == sorted(SOURCES.values(), key=natural)
    assert list(boxes).index("kitchen/take 2.mp4") < list(boxes).index(SOURCES["take10"])
    for uid, source in SOURCES.items():
        assert f'<small class="uid">{uid}</small>' in boxes[source]


def test_clips_have_strips_with_times_labels_and_the_teachers_classes(cache, text):
    reader = open_reader(cache)
    strips = strips_of(videos_of(text)[SOURCES["take10"]])
    assert len(strips) == 3 and all('data-split="val"' in strip for strip in strips)
    for clip, strip in zip(clips_of("take10"), strips, strict=True):
        name = CLASSES[clip.label] if clip.label >= 0 else "no class"
        assert name in plain(strip.partition("</h4>")[0])
        times = [float(t) for t in re.findall(r"<time>([\d.]+) s</time>", strip)]
        assert times == [clip.start_sec + i / FPS for i in range(8)]
    logits = reader.all_logits("actions", "000005")[8, 0].astype(float)
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    listed = re.findall(r"<li[^>]*><span>(.*?)</span><span>(.*?) %</span></li>", strips[1])[:3]
    best = np.argsort(-shares)
    assert [html.unescape(name) for name, _ in listed] == [CLASSES[c] for c in best]
    assert listed[0][1] == f"{100 * shares[best[0]]:.0f}"


def test_requested_times_without_a_frame_are_shown_with_their_reasons(text):
    box = videos_of(text)[SOURCES["broken"]]
    found = re.findall(r'<div class="hole">(.*?)</div><figcaption><time>([\d.]+) s', box)
    counted = {status: f" × {len(places)}" if len(places) > 1 else "" for status, places in GAPS.items()}
    expected = {(f"{s.name.lower()}{counted[s]}", f"{places[0] / FPS:.1f}") for s, places in GAPS.items()}
    assert set(found) == expected and len(found) == len(expected)
    assert "redacted in the annotations" in box and "another shape" in box and "could not be decoded" in box
    lost = videos_of(text)[SOURCES["lost"]]
    assert lost.count("corrupt × 8") == 3 and "<img" not in lost and "24 times without a frame" in lost


def test_gaps_outside_of_the_clips_are_shown_too(cache):
    with closing(open_reader(cache)) as reader:
        labels = reader.label_set()
        first = dataclasses.replace(labels, clips=tuple(clip for clip in labels.clips if clip.start_sec == 0))
        selection = select(reader, first, reader.video_uids, 99, READ_BYTES)
        document = contact_sheet(reader, [], first)
    inside, outside = selection.by_video["broken"]
    assert {gap.status for gap in inside.gaps} == {Status.CORRUPT} and outside.is_outside and not outside.frames
    assert {gap.status for gap in outside.gaps} == {Status.REDACTED, Status.RESHAPED, Status.MISSING}
    assert document.count("Outside of the clips") == 2  # of "broken" and "lost"


def test_the_representative_frame_is_not_black(text):
    box = videos_of(text)[SOURCES["black"]]
    poster = re.search(r'<span class="poster"><img alt="" [^>]*src="data:image/webp;base64,([^"]+)"', box)[1]
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(poster)))).std() > 10
    bright = [m for m in re.findall(r'<figure class="frame( plain)?"[^>]*>.*?<time>([\d.]+) s', box) if not m[0]]
    assert [float(time) for _, time in bright] == [BLACK_BUT / FPS]


def test_copies_of_frames_in_other_videos_are_side_by_side(text):
    (pair,) = re.findall(r'<article class="pair">.*?</article>', text)
    assert "cosine 1.000" in pair and "copy of take 2.mp4" in pair and pair.count("<img") == 2


def test_quarantine_and_withdrawn_videos_are_listed_with_what_to_do(page):
    assert "torn <i>.mp4" in page.text and "no frame could be decoded" in page.text
    assert "run extract-teacher again: it is tried again once the file has changed" in page.text
    assert "1 video withdrawn" in page.text and "secret" not in page.text


def test_classes_and_splits_are_counted(text):
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', text)
    cells = {html.unescape(name): [plain(cell) for cell in re.findall("<td>(.*?)</td>", row)] for name, row in rows}
    assert cells[CLASSES[0]][:3] == cells["no class"][:3] == ["4", "2", "6"] and cells["stir"][:3] == ["0", "0", "0"]
    assert cells["train"][:2] == ["12", "4"] and cells["val"][:2] == ["6", "2"]


def test_the_map_has_a_point_for_every_frame_and_a_legend_with_counts(text):
    frames = {int(number) for number in re.findall(r'<figure class="frame[^>]*id="f(\d+)"', text)}
    points = re.findall(r'<use [^>]*data-frame="(\d+)"', text)
    assert Counter(map(int, points)) == Counter(frames) and len(frames) == 112
    legend = text.partition('<ul class="legend"')[2].partition("</ul>")[0]
    assert [int(n) for n in re.findall(r"<b>(\d+)</b>", legend)] == [37, 37, 38] and "no class" in legend


@pytest.mark.parametrize(
    "num_bytes, expected", [(0, "0.0 MB"), (12_340_000, "12.3 MB"), (11_455_300_000, "11.5 GB"), (5e15, "5,000.0 TB")]
)
def test_sizes_have_a_unit_that_suits_them(num_bytes, expected):
    assert size(num_bytes) == expected


@pytest.mark.parametrize(
    "value, expected",
    [(0, "0.0 s"), (59.94, "59.94 s"), (59.996, "1:00.0"), (3723.456, "1:02:03.46"), (-0.5, "−0.5 s")],
)
def test_times_are_short(value, expected):
    assert seconds(value) == expected


# -- nothing of a cache is markup ----------------------------------------------------------------------------------


def test_names_of_a_cache_are_text_and_the_only_script_is_its_own(text, page):
    for name in (*CLASSES, *SOURCES.values()):
        assert name in page.text
    assert [tag for tag, _ in page.elements].count("script") == 1 and not re.search(
        r"<b>|<i>|<bread>", plain_free(text)
    )
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)


@pytest.mark.parametrize("label_sets", [{}, {"actions": "fitted"}])
def test_links_within_the_page_lead_somewhere(tmp_path, label_sets):
    elements = Page(sheet(make_sheet_cache(tmp_path / "c", label_sets))).elements
    anchors = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    assert {a["href"][1:] for _, a in elements if "href" in a} <= set(anchors)


def plain_free(text: str) -> str:
    """Without the elements of that name that the page itself has."""
    return re.sub(r"<b>[\d,]+</b>|<b>actions</b>|<b><span class=\"folder\">", "", text)


# -- sampling and bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_bytes", [150_000, 300_000])
def test_a_page_has_at_most_its_bytes(tmp_path, page_bytes):
    root = make_tiny_cache(tmp_path / "c", 40)
    document = sheet(root, Limits(3000, page_bytes))
    shown = document.count('<figure class="frame')
    assert 0.3 * page_bytes < len(document.encode()) <= page_bytes and 20 < shown <= 600
    assert re.search(rf"{shown} of 600 frames shown, from \d+ of 40 videos and \d+ of 120 clips, at equal", document)


def test_a_page_has_at_most_its_bytes_even_if_its_markup_was_underestimated(cache, monkeypatch):
    for name in ("FRAME_MARKUP", "BOX_MARKUP"):
        monkeypatch.setattr(sheet_module, name, 0)
    monkeypatch.setattr(sheet_module, "FRAME_BYTES", 700)
    document = sheet(cache, Limits(page_bytes=100_000))
    assert 5 < document.count('<figure class="frame') < 112 and len(document.encode()) <= 100_000


def test_frames_are_spread_over_videos_classes_and_time(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 40)
    with closing(open_reader(root)) as reader:
        selection = select(reader, reader.label_set(), reader.video_uids, 90, READ_BYTES)
    assert len(selection.frames) == 90 and len(selection.strips) == 30
    assert set(Counter(strip.clip.label for strip in selection.strips).values()) == {10}
    assert len(selection.by_video) >= 20
    assert all(len(strip.frames) == 3 for strip in selection.strips)
    for strip in selection.strips:
        assert [round(2 * (frame.t_sec - strip.clip.start_sec)) for frame in strip.frames] == [0, 2, 4]


def test_few_shards_are_read_of_a_large_cache(tmp_path, monkeypatch):
    root = make_tiny_cache(tmp_path / "c", 40)
    size = sum(record.num_bytes for record in open_reader(root).records.values())
    read, frames = [], CacheReader.frames
    monkeypatch.setattr(CacheReader, "frames", lambda self, unit: read.append(unit) or frames(self, unit))
    document = sheet(root, Limits(90, read_bytes=size // 4))
    units = sorted(int(unit) for unit in set(read))
    assert 8 <= len(units) <= 10 and units[0] < 4 and units[-1] > 35
    assert document.count('<figure class="frame') == 90


# -- caches that lack something ------------------------------------------------------------------------------------


def test_without_a_label_set_whole_videos_are_shown_and_points_colored_by_video(tmp_path):
    document = sheet(make_sheet_cache(tmp_path / "c", {}))
    assert (
        "The cache has no label set." in document
        and document.count("Whole video") == 6
        and "Colored by video" in document
    )
    assert document.count('<figure class="frame') == 112


def test_without_logits_there_are_labels_and_no_predictions(tmp_path):
    document = sheet(make_sheet_cache(tmp_path / "c", {"plain": "none"}))
    assert "Colored by class" in document and "most likely classes" not in document


def test_several_label_sets_are_named(tmp_path):
    root = make_sheet_cache(tmp_path / "c", {"one": "none", "two": "none"})
    call("inspect-cache", "--cache-dir", root, "--html", tmp_path / "s.html")
    assert "--label-set with one of one, two" in (tmp_path / "s.html").read_text()
    command = ["inspect-cache", "--cache-dir", root, "--label-set", "three", "--html", tmp_path / "t.html"]
    assert "has no label set 'three' (--label-set: one, two)" in error_of(*command, code=4)
    assert not (tmp_path / "t.html").exists()


def test_unlabeled_clips_are_colored_by_the_teachers_prediction(tmp_path):
    document = sheet(make_tiny_cache(tmp_path / "c", 3, labeled=False))
    assert "Colored by the teacher&#x27;s most likely class" in document


def test_an_empty_cache_has_a_sheet(tmp_path):
    open_writer(tmp_path / "c", make_cache_identity()).close()
    document = sheet(tmp_path / "c")
    assert "The cache has no frames yet." in document and "The cache has no videos yet." in document


def test_the_sheet_of_a_cache_behind_a_url_is_the_same(tmp_path, cache):
    fsspec.filesystem("memory").put(f"{cache}/", "/contact-sheet/", recursive=True)
    assert videos_of(sheet("memory://contact-sheet")) == videos_of(sheet(cache))


# -- mistakes ------------------------------------------------------------------------------------------------------


def test_a_damaged_shard_ends_the_command_and_leaves_no_file(tmp_path):
    root = make_sheet_cache(tmp_path / "c")
    path = next((root / "frames").glob("000003*"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError):
        sheet(root)
    before = sorted(tmp_path.iterdir())
    assert "000003" in error_of("inspect-cache", "--cache-dir", root, "--html", tmp_path / "s.html", code=4)
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_folder_is_named_before_any_work(tmp_path, cache):
    place = tmp_path / "none" / "s.html"
    message = error_of("inspect-cache", "--cache-dir", cache, "--html", place)
    assert f"there is no folder {tmp_path / 'none'}" in message and not place.parent.exists()


def test_the_map_is_drawn_by_the_chosen_method(tmp_path, cache, monkeypatch):
    drawn = []
    monkeypatch.setattr(methods, "_UMAP", methods.Requirement((), ""))
    monkeypatch.setattr(projection, "_umap", lambda rows: drawn.append(rows.shape) or rows[:, :2])
    command = ["inspect-cache", "--cache-dir", cache, "--html", tmp_path / "s.html", "--overwrite"]
    call(*command)
    assert drawn == [] and "The first two principal components" in (tmp_path / "s.html").read_text()
    call(*command, "--map", "umap")
    assert drawn == [(112, DIM)] and "UMAP of the teacher" in (tmp_path / "s.html").read_text()


def test_a_strip_shows_only_the_rows_of_its_video_in_a_shared_shard():
    parts = [("000001", 7, make_segment("u", 3)), ("000002", 0, make_segment("u", 1, first_k=4))]
    reader = CacheReader.__new__(CacheReader)
    reader.identity, reader.records, reader._timelines = make_cache_identity(), {}, {}
    reader.__dict__["_segments"] = {"u": parts}
    (strip,) = select(reader, None, ["u"], 9, READ_BYTES).strips
    assert [(frame.unit, frame.row) for frame in strip.frames] == [
        *(("000001", row) for row in (7, 8, 9)),
        ("000002", 0),
    ]
    assert [(gap.status, round(gap.start_sec, 1)) for gap in strip.gaps] == [
        (Status.MISSING, 1.5),
        (Status.MISSING, 2.5),
    ]


def test_a_frame_that_answers_several_requests_is_shown_once(tmp_path):
    segment = make_segment("u", 2, num_views=0)
    row = np.array([0, 0, 0, 1, 1, -1])
    status = np.where(row < 0, Status.MISSING, Status.OK).astype(np.uint8)
    twice = dataclasses.replace(segment, request_k=np.arange(6), request_row=row, request_status=status)
    with closing(open_writer(tmp_path / "c", make_cache_identity(num_views=0))) as writer:
        images = [encode_canonical(np.full((64, 64, 3), shade, np.uint8), 0, 90) for shade in (50, 200)]
        writer.commit_frames("000000", dataclasses.replace(make_batch(twice), jpegs=tuple(images)), {})
    document = sheet(tmp_path / "c")
    assert document.count('<figure class="frame') == 2 and "2 of 2 frames shown" in document


def test_umap_without_its_library_is_refused(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(methods, "_UMAP", methods.Requirement(("umap_that_is_not_there",), "pip install it"))
    command = ["inspect-cache", "--cache-dir", cache, "--html", tmp_path / "s.html", "--map", "umap"]
    assert error_of(*command) == "--map umap needs umap_that_is_not_there; install with: pip install it"
    assert not (tmp_path / "s.html").exists()
