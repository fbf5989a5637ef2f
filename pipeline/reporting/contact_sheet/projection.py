"""Embeddings as points of the plane: principal components, or UMAP. Arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.reporting.contact_sheet.methods import UMAP

MIN_ROWS_OF_UMAP = 10
NEIGHBORS = 15


@dataclass(frozen=True)
class Projection:
    """points: (N, 2) float64. caption: how they were made, for a reader."""

    points: np.ndarray
    caption: str


def project(embeddings: np.ndarray, method: str) -> Projection:
    """(N, D) float32 embeddings. method: one of METHODS; fewer rows than UMAP needs are always drawn by PCA."""
    if method == UMAP and len(embeddings) >= MIN_ROWS_OF_UMAP:
        return Projection(_umap(embeddings), "UMAP of the teacher's embeddings: near points are similar frames.")
    points, share = principal_components(embeddings)
    text = f"The first two principal components of the teacher's embeddings ({100 * share:.0f} % of their variance)."
    if method == UMAP:
        text += f" UMAP needs {MIN_ROWS_OF_UMAP} frames or more."
    return Projection(points, text)


def principal_components(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, D) -> (N, 2) coordinates along the directions of the largest variance, and their share of it, 0 to 1.

    Signs are fixed: the largest weight of a direction is positive.
    """
    points = np.zeros((len(rows), 2))
    if len(rows) < 2:
        return points, 0.0
    centered = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    _, lengths, directions = np.linalg.svd(centered, full_matrices=False)
    first = directions[:2].T
    first = first * np.sign(first[np.abs(first).argmax(0), np.arange(first.shape[1])])
    points[:, : first.shape[1]] = centered @ first
    total = (lengths**2).sum()
    return points, float((lengths[:2] ** 2).sum() / total) if total > 0 else 0.0


def _umap(embeddings: np.ndarray) -> np.ndarray:
    import umap  # takes seconds

    neighbors = min(NEIGHBORS, len(embeddings) - 1)
    model = umap.UMAP(n_neighbors=neighbors, metric="cosine", random_state=0, n_jobs=1)
    return np.asarray(model.fit_transform(embeddings), np.float64)
