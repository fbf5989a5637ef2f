"""The contact sheet in Chromium: it loads nothing, complains of nothing, fits a phone; filter, map and keys work."""

from pathlib import Path

import pytest

from tests.commands.test_cli import call
from tests.support.devtools import Page, opened
from tests.support.sheet_cache import CLASSES, SOURCES, make_sheet_cache

pytestmark = pytest.mark.browser
NAMES = '[...document.querySelectorAll(".video:not([hidden]) .name")].map((name) => name.textContent)'
POINTS = 'document.querySelectorAll("#points use:not(.out)").length'
MATCHES = 'document.getElementById("matches").textContent'
SHOWN = 'document.getElementById("shown")'
CHOSEN = '[document.activeElement.dataset.frame, document.activeElement.getAttribute("aria-label")]'


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    root = make_sheet_cache(folder / "cache")
    call("inspect-cache", "--cache-dir", root, "--html", folder / "sheet.html")
    return folder / "sheet.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(browser, page) -> Page:
    browser.resize(1400, 900)
    browser.open("about:blank")
    browser.requests.clear()
    browser.open(page.as_uri())
    return browser


def test_nothing_is_loaded_and_nothing_complained_of(tab, page):
    assert tab.run(NAMES)[0] == SOURCES["lost"] and len(tab.run(NAMES)) == 6
    assert tab.run("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert tab.requests == [page.as_uri()] and tab.complaints == []
    assert tab.run("document.scripts.length") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1366, 1920])
def test_it_fits_and_text_has_contrast(tab, width, scheme):
    tab.prefer(scheme)
    tab.resize(width, 844)
    assert tab.run("document.documentElement.scrollWidth") <= width
    if width > 390:
        assert tab.run("document.querySelector('main').getBoundingClientRect().width") > 0.88 * width
    shades = "(color) => color.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3"
    style = "getComputedStyle(document.body)"
    ink, ground = (tab.run(f"({shades})({style}.{name})") for name in ("color", "backgroundColor"))
    assert abs(ink - ground) > 150 and (ink > ground) == (scheme == "dark")


def test_the_filter_keeps_what_matches_all_words(tab):
    tab.run('document.getElementById("filter").focus()')
    tab.type("KITCHEN take")
    assert set(tab.run(NAMES)) == {SOURCES[uid] for uid in ("copy", "take2", "take10")}
    assert tab.run(MATCHES) == "3 videos, 72 frames" and tab.run(POINTS) == 72
    assert tab.run(f"{SHOWN}.querySelector('h3').textContent").startswith("kitchen/")
    reachable = "[...document.querySelectorAll('#points use[tabindex=\"0\"]')].map((point) => point.className.baseVal)"
    assert len(tab.run(reachable)) == 1 and "out" not in tab.run(reachable)[0]
    tab.type(" <bread>")
    assert tab.run(MATCHES) == "3 videos, 24 frames" and tab.run(POINTS) == 24
    tab.type(" none")
    assert tab.run(NAMES) == [] and tab.run(POINTS) == 0 and tab.run(MATCHES) == "0 videos, 0 frames"


def test_a_split_is_chosen(tab):
    tab.run('const s = document.getElementById("split"); s.value = "val"; s.dispatchEvent(new Event("change"))')
    assert set(tab.run(NAMES)) == {SOURCES[uid] for uid in ("copy", "take10")}
    assert "split=val" in tab.run("location.hash")


def test_the_address_keeps_filter_and_frame(browser, page):
    browser.open("about:blank")
    browser.open(f"{page.as_uri()}#filter=black&frame=3")
    assert browser.run(NAMES) == [SOURCES["black"]]
    assert "garden/black.mp4" in browser.run(f"{SHOWN}.textContent") and "1.5 s" in browser.run(f"{SHOWN}.textContent")


def test_a_class_of_the_legend_filters(tab):
    script = 'document.querySelector(".legend button").click()'
    tab.run(script)
    shown = tab.run('document.querySelector(".strip:not([hidden]) .label").textContent')
    assert shown in CLASSES and tab.run(POINTS) == 37
    tab.run(script)
    assert tab.run(POINTS) == 112


def test_clicking_a_point_shows_its_frame(tab):
    number = tab.run('document.querySelectorAll("#points use")[60].dataset.frame')
    tab.run(f"""document.querySelector('#points use[data-frame="{number}"]').scrollIntoView({{block: "center"}})""")
    box = f"""document.querySelector('#points use[data-frame="{number}"]').getBoundingClientRect()"""
    x, y = (tab.run(f"{box}.{side} + {box}.{size} / 2") for side, size in (("left", "width"), ("top", "height")))
    tab.click(x, y)
    chosen = int(tab.run(CHOSEN)[0])
    image = 'document.querySelector("{} img").src'
    assert tab.run(image.format("#shown")) == tab.run(image.format(f"#f{chosen}"))
    assert f"frame={chosen}" in tab.run("location.hash")
    at = "document.querySelector('#points use[data-frame=\"{}\"]').getAttribute('{}')"
    places = [[float(tab.run(at.format(frame, axis))) for axis in "xy"] for frame in (number, chosen)]
    assert places[0] == pytest.approx(places[1], abs=4)  # it, or one that covers it


def test_the_map_is_used_with_the_keyboard(tab):
    assert tab.run("document.querySelectorAll('#points use[tabindex=\"0\"]').length") == 1
    tab.run("document.querySelector('#points use[tabindex=\"0\"]').focus()")
    seen = [tab.run(CHOSEN)]
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"):
        tab.press(key)
        seen.append(tab.run(CHOSEN))
    assert len({frame for frame, _ in seen}) >= 3
    name, time = seen[-1][1].split(", ")[:2]
    assert name in SOURCES.values() and time in tab.run(f"{SHOWN}.textContent")
    tab.run("for (const video of document.querySelectorAll('.video')) video.open = false")
    tab.press("Enter")
    assert tab.run("document.activeElement.id") == f"f{seen[-1][0]}"
    assert tab.run("document.activeElement.closest('.video').open")


def test_all_videos_open_and_close(tab):
    tab.run('document.getElementById("close-all").click()')
    assert tab.run('document.querySelectorAll(".video[open]").length') == 0
    tab.run('document.getElementById("open-all").click()')
    assert tab.run('document.querySelectorAll(".video[open]").length') == 6


def test_a_near_duplicate_leads_to_its_frame(tab):
    tab.run('document.querySelector(".pair a").click()')
    assert tab.run("document.activeElement.closest('.video').querySelector('.name').textContent").endswith("take 2.mp4")
