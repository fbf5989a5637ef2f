"""uids made from file paths, and uids of parts of a recording."""

import hashlib
import random
import uuid

import pytest

from embedonce.cache.schema import MAX_UID_LENGTH, UID_PATTERN
from embedonce.pipeline.naming.uids import (
    escape,
    is_shortened,
    path_uid,
    safe_annotation_uid,
    unescape,
)


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("a/b.mp4", "a_2Fb_2Emp4"),
        ("my_clip", "my_clip"),
        ("a_2F", "a_5F2F"),  # would otherwise read as a slash
        ("a_2f", "a_2f"),  # lower case is no escape
        ("é", "x___C3_A9"),
        ("a_", "a_"),
        ("a_/", "a__2F"),
        ("__ab.mp4", "x____ab_2Emp4"),
        ("x__a", "x_5F_a"),
        ("x_/", "x_5F_2F"),
        ("-a", "x__-a"),
        ("", "x__"),
        ("torchcodec__h264_10bits.mp4", "torchcodec__h264_5F10bits_2Emp4"),
    ],
)
def test_escape_examples(path, uid):
    assert escape(path) == uid
    assert unescape(uid) == path


@pytest.mark.integration
def test_escape_is_reversible_and_injective():
    rng = random.Random(0)
    alphabets = ["_ 5FAa./-é\0x", "_5F", "x_", "x_2Fé", "_-\udcff🙂\n"]
    paths = {"".join(rng.choices(rng.choice(alphabets), k=rng.randint(0, 9))) for _ in range(40_000)}
    uids = {path: escape(path) for path in paths}
    assert len(paths) > 15_000
    assert len(set(uids.values())) == len(paths)
    for path, uid in uids.items():
        assert UID_PATTERN.fullmatch(uid), (path, uid)
        assert unescape(uid) == path


def test_uuids_are_their_own_uids():
    rng = random.Random(1)
    for _ in range(200):
        uid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        assert escape(uid) == uid == safe_annotation_uid(uid)


def test_short_paths_have_reversible_uids():
    assert path_uid("a" * MAX_UID_LENGTH) == "a" * MAX_UID_LENGTH
    for path in ("ApplyEyeMakeup/v_1.mp4", "写字/a.mp4", "-"):
        assert path_uid(path) == escape(path) and unescape(path_uid(path)) == path


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("a" * 120, "a" * 84),
        ("cut bread/" + "視" * 80 + ".mp4", "cut_bread_mp4"),
        ("." * 60, "x"),
    ],
)
def test_long_paths_have_a_readable_head_and_a_hash(path, head):
    found = path_uid(path)
    assert UID_PATTERN.fullmatch(found) and is_shortened(found) and len(found) <= MAX_UID_LENGTH
    assert found.rpartition("_2D")[0] == head
    assert found.rpartition("_2D")[2] == hashlib.sha256(path.encode()).hexdigest()[:32]
    with pytest.raises(ValueError, match="look up the path in the plan of its cache"):
        unescape(found)


@pytest.mark.integration
def test_no_short_path_has_the_uid_of_a_long_one():
    rng = random.Random(3)
    shortened = [path_uid("".join(rng.choices("ab视_-", k=130))) for _ in range(200)]
    assert len(set(shortened)) == 200
    for uid in shortened:
        assert path_uid(uid) != uid  # a file that is called like the uid of another
    pieces = ["_2D", "_", "2D", "-", "x__", "a", "é"]
    assert not any("_2D" in escape("".join(rng.choices(pieces, k=rng.randint(1, 8)))) for _ in range(20_000))


@pytest.mark.parametrize("uid", ["_2F", "a_41", "x__a", "a/b", "a_5Fb"])
def test_unescape_refuses_uids_that_escape_never_returns(uid):
    with pytest.raises(ValueError, match="not the uid of any path"):
        unescape(uid)


@pytest.mark.parametrize("uid", ["../x", "/etc/passwd", "a\0b", "", "a/b", ".", "a.b", "-a", "_a", "a" * 120, "a\n"])
def test_unsafe_annotation_uids_are_refused(uid):
    with pytest.raises(ValueError, match="must be"):
        safe_annotation_uid(uid)
