"""The map of the embeddings: projections, colors, marks, and where the points are."""

import re

import numpy as np
import pytest

from embedonce.pipeline.reporting.contact_sheet.coloring import Coloring, _grouped
from embedonce.pipeline.reporting.contact_sheet.embedding_map import HEIGHT, MAX_STRETCH, WIDTH, _placed, map_section
from embedonce.pipeline.reporting.contact_sheet.projection import principal_components, project


def test_principal_components_are_the_directions_of_the_largest_variance():
    generator = np.random.default_rng(0)
    plane = np.linalg.qr(generator.standard_normal((20, 2)))[0]
    weights = generator.standard_normal((500, 2)) * [5, 2]
    rows = (weights @ plane.T + 0.01 * generator.standard_normal((500, 20)) + 3).astype(np.float32)
    points, share = principal_components(rows)
    centered = weights - weights.mean(0)
    for i in range(2):
        assert abs(np.corrcoef(points[:, i], np.linalg.svd(centered, full_matrices=False)[0][:, i])[0, 1]) > 0.999
    assert share > 0.999
    again, _ = principal_components(rows[::-1])
    assert np.allclose(again[::-1], points, atol=1e-3)  # signs do not change


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((1, 4)), np.ones((5, 4)), np.arange(8.0).reshape(2, 4)])
def test_few_and_equal_rows_have_finite_places(rows):
    projection = project(rows.astype(np.float32), "umap" if len(rows) == 5 else "pca")
    assert projection.points.shape == (len(rows), 2) and np.isfinite(projection.points).all()
    if len(rows):
        assert np.isfinite(_placed(projection.points)).all()


@pytest.mark.slow
def test_umap_keeps_clusters_apart():
    pytest.importorskip("umap", reason="umap-learn is not installed: pip install -e '.[map]'")
    generator = np.random.default_rng(0)
    rows = np.concatenate([np.eye(8)[i] + 0.05 * generator.standard_normal((15, 8)) for i in (0, 1)])
    projection = project(rows.astype(np.float32), "umap")
    first, second = projection.points[:15], projection.points[15:]
    assert np.linalg.norm(first.mean(0) - second.mean(0)) > 3 * max(first.std(0).max(), second.std(0).max())
    assert projection.caption.startswith("UMAP")


def test_points_fill_the_drawing_and_are_hardly_stretched():
    square = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    placed = _placed(square)
    width, height = placed.max(0) - placed.min(0)
    assert 1 < width / height < MAX_STRETCH + 0.01 and (placed > 0).all() and (placed < [WIDTH, HEIGHT]).all()
    assert placed[2, 1] < placed[0, 1]  # upward is up


def test_frequent_groups_have_colors_of_their_own_and_the_others_are_gray():
    keys = [f"c{number}" for number in range(20) for _ in range(40 - number)] + [None] * 7
    coloring = _grouped("class", keys)
    assert coloring.names[:2] == ("c0", "c1") and coloring.names[16:] == ("4 others", "no class")
    assert coloring.counts[16:] == (24 + 23 + 22 + 21, 7) and sum(coloring.counts) == len(keys)
    points = np.random.default_rng(0).standard_normal((len(keys), 2))
    drawing = map_section(project(points.astype(np.float32), "pca"), coloring)
    marks = re.findall(r'<use href="#(\w+)" class="([^"]+)" data-frame="(\d+)"', drawing)
    looks = {keys[int(frame)]: (mark, style) for mark, style, frame in marks}
    assert len({looks[f"c{number}"] for number in range(16)}) == 16
    assert {looks[key] for key in ("c16", "c19", None)} == {("mg", "gray")}
    assert drawing.count("data-filter") == 16


def test_a_legend_of_predictions_filters_nothing():
    coloring = Coloring("the teacher's most likely class", ("a",), (2,), (0, 0), 1)
    assert "data-filter" not in map_section(project(np.eye(2, dtype=np.float32), "pca"), coloring)
