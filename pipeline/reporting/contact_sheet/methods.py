"""The methods that draw a map of embeddings, and what they need. Imports none of them."""

from embedonce.pipeline.runtimes.requirements import Requirement, require

PCA, UMAP = "pca", "umap"
METHODS = (PCA, UMAP)
_UMAP = Requirement(("umap",), "pip install 'embedonce[map]'")


def require_method(method: str) -> None:
    """InputError if the library of a method is not installed."""
    if method == UMAP:
        require(_UMAP, "--map umap")
