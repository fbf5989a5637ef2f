"""ClipBatch: the batch of clips that the loader delivers, as a typed value."""

import pytest
import torch

from embedonce.pipeline.clips.batch import ClipBatch


def items(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the loader collates from two items of three frames."""
    return {
        "frames": torch.zeros(2, 3, 3, 8, 8, dtype=torch.uint8),
        "embeddings": torch.ones(2, 3, 4),
        "mask": torch.tensor([[True, True, False], [True, False, False]]),
        "t_rel_sec": torch.rand(2, 3),
        "label": torch.tensor([1, -1]),
        "index": torch.tensor([5, 2]),
        **more,
    }


def test_a_batch_has_the_parts_of_its_items():
    parts = items(logits=torch.rand(2, 3, 7))
    batch = ClipBatch.from_items(parts)
    assert len(batch) == 2 and batch.labels is parts["label"] and batch.indexes is parts["index"]
    assert [tensor is parts[name] for tensor, name in zip(batch.inputs, ("frames", "t_rel_sec", "mask"), strict=True)]
    targets = batch.targets
    expected = (parts["embeddings"], parts["logits"], parts["label"], parts["mask"])
    found = (targets.embeddings, targets.logits, targets.labels, targets.mask)
    assert all(one is other for one, other in zip(found, expected, strict=True))


def test_a_label_set_without_soft_logits_gives_none():
    assert ClipBatch.from_items(items()).targets.logits is None


@pytest.mark.parametrize("name", items())
def test_a_missing_part_is_an_error(name):
    with pytest.raises(KeyError, match=name):
        ClipBatch.from_items({key: value for key, value in items().items() if key != name})


def test_all_parts_move_to_a_device():
    moved = ClipBatch.from_items(items(logits=torch.rand(2, 3, 7))).to(torch.device("meta"))
    tensors = [
        value for part in (moved, moved.rows) for value in vars(part).values() if isinstance(value, torch.Tensor)
    ]
    assert len(tensors) == 11 and {tensor.device.type for tensor in tensors} == {"meta"}
    assert ClipBatch.from_items(items()).to(torch.device("meta")).logits is None
