"""Zero-shot label sets of teachers that were trained with a sigmoid loss: a bias beside the logit scale."""

import dataclasses
import json
from contextlib import closing

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache import commit, documents
from embedonce.cache.errors import LabelSetError
from embedonce.cache.heads import check_same_head, logits_from
from embedonce.cache.inspect import summary
from embedonce.cache.labels import LabelSet, label_set_from
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from tests.support.format_reader import FormatReader
from tests.support.planned_cache import make_planned_cache

SCALE, BIAS = 117.5, -12.5
COSINES = {"class_text": np.eye(3, 16, dtype=np.float32), "logit_scale": np.array([SCALE], np.float32)}
HEAD = COSINES | {"logit_bias": np.array([BIAS], np.float32)}
LABELS = LabelSet("words", "zero-shot", ("a", "b", "c"), (), SCALE, {}, logit_bias=BIAS)


def with_labels(root, backend: str, labels: LabelSet = LABELS, head: dict = HEAD):
    make_planned_cache(root, backend)
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        writer.create_label_set(labels, safetensors.numpy.save(head))
        reader = writer.reader()
        for part in reader.plan():
            writer.publish_clips(labels.name, part.part, [])
        for unit, record in reader.records.items():
            if labels.stores_logits:
                logits = logits_from(head, reader.all_embeddings(unit))
                writer.commit_logits(labels.name, unit, record.keys, logits, {})
        writer.write_manifest()
    return root


def test_the_bias_of_a_sigmoid_teacher_is_part_of_its_logits():
    embeddings = np.eye(2, 16, dtype=np.float16)[None]
    expected = [[[SCALE + BIAS, BIAS, BIAS], [BIAS, SCALE + BIAS, BIAS]]]
    np.testing.assert_allclose(logits_from(HEAD, embeddings), expected)


@pytest.mark.parametrize("stores_logits", [True, False])
def test_stored_and_computed_logits_have_the_bias(tmp_path, backend, stores_logits):
    root = with_labels(tmp_path / "c", backend, dataclasses.replace(LABELS, stores_logits=stores_logits))
    reader = open_reader(root)
    assert reader.label_set("words").logit_bias == BIAS and reader.label_set("words").logit_scale == SCALE
    for unit, record in reader.records.items():
        if record.num_rows:
            cosines = reader.all_embeddings(unit)[..., :3].astype(np.float32)
            np.testing.assert_allclose(reader.all_logits("words", unit), SCALE * cosines + BIAS, rtol=1e-4)
    assert verify(root).problems == [] and "words" in "\n".join(map(str, summary(root)))
    mine = FormatReader(root)  # follows docs/cache-format.md alone
    assert mine.label_set("words")["logit_bias"] == mine.tensors("words")["logit_bias"][0] == BIAS


def test_programs_that_know_no_bias_refuse_a_label_set_that_has_one(tmp_path, backend):
    versions = {}
    for name, labels, head in (
        ("with", LABELS, HEAD),
        ("without", dataclasses.replace(LABELS, logit_bias=None), COSINES),
    ):
        root = with_labels(tmp_path / name, backend, labels, head)
        versions[name] = json.loads((root / "labels/words/label_set.json").read_bytes())["format_version"]
    assert versions == {"with": 2, "without": 1}


def test_a_label_set_written_before_there_was_a_bias_is_read(tmp_path, backend):
    root = with_labels(tmp_path / "c", backend, dataclasses.replace(LABELS, logit_bias=None), COSINES)
    path = root / "labels/words/label_set.json"
    old = {
        name: value for name, value in json.loads(path.read_bytes()).items() if name not in ("logit_bias", "checksum")
    }
    commit.replace(path, documents.serialize_with_checksum(old))
    assert open_reader(root).label_set("words").logit_bias is None and verify(root).problems == []


@pytest.mark.parametrize("bias", ["-10", [1.0], float("nan"), True])
def test_a_bias_that_is_no_number_is_refused(tmp_path, backend, bias):
    document = json.loads((with_labels(tmp_path / "c", backend) / "labels/words/label_set.json").read_bytes())
    with pytest.raises((ValueError, TypeError)):
        label_set_from(document | {"logit_bias": bias}, ())


def test_heads_that_differ_in_the_bias_alone_are_different():
    other = HEAD | {"logit_bias": np.array([-16.0], np.float32)}
    for wrong in (other, COSINES):
        with pytest.raises(LabelSetError, match="has another head"):
            check_same_head("words", *map(safetensors.numpy.save, (HEAD, wrong)))
