"""Reading embeddings at positions of a timeline: times may show the same frame, and rows may have gaps."""

from dataclasses import replace

import numpy as np

from embedonce.cache.store import open_reader
from embedonce.pipeline.api.embeddings import Column
from tests.support.tiny_cache import make_tiny_cache


def test_rows_are_read_as_the_timeline_names_them(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "cache", 3))
    rows, units = np.array([4, 4, 7, 0, 1]), np.array(["000001"] * 3 + ["000002"] * 2, dtype=object)
    timeline = replace(reader.timeline("v1"), row=rows, unit=units, t_sec=np.arange(5.0))
    found = Column.of(reader, 0, None, np.float16).read(timeline, slice(1, 5))
    first, second = (reader.all_embeddings(unit)[:, 0] for unit in ("000001", "000002"))
    assert np.array_equal(found, np.concatenate([first[[4, 7]], second[[0, 1]]]))
