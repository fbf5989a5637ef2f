"""Class prompts before and after a text tower: which ones it truncates, and the mean of each class."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BATCH = 256  # texts that are embedded, or tokenized, at once
SHOWN = 5
COUNTED_TOKENS = 4096  # most tokens that a text is counted to have
Item = TypeVar("Item")


def mean_directions(prompts: list[list[str]], embed: Callable[[list[str]], Tensor]) -> np.ndarray:
    """(C, D) float32 unit vectors: of each class, the direction of the mean of its texts' unit vectors.

    embed: texts -> (N, D) unit vectors on the CPU. It is called for BATCH texts at most, and once for each different
    text, so that memory does not depend on the number of texts.
    """
    classes_of: dict[str, list[int]] = {}
    for label, texts in enumerate(prompts):
        for text in texts:
            classes_of.setdefault(text, []).append(label)
    sums: Tensor | None = None
    for batch in _batches(list(classes_of)):
        vectors = embed(batch).double()
        if sums is None:
            sums = vectors.new_zeros(len(prompts), vectors.shape[1])
        pairs = [(label, row) for row, text in enumerate(batch) for label in classes_of[text]]
        labels, rows = torch.tensor(pairs).T
        sums.index_add_(0, labels, vectors[rows])
    assert sums is not None  # every class has a text
    return functional.normalize(sums, dim=-1).float().numpy()


def find_long_texts(
    prompts: list[list[str]], tokenizer: Callable[..., Tensor]
) -> tuple[int, int, tuple[tuple[int, str, int], ...]]:
    """(number of texts that a tokenizer truncates, tokens that it keeps, (class, text, tokens) of the first ones)."""
    pairs = [(label, text) for label, texts in enumerate(prompts) for text in texts]
    context, count = tokenizer([""]).shape[1], 0
    first: list[tuple[int, str]] = []
    for batch in _batches(pairs):
        long = _truncated([text for _, text in batch], tokenizer)
        count += len(long)
        first += [batch[i] for i in long[: SHOWN - len(first)]]
    lengths = _lengths([text for _, text in first], tokenizer)
    return count, context, tuple((*pair, length) for pair, length in zip(first, lengths, strict=True))


def _truncated(texts: list[str], tokenizer: Callable[..., Tensor]) -> list[int]:
    """The places of the texts that are truncated."""
    tokens = tokenizer(texts)
    longer = tokenizer([*texts, ""], context_length=tokens.shape[1] + 1)
    padding, longer = longer[-1, -1], longer[:-1]
    is_truncated = (longer[:, -1] != padding) | (longer[:, :-1] != tokens).any(1)
    return is_truncated.nonzero().flatten().tolist()


def _lengths(texts: list[str], tokenizer: Callable[..., Tensor]) -> list[int]:
    """The number of tokens of each text, at most COUNTED_TOKENS."""
    if not texts:
        return []
    tokens = tokenizer([*texts, ""], context_length=COUNTED_TOKENS)
    return (tokens[:-1] != tokens[-1, -1]).sum(1).tolist()


def _batches(items: list[Item]) -> Iterator[list[Item]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))
