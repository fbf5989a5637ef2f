"""The store of docs/extending.md works: it conforms, and holds a whole cache."""

import sys
import types
from contextlib import closing

import numpy as np
import pytest

from embedonce.cache.errors import StorageError
from embedonce.cache.store import open_reader
from embedonce.cache.stores import registry
from tests.support.conformance.store import StoreConformance
from tests.support.documentation import ROOT, code_blocks
from tests.support.tiny_cache import make_tiny_cache

MAX_LINES = 40


@pytest.fixture(scope="module")
def code() -> str:
    (code,) = code_blocks(ROOT / "docs" / "extending.md", "Store")
    return code


@pytest.fixture(scope="module")
def example(code):
    """The example as a module; its scheme is registered while the tests of this file run."""
    module = types.ModuleType("sqlite_store")
    sys.modules[module.__name__] = module  # stores are pickled by the name of their module
    exec(compile(code, "docs/extending.md", "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__], registry._FACTORIES["sqlite"]


def test_the_example_is_short(code):
    assert sum(bool(line.strip()) for line in code.splitlines()) <= MAX_LINES


def test_the_example_holds_a_whole_cache(example, tmp_path):
    url = f"sqlite://{tmp_path}/cache.db"
    make_tiny_cache(url, 2)
    make_tiny_cache(tmp_path / "local", 2)
    with closing(open_reader(url)) as ours, closing(open_reader(tmp_path / "local")) as theirs:
        for unit in theirs.records:
            np.testing.assert_array_equal(ours.all_embeddings(unit), theirs.all_embeddings(unit))


def test_a_database_that_cannot_be_opened_is_no_damage(example, tmp_path):
    with pytest.raises(StorageError, match="unable to open"):
        registry.open_store(f"sqlite://{tmp_path}/nowhere/cache.db").get("a")


def test_a_scheme_is_registered_once(example):
    with pytest.raises(ValueError, match="registered already"):
        registry.register_store("sqlite", example.SqliteStore)


class TestTheExampleConforms(StoreConformance):
    between_processes, checks_names = False, False  # its module is known in this process only

    @pytest.fixture(autouse=True)
    def place(self, example, tmp_path):
        self._module, self._url = example, f"sqlite://{tmp_path}/cache.db"

    def make_store(self):
        return self._module.SqliteStore(self._url)
