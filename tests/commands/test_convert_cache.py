"""The command convert-cache: what is refused before anything is written."""

from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.convert import convert
from embedonce.cache.store import open_reader
from embedonce.cache.stores.local import LocalStore
from tests.support.planned_cache import make_planned_cache


def test_a_conversion_needs_space_for_the_shards_that_are_lacking(tmp_path, monkeypatch):
    make_planned_cache(tmp_path / "a")
    sizes = []
    convert(tmp_path / "a", tmp_path / "b", "hdf5", on_size=sizes.append)
    reader = open_reader(tmp_path / "a")
    records = [*reader.records.values()]
    records += [record for name in reader.label_sets() for record in reader.label_records(name).values()]
    assert sizes == [sum(record.num_bytes for record in records)] and sizes[0] > 1000
    lost = records[0]
    (tmp_path / "b/records" / f"{lost.unit}.json").unlink()
    convert(tmp_path / "a", tmp_path / "b", "hdf5", on_size=sizes.append)
    assert sizes[1] == lost.num_bytes
    monkeypatch.setattr(LocalStore, "free_bytes", lambda store: 1000)
    words = ["convert-cache", "--cache-dir", tmp_path / "a", "--output-dir", tmp_path / "c", "--backend", "webdataset"]
    ran = CliRunner().invoke(cli.main, list(map(str, words)))
    assert ran.exit_code == 5 and "its disk has 1.0 kB free; make space, or choose another --output-dir" in ran.output
    assert not (tmp_path / "c").exists()
