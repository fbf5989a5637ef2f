"""Caches behind URLs on the command line."""

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.convert import convert
from embedonce.cache.stores.registry import open_store
from tests.support.planned_cache import make_planned_cache

EXPECTED = (
    ("s4://bucket/cache", 5, "the scheme 's4' is not one of s3, s3a, gs"),
    ("https://user:secret@host/c?sig=secret", 5, "'https://host/c': the scheme 'https' is not one of"),
    ("gs://bucket/cache", 5, "pip install"),
    ("s3:///cache", 5, "has no bucket; write s3://BUCKET/PREFIX"),
    ("s3://user:secret@bucket/cache", 5, "URLs must not contain passwords"),
    ("s3://bucket/../cache", 5, "'..' parts"),
    ("memory://none/cache", 4, "memory://none/cache does not exist; make a cache with"),
)


def invoke(*arguments):
    ran = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.output


@pytest.mark.parametrize(("url", "code", "message"), EXPECTED)
def test_urls_that_name_no_cache_get_one_sentence(url, code, message):
    for command in ("verify-cache", "inspect-cache"):
        found, text = invoke(command, "--cache-dir", url)
        assert found == code and message in text and "secret" not in text
        assert len(text.strip().splitlines()) == 1


def test_folders_with_a_scheme_for_local_files_are_explained():
    code, text = invoke("verify-cache", "--cache-dir", "file:///data/cache")
    assert code == 2 and "give the path itself: /data/cache" in text


def test_a_cache_is_copied_to_a_store_verified_and_copied_back(tmp_path):
    cache, url = make_planned_cache(tmp_path / "cache"), "memory://urls/cache/"
    code, text = invoke("convert-cache", "--cache-dir", cache, "--backend", "hdf5", "--output-dir", url)
    assert code == 0 and "--cache-dir memory://urls/cache" in text, text
    code, text = invoke("verify-cache", "--cache-dir", url, "--no-pixels")
    assert code == 0 and "sound" in text, text
    code, text = invoke("inspect-cache", "--cache-dir", url)
    assert code == 0 and "cache memory://urls/cache, format 1" in text, text
    code, text = invoke("convert-cache", "--cache-dir", url, "--backend", "hdf5", "--output-dir", tmp_path / "back")
    assert code == 0, text
    for path in (cache / "frames").iterdir():
        assert (tmp_path / "back" / "frames" / path.name).read_bytes() == path.read_bytes()


def test_a_repair_in_a_store_moves_files_within_it_and_purging_deletes_them(tmp_path):
    url = "memory://urls/repaired"
    convert(make_planned_cache(tmp_path / "cache"), url, "hdf5")
    before = len(open_store(url).list("frames"))
    code, text = invoke("repair-cache", "--cache-dir", url, "--yes")  # no stored frame of it is a JPEG
    assert "memory://urls/repaired/removed/000001" in text, text
    assert len(open_store(url).list("removed/000001/frames")) == before and not open_store(url).list("frames")
    code, text = invoke("repair-cache", "--cache-dir", url, "--purge", "--yes")
    assert code == 0 and "deleted" in text and not open_store(url).list("removed"), text
