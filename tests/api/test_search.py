"""search() and Student, as the library offers them."""

import re

import pytest

import embedonce
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return embedonce.open_cache(make_tiny_cache(tmp_path / "cache", 4))


def test_moments_like_a_stored_frame_are_found_in_an_open_cache_and_by_its_path(tiny):
    clip = tiny.clips()[0]
    found = embedonce.search(tiny, video=clip.video, time=1.0, top=3)
    assert [moment.label for moment in found] == [clip.label] * 3 and found[0].score > 0.5
    assert [m.t_sec for m in embedonce.search(str(tiny.path), video=clip.video, time=1.0, top=3)] == [
        m.t_sec for m in found
    ]


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({}, ValueError, "nothing to search for: give text TEXT"),
        ({"txt": "a"}, TypeError, "search() has no argument 'txt'; did you mean 'text'?"),
        ({"html": "a.html", "text": "a"}, TypeError, "search() has no argument 'html'"),
        ({"video": "v1"}, ValueError, "video and time belong together"),
        ({"text": "a", "top": 0}, ValueError, "top must be greater than 0, got 0"),
    ],
)
def test_wrong_queries_end_with_one_sentence(tiny, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        embedonce.search(tiny, **options)


def test_a_student_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint"):
        embedonce.Student.load(tmp_path / "none.pt")
