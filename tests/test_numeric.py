"""Nothing rests on the last bits of a matrix product: they depend on the processor, on threads and on a batch's size.

Run with other kernels and numbers of threads by `make numeric`.
"""

import json
import os

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from embedonce.cache.heads import logits_from
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import LOGITS_TOLERANCE, verify
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.models.teachers.open_clip import load_teacher
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import predict
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.extraction.teacher_check import MIN_COSINE, choose_rows, cosines
from embedonce.pipeline.frames import canonical_frame
from tests.extraction.test_runner import StoppingTeacher, check_same_rows, content, make_source, run
from tests.support.fake_teacher import FakeTeacher, write_zero_shot
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

pytestmark = pytest.mark.numeric
CPU = torch.device("cpu")
SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def rounded_by_batch(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors with an error that depends on how many there are, many times larger than any kernel's."""
    noise = np.random.default_rng(len(vectors)).uniform(-2e-4, 2e-4, vectors.shape)
    return (vectors + noise).astype(np.float32)


class BatchDependent(FakeTeacher):
    """A teacher whose last bits depend on the size of the batch, on every machine."""

    def embed(self, crops):
        return rounded_by_batch(super().embed(crops))


class StoppingBatchDependent(StoppingTeacher):
    def embed(self, crops):
        return rounded_by_batch(super().embed(crops))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("numeric")
    for number, name in enumerate("ab"):
        write_video(root / f"{name}.mp4", 60 + 30 * number)
    return root


def test_the_kernels_are_those_that_were_asked_for():
    """Else the runs with other kernels would prove nothing."""
    asked = os.environ.get("OPENBLAS_CORETYPE")
    found = {info.get("architecture") for info in threadpool_info() if info["internal_api"] == "openblas"}
    if not asked or not found:
        pytest.skip("no kernel was asked for, or numpy has another library than OpenBLAS")
    assert {name.lower() for name in found} == {asked.lower()}


@pytest.mark.slow
def test_batches_of_any_size_make_the_same_cache(folder, tmp_path):
    source = make_source(folder, ["a", "b"])
    for size in (1, 7):
        run(source, tmp_path / str(size), teacher=BatchDependent(), batch_size=size, views=1)
    check_same_rows(content(tmp_path / "1"), content(tmp_path / "7"))


@pytest.mark.slow
def test_a_run_goes_on_where_the_teacher_rounds_otherwise(folder, tmp_path):
    """Stored rows are embedded again in batches of another size: they are the teacher's all the same."""
    source = make_source(folder, ["a", "b"])
    run(source, tmp_path / "whole", teacher=BatchDependent(), batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "cut", teacher=StoppingBatchDependent(), batch_size=4, decode_workers=1)
    assert 0 < open_reader(tmp_path / "cut").num_rows < open_reader(tmp_path / "whole").num_rows
    result, reader, teacher = run(source, tmp_path / "cut", teacher=BatchDependent(), batch_size=3)
    assert result.pending == 0
    check_same_rows(content(tmp_path / "cut"), content(tmp_path / "whole"))
    found = cosines(reader, teacher, choose_rows(reader, 5, seed=0))
    assert found.min() > MIN_COSINE
    writer = open_writer(tmp_path / "cut", reader.identity)
    write_zero_shot(writer, source, teacher)
    writer.close()
    assert verify(tmp_path / "cut", canonical_frame.replayed_crc32).problems == []


def test_logits_of_rows_alone_are_those_of_all_rows():
    generator = np.random.default_rng(0)
    embeddings = generator.standard_normal((37, 3, 64)).astype(np.float16)
    heads = (
        {"class_text": generator.standard_normal((11, 64)).astype(np.float32), "logit_scale": np.float32([100.0])},
        {
            "weight_0": generator.standard_normal((32, 64)).astype(np.float32),
            "bias_0": np.zeros(32, np.float32),
            "weight_1": generator.standard_normal((11, 32)).astype(np.float32),
            "bias_1": np.zeros(11, np.float32),
        },
    )
    for head in heads:
        together = logits_from(head, embeddings)
        alone = np.concatenate([logits_from(head, embeddings[i : i + 1]) for i in range(len(embeddings))])
        np.testing.assert_allclose(alone, together, rtol=0, atol=LOGITS_TOLERANCE * np.abs(together).max() / 10)


def test_a_clip_teacher_says_of_an_image_alone_what_it_says_of_it_among_others(tmp_path):
    (tmp_path / "small-clip.json").write_text(json.dumps(SMALL))
    teacher = load_teacher(str(tmp_path / "small-clip.json"), "random", None, CPU, seed=0)
    crops = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    together = teacher.embed(crops)
    alone = np.concatenate([teacher.embed(crops[i : i + 1]) for i in range(len(crops))])
    np.testing.assert_allclose(alone, together, rtol=0, atol=2e-5)


@pytest.mark.integration
def test_a_student_is_judged_alike_in_batches_of_any_size(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "c", 4))
    labels = reader.label_set()
    data = ClipDataset(reader, labels, list(labels.clips), ClipSampling(2, 128, random=False, seed=0))
    torch.manual_seed(0)
    student = build_student(student_config("tiny", 16, 3, 128), pretrained=False)
    one, all_of_them = (predict(student, data, size, 0, CPU) for size in (1, 12))
    np.testing.assert_allclose(one.embeddings, all_of_them.embeddings, rtol=0, atol=2e-5)
    np.testing.assert_allclose(one.logits, all_of_them.logits, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(one.labels, all_of_them.labels)
    assert one.cosine == pytest.approx(all_of_them.cosine, abs=1e-5)
