"""Errors about damage carry whether they name the command that helps; general advice is added only to others."""

import pickle

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import documents
from embedonce.cache.commit import to_json
from embedonce.cache.errors import DamagedError, OtherVersionError
from embedonce.cache.store import open_reader
from tests.support.stored import stored
from tests.support.tiny_cache import make_tiny_cache

GENERAL = "repair-cache moves damaged files away"


def inspect(root) -> str:
    ran = CliRunner().invoke(cli.main, ["inspect-cache", "--cache-dir", str(root)])
    assert ran.exit_code == 4
    return ran.output


@pytest.mark.parametrize("folder", ["cache", "repair"])
@pytest.mark.integration
def test_general_advice_follows_an_error_without_advice_whatever_the_folder_is_called(tmp_path, folder):
    root = make_tiny_cache(tmp_path / folder, 1)
    path = root / "records" / "000000.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert GENERAL in inspect(root)


def test_no_general_advice_follows_another_format_version(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 1)
    path = root / "records" / "000000.json"
    path.write_bytes(to_json(documents.read(stored(path)) | {"format_version": 3}))
    assert "format version 3; this program reads versions 1 and 2: use the version of embedonce" in inspect(root)
    assert GENERAL not in inspect(root)


def test_advice_survives_pickling():
    for error in (DamagedError("a", has_advice=True), DamagedError("a"), OtherVersionError("a")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.has_advice) == (type(error), str(error), error.has_advice)
    assert OtherVersionError("a").has_advice and not DamagedError("a").has_advice


def test_an_unknown_back_end_is_named_with_the_known_ones(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 1)
    document = {**documents.read(stored(root / "cache.json")), "backend": "parquet"}
    (root / "cache.json").write_bytes(documents.serialize_with_checksum(document))
    with pytest.raises(DamagedError, match="unknown back end 'parquet'; known are hdf5, webdataset"):
        open_reader(root)
