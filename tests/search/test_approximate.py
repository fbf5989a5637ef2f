"""The approximate index by faiss: scores are exact, recall is measured, and a stored index is never trusted."""

import logging
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.runtimes import requirements
from embedonce.pipeline.search import approximate
from embedonce.pipeline.search.approximate import HEAD, ranked
from embedonce.pipeline.search.index_parts import APPROXIMATE
from embedonce.pipeline.search.row_index import open_index
from embedonce.pipeline.search.search import search
from tests.search.test_search_cache import run

pytest.importorskip("faiss")
WIDTH = 24


def make_index(folder, num_units: int = 5, rows: int = 400):
    centers = np.random.default_rng(0).standard_normal((60, WIDTH))

    def vectors(unit: str) -> np.ndarray:
        generator = np.random.default_rng(int(unit))
        made = centers[generator.integers(0, 60, rows)] + 0.3 * generator.standard_normal((rows, WIDTH))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)

    records = {f"{n:06d}": SimpleNamespace(unit=f"{n:06d}", sha256=str(n), num_rows=rows) for n in range(num_units)}
    return open_index(folder, records, WIDTH, vectors, 1000)


def all_scores(index, query) -> np.ndarray:
    return (np.concatenate(index.blocks).astype(np.float64) @ query.astype(np.float64)).astype(np.float32)


def made_query(seed: int = 0) -> np.ndarray:
    query = np.random.default_rng((seed, 9)).standard_normal(WIDTH).astype(np.float32)
    return query / np.linalg.norm(query)


def test_scores_are_exact_and_nearly_all_of_the_best_rows_are_found(tmp_path, caplog):
    index, hits = make_index(tmp_path), []
    with caplog.at_level(logging.INFO):
        for seed in range(20):
            first = next(ranked(tmp_path, index, made_query(seed), None))
            scores = all_scores(index, made_query(seed))
            np.testing.assert_array_equal(first.scores, scores[first.rows])
            assert (np.diff(first.scores) <= 0).all() and first.limit == -np.inf
            hits.append(np.isin(np.argsort(-scores)[:10], first.rows).mean())
    assert np.mean(hits) > 0.9
    (recall,) = {record.args[0] for record in caplog.records if "best frames are found" in record.msg}
    assert 90 < recall <= 100


def test_the_measured_recall_is_that_of_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(approximate, "MIN_SEARCHED", 1)
    monkeypatch.setattr(approximate, "NUM_MEASURED", 2000)
    index = make_index(tmp_path)
    found, facts = approximate._made(tmp_path, index)
    vectors = np.concatenate(index.blocks).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = np.argsort(-(vectors @ np.concatenate(index.blocks).astype(np.float32).T), axis=1)[:, :10]
    returned = found.search(vectors, 10)[1]
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(exact, returned, strict=True)])
    assert recall < 0.99 and facts.recall == pytest.approx(recall, abs=0.005)


def test_only_allowed_rows_are_found(tmp_path):
    index, allowed = make_index(tmp_path), np.arange(2000) % 50 == 0
    *_, last = ranked(tmp_path, index, made_query(), allowed)
    assert len(last.rows) > 10 and (last.rows % 50 == 0).all()


def test_an_index_is_made_once_and_again_for_other_rows(tmp_path, monkeypatch):
    trained, real = [], approximate._trained
    counted = lambda index, width: trained.append(index.num_rows) or real(index, width)  # noqa: E731
    monkeypatch.setattr(approximate, "_trained", counted)
    for num_units in (5, 5, 6, 6):
        index = make_index(tmp_path, num_units)
        assert next(ranked(tmp_path, index, made_query(), None)).rows.max() < index.num_rows
    assert trained == [2000, 2400]


def test_an_index_of_other_rows_is_not_used(tmp_path):
    next(ranked(tmp_path, make_index(tmp_path, 5), made_query(), None))
    shutil.copy2(tmp_path / APPROXIMATE, tmp_path / "kept")
    index = make_index(tmp_path, 6)
    shutil.move(tmp_path / "kept", tmp_path / APPROXIMATE)  # its head is still there
    assert approximate._stored(tmp_path, index) is None
    next(ranked(tmp_path, index, made_query(), None))
    found, _ = approximate._stored(tmp_path, index)
    assert found.ntotal == 2400


def test_nothing_is_left_of_shards_that_were_removed(tmp_path):
    next(ranked(tmp_path, make_index(tmp_path, 5), made_query(), None))
    assert (tmp_path / APPROXIMATE).exists()
    make_index(tmp_path, 4)
    assert not (tmp_path / APPROXIMATE).exists()


@pytest.mark.parametrize(
    ("name", "content"), [(HEAD, b"{}"), (APPROXIMATE, b""), (APPROXIMATE, None), (APPROXIMATE, b"\0" * 300_000)]
)
def test_a_damaged_index_is_made_again_and_named(tmp_path, caplog, name, content):
    index = make_index(tmp_path)
    first = next(ranked(tmp_path, index, made_query(), None))
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(1, 1))
    with caplog.at_level(logging.WARNING):
        second = next(ranked(tmp_path, index, made_query(), None))
    assert "the approximate index is made again" in caplog.text
    np.testing.assert_array_equal(first.rows, second.rows)


def test_moments_are_found_by_the_command(tiny, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        run("--cache-dir", tiny, "--text", "cup", "--index", "faiss", "--index-dir", tmp_path / "index")
    assert "approximate search: 100.0 % of the 10 best frames are found" in caplog.text
    exact, found = (search(tiny, text="cup", index=index) for index in ("exact", "faiss"))
    assert exact == found and len(found) == 10
    assert len(search(tiny, text="cup", index="faiss", split="val", top=500, min_gap=0)) == 60


def test_without_faiss_the_sentence_names_what_to_install(tiny, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--index faiss needs faiss; install with: pip install 'embedonce\[index\]'"):
        search(tiny, text="cup", index="faiss")
