"""How many workers a cluster gets, and what each of them has."""

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.cluster.shares import Node, Share, share_out

SMALL, LARGE, GPUS = Node(2, 0), Node(16, 0), Node(32, 8)


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "share"),
    [
        ([SMALL], "auto", None, Share(1, 2, 0)),
        ([SMALL], "cpu", 2, Share(2, 1, 0)),
        ([SMALL], "cpu", 5, Share(5, 1, 0)),
        ([LARGE, LARGE, SMALL], "auto", None, Share(3, 8, 0)),
        ([LARGE, LARGE], "auto", 4, Share(4, 8, 0)),
        ([LARGE, LARGE], "auto", 3, Share(3, 8, 0)),
        ([GPUS], "auto", None, Share(8, 4, 1)),
        ([GPUS, Node(4, 1), LARGE], "cuda", None, Share(9, 4, 1)),
        ([GPUS], "cuda", 2, Share(2, 4, 1)),
        ([GPUS], "cpu", None, Share(1, 32, 0)),
        ([Node(1, 2)], "auto", None, Share(2, 1, 1)),
        ([Node(0, 0), SMALL], "auto", None, Share(1, 2, 0)),
        ([], "auto", None, Share(1, 1, 0)),
    ],
)
def test_each_worker_gets_a_gpu_or_all_the_cores_that_there_are(nodes, device, workers, share):
    assert share_out(nodes, device, workers) == share


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--device cuda: no machine"):
        share_out([LARGE], "cuda")
