"""The command search-cache: its tables, JSON files and pages, and one sentence for every mistake."""

import json
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.store import open_reader
from embedonce.pipeline.search.moments import Moment
from embedonce.pipeline.search.results_page import moments_page
from embedonce.pipeline.search.search import search
from tests.support.browser import find_chromium, visit
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.main, ["search-cache", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def test_the_table_has_the_best_moments(tiny):
    lines = run("--cache-dir", tiny, "--text", "cup", "--top", 3).splitlines()
    found = search(tiny, text="cup", top=3)
    assert lines[-5] == "Moments like 'cup'" and lines[-4].split() == ["rank", "score", "time", "video", "label"]
    for rank, (line, moment) in enumerate(zip(lines[-3:], found, strict=True), 1):
        time = f"0:00:0{moment.t_sec:.1f}"
        assert line.split() == [str(rank), f"{moment.score:.4f}", time, moment.video_uid, moment.label]


def test_every_kind_of_query_has_its_name(extracted, tmp_path):
    reader = open_reader(extracted)
    (tmp_path / "frame.jpg").write_bytes(reader.frames(next(iter(reader.records))).jpeg(0))
    place = ("--cache-dir", extracted, "--min-gap", 0.5)
    assert "Moments like the image frame.jpg" in run(*place, "--image", tmp_path / "frame.jpg")
    assert "Moments like a.mp4 at 0.5 s" in run(*place, "--video", "a.mp4", "--time", 0.5)
    assert "Moments of class 'stir'" in run(*place, "--class-name", "stir")


def test_a_cache_without_another_moment(tmp_path):
    cache = make_tiny_cache(tmp_path / "one", 1)
    output = run("--cache-dir", cache, "--video", "v0", "--time", 3, "--min-gap", 60, "--html", tmp_path / "page.html")
    assert "There is no other moment." in output and "There is no other moment." in (tmp_path / "page.html").read_text()


def test_the_json_file_has_what_the_library_returns(tiny, tmp_path):
    output = run("--cache-dir", tiny, "--text", "cup", "--json", tmp_path / "found.json")
    document = json.loads((tmp_path / "found.json").read_text())
    assert output.splitlines()[-1] == f"results: {tmp_path / 'found.json'}"
    assert document["moments"] == [moment.as_dict() for moment in search(tiny, text="cup")]
    assert document["query"]["text"] == "cup" and document["cache"] == str(tiny)
    run("--cache-dir", tiny, "--duplicates", "--threshold", 0.9, "--json", tmp_path / "found.json")
    document = json.loads((tmp_path / "found.json").read_text())
    assert len(document["pairs"]) == 10 and document["pairs"][0]["first"]["video_uid"].startswith("v")


def test_near_duplicates_are_listed(tiny):
    output = run("--cache-dir", tiny, "--duplicates", "--threshold", 0.9, "--top", 4)
    assert "Frames of different videos with a cosine of 0.9 or more: 4 pairs of videos" in output
    assert output.count("cosine ") == 3 and "Outliers, each with the nearest frame of another video" in output
    assert "None." in run("--cache-dir", tiny, "--duplicates", "--threshold", 1)


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_the_moments(tiny, tmp_path):
    run("--cache-dir", tiny, "--text", "cup", "--html", tmp_path / "found.html")
    page = Page((tmp_path / "found.html").read_text())
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 10 and all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert "Moments like 'cup'" in page.text and "1. cosine 0." in page.text
    run("--cache-dir", tiny, "--duplicates", "--threshold", 0.9, "--html", tmp_path / "found.html")
    page = Page((tmp_path / "found.html").read_text())
    assert sum(tag == "img" for tag, _ in page.tags) == 2 * 10 + 2 * 10 and "Outliers" in page.text


def test_everything_on_the_page_is_escaped(tiny):
    reader, nasty = open_reader(tiny), "<script>alert('&amp;')</script>"
    moment = Moment("v0", nasty, 1.0, nasty, reader, "000000", 0, score=0.5)
    page = Page(moments_page(nasty, nasty, [moment]))
    assert "script" not in {tag for tag, _ in page.tags} and page.text.count(nasty) == 5
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == [f"frame of {nasty} at 0:00:01.0"]


@pytest.mark.browser
@pytest.mark.parametrize("size", ["390,800", "1200,800"])
def test_the_page_loads_nothing_and_fits_a_phone(tiny, tmp_path, size):
    run("--cache-dir", tiny, "--text", "cup", "--html", tmp_path / "found.html")
    visited = visit(find_chromium(), tmp_path / "found.html", tmp_path, f"--window-size={size}")
    assert visited.console == () and visited.requests == () and visited.dom.count("<img ") == 10


def test_files_of_others_are_not_replaced(tiny, tmp_path):
    for option in ("--html", "--json"):
        path = tmp_path / f"mine{option}"
        path.write_text("mine")
        query = ("--cache-dir", tiny, "--text", "cup", option, path)
        assert "was not written by search-cache" in run(*query, code=2)
        assert path.read_text() == "mine"
        run(*query, "--overwrite")
        run(*query)
        assert path.read_text() != "mine"


def test_results_are_two_files_outside_of_caches(tiny, tmp_path):
    query = ("--cache-dir", tiny, "--text", "cup")
    same = (*query, "--html", tmp_path / "found", "--json", tmp_path / "." / "found")
    assert "--json and --html are both" in run(*same, code=2)
    for option in ("--html", "--json"):
        assert "is inside the cache" in run(*query, option, tiny / "found", code=4)
    assert not (tmp_path / "found").exists() and not (tiny / "found").exists()


def test_a_missing_folder_is_named_before_any_work(tiny, tmp_path, loader):
    for option in ("--html", "--json"):
        output = run("--cache-dir", tiny, "--text", "cup", option, tmp_path / "gone" / "file", code=2)
        assert f"there is no folder {tmp_path / 'gone'}; make it, or choose another {option}" in " ".join(
            output.split()
        )
    assert loader.loaded == [] and not (tmp_path / "user").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing to search for: give --text TEXT, --image FILE"),
        (["--text", "a", "--video", "v1", "--time", "1"], 2, "--text and --video exclude each other: give one of them"),
        (["--text", ""], 2, "--text must be a text that is not empty, got ''"),
        (["--text", "a", "--top", "0"], 2, "--top must be greater than 0, got 0"),
        (["--video", "v99", "--time", "1"], 2, "has no video 'v99' (did you mean"),
        (["--video", "v1", "--time", "99"], 2, "--time 99 is outside of video v1, whose frames in the cache are from"),
        (["--video", "v1"], 2, "--video and --time belong together"),
        (["--image", "gone.jpg"], 2, "gone.jpg"),
        (["--image", __file__], 2, "it is not an image of a format that can be read"),
        (["--class-name", "red"], 2, "label set 'tiny' has no vectors of its classes"),
        (["--text", "a", "--split", "test"], 2, "no clip with a frame in split test"),
        (["--text", "a", "--label-set", "b"], 4, "no label set 'b'"),
        (["--text", "a", "--student", "gone.pt"], 4, "gone.pt"),
        (["--duplicates", "--threshold", "2"], 2, "--threshold must be between -1 and 1, got 2.0"),
    ],
)
def test_every_mistake_is_one_sentence(tiny, arguments, code, message):
    output = run("--cache-dir", tiny, *arguments, code=code)
    assert message in " ".join(output.split())
    assert sum(line.startswith("Error: ") for line in output.splitlines()) == 1


def test_the_help_and_mistakes_load_no_torch(tmp_path):
    code = """
import sys
from embedonce import cli
for arguments in (["search-cache", "--help"], ["search-cache"], ["search-cache", "--text", "a", "--top", "0"]):
    try:
        cli.main(arguments)
    except SystemExit:
        pass
print([name for name in ("torch", "open_clip", "av") if name in sys.modules], file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert ran.stderr.splitlines()[-1] == "[]", ran.stderr
