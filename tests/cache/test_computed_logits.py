"""Label sets that store no logits: what a reader computes is what would be stored, and every command knows it."""

import json
import pickle
from contextlib import closing

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache import commit, documents
from embedonce.cache.convert import convert
from embedonce.cache.errors import CacheError, DamagedError, OtherVersionError
from embedonce.cache.inspect import summary
from embedonce.cache.labels import LabelSet
from embedonce.cache.repair import repair
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.registry import stored_path
from embedonce.cache.verify import verify
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling
from tests.support.planned_cache import make_planned_cache
from tests.support.tiny_cache import CLASSES, make_tiny_cache

OTHER = {"hdf5": "webdataset", "webdataset": "hdf5"}


@pytest.fixture
def computed(tmp_path, backend):
    return make_tiny_cache(tmp_path / "computed", 3, 2, backend=backend, stores_logits=False)


def planned(root, backend: str, parts: int = 3):
    """A cache with a plan, with the label set `tiny` over it, which has clips of so many parts and no stored logits."""
    make_planned_cache(root, backend)
    head = {"class_text": np.eye(3, 16, dtype=np.float32), "logit_scale": np.array([100.0], np.float32)}
    labels = LabelSet("tiny", "zero-shot", CLASSES, (), 100.0, {}, stores_logits=False)
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        writer.create_label_set(labels, safetensors.numpy.save(head))
        for part in range(parts):
            writer.publish_clips("tiny", part, [])
        writer.write_manifest()
    return root


def label_problems(report) -> list[str]:
    """The problems of the label set `tiny`; the plan of a tiny cache is missing."""
    return [problem.message for problem in report.problems if problem.label_set == "tiny"]


def logits_files(root) -> list[str]:
    places = [root / "labels/tiny/logits", root / "labels/tiny/records"]
    return [path.name for place in places for path in place.iterdir()]


def edit(path, version: int = 1, **changes) -> None:
    """Change fields of a document, and its version; None removes one."""
    document = json.loads(path.read_bytes()) | changes
    kept = {name: value for name, value in document.items() if value is not None or name == "logit_scale"}
    fields = {name: value for name, value in kept.items() if name != "checksum"} | {"format_version": version}
    commit.replace(path, documents.serialize_with_checksum(fields))


def test_computed_logits_equal_stored_ones(tmp_path, computed, backend):
    stored = open_reader(make_tiny_cache(tmp_path / "stored", 3, 2, backend=backend))
    reader = open_reader(computed)
    assert logits_files(tmp_path / "stored") and not logits_files(computed)
    assert reader.logits_units("tiny") == set(reader.records) == stored.logits_units("tiny")
    for unit in reader.records:
        expected, found = stored.all_logits("tiny", unit), reader.all_logits("tiny", unit)
        assert found.dtype == expected.dtype == np.float32 and found.shape == expected.shape == (15, 3, 3)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        some = reader.logits("tiny", unit).logits(2, 7, 1)
        assert some.dtype == np.float32
        np.testing.assert_allclose(some, expected[2:7, 1], rtol=1e-5, atol=1e-5)


def test_a_cache_that_stores_no_logits_is_whole(tmp_path, backend):
    computed = planned(tmp_path / "p", backend)
    report = verify(computed)
    assert report.problems == [] and report.unfinished == {} and report.extra == []
    (line,) = [line for line in summary(computed) if line.startswith("label set tiny")]
    assert line.endswith(", logits computed when read")
    assert convert(computed, tmp_path / "d", OTHER[backend]) == len(open_reader(computed).records)
    assert not logits_files(tmp_path / "d") and not open_reader(tmp_path / "d").label_set("tiny").stores_logits
    assert verify(tmp_path / "d").problems == []
    for unit in ("000000", "000002"):
        found, expected = (open_reader(root).all_logits("tiny", unit) for root in (tmp_path / "d", computed))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("is_computed", [True, False])
def test_converting_into_a_cache_that_made_the_other_choice_is_refused(tmp_path, is_computed):
    source, target = planned(tmp_path / "p", "hdf5"), tmp_path / "d"
    convert(source, target, "hdf5")
    edit((target if is_computed else source) / "labels/tiny/label_set.json", 1, stores_logits=None)
    with pytest.raises(CacheError, match="'tiny' is in the target already, and only one of the two stores its logits"):
        convert(source, target, "hdf5")


def test_files_among_logits_that_are_computed_are_reported(tmp_path, computed, backend):
    other = make_tiny_cache(tmp_path / "stored", 3, 2, backend=backend)
    for path in (other / "labels/tiny").glob("*/000001.*"):
        (computed / path.relative_to(other)).write_bytes(path.read_bytes())
    report = verify(computed)
    assert label_problems(report) == [] and len(report.extra) == 2
    assert all(path.stem == "000001" and path.parent.name in ("logits", "records") for path in report.extra)


def test_a_damaged_frame_shard_takes_its_computed_logits_along(computed):
    (shard,) = (computed / "frames").glob("000001.*")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="000001"):
        open_reader(computed).all_logits("tiny", "000001")
    repaired = repair(computed, None)
    assert [removal.reason.split(" (")[0] for removal in repaired.removals] == ["unit 000001"]
    assert open_reader(computed).logits_units("tiny") == {"000000", "000002"}


def test_clips_may_follow_the_frames_of_a_later_part(tmp_path):
    """Stored logits come after clips; that computed ones exist says nothing about clips."""
    report = verify(planned(tmp_path / "c", "hdf5", parts=2))
    assert report.problems == [] and report.unfinished == {"tiny": (0, 1)}


def test_old_label_sets_store_their_logits(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 2)
    before = open_reader(root).all_logits("tiny", "000001")
    edit(root / "labels/tiny/label_set.json", stores_logits=None)
    assert "stores_logits" not in (root / "labels/tiny/label_set.json").read_text()
    assert open_reader(root).label_set("tiny").stores_logits
    np.testing.assert_array_equal(open_reader(root).all_logits("tiny", "000001"), before)


def test_a_label_set_has_logits_or_a_head(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 2)
    writer = open_writer(root, open_reader(root).identity)
    labels = LabelSet("none", "zero-shot", CLASSES, (), 1.0, {}, stores_logits=False)
    with pytest.raises(ValueError, match="must have a head"):
        writer.create_label_set(labels, None)
    writer.close()
    edit(root / "labels/tiny/label_set.json", 2, stores_logits=False)  # it has no tensors
    with pytest.raises(DamagedError, match="neither logits nor a head"):
        open_reader(root).label_set("tiny")
    assert "neither logits nor a head" in label_problems(verify(root))[0]
    edit(root / "labels/tiny/label_set.json", 2, stores_logits="no")
    with pytest.raises(DamagedError):
        open_reader(root).label_set("tiny")


def test_programs_that_know_only_version_1_refuse_label_sets_without_stored_logits(tmp_path, computed, monkeypatch):
    """They would take its logits for missing. They still read other label sets of the same cache."""
    document = stored_path(computed) / "labels" / "tiny" / "label_set.json"
    monkeypatch.setattr(documents, "READABLE_VERSIONS", (1,))
    with pytest.raises(OtherVersionError, match=r"label_set.json has format version 2; this program reads versions 1:"):
        documents.read(document)
    assert documents.read(stored_path(make_tiny_cache(tmp_path / "s", 1)) / "labels" / "tiny" / "label_set.json")


def test_a_label_set_without_stored_logits_that_older_programs_would_read_is_refused(computed):
    edit(computed / "labels/tiny/label_set.json", 1, stores_logits=False)
    with pytest.raises(DamagedError, match="a label set without stored logits has another format version than 1"):
        open_reader(computed).label_set("tiny")


@pytest.mark.parametrize("version", [0, 3, "1", True, None])
def test_label_sets_of_unknown_versions_are_refused(computed, version):
    edit(computed / "labels/tiny/label_set.json", version)
    with pytest.raises(OtherVersionError, match="this program reads versions 1 and 2"):
        open_reader(computed).label_set("tiny")


def test_a_head_that_is_not_finite_is_damaged(tmp_path, computed):
    path = computed / "labels/tiny/tensors.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["weight_0"][1, 2] = np.inf
    data = safetensors.numpy.save(tensors)
    path.write_bytes(data)
    edit(computed / "labels/tiny/label_set.json", 2, tensors_sha256=commit.sha256(data))
    with pytest.raises(DamagedError, match="not finite"):
        open_reader(computed).all_logits("tiny", "000000")
    assert "not finite" in label_problems(verify(computed))[0]


def test_clips_for_training_have_computed_logits_like_stored_ones(tmp_path, computed, backend):
    pairs = zip(clips_of(computed), clips_of(make_tiny_cache(tmp_path / "stored", 3, 2, backend=backend)), strict=True)
    for found, expected in pairs:
        assert found.keys() == expected.keys() and found["logits"].dtype == expected["logits"].dtype
        np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found["frames"], expected["frames"])


def clips_of(root) -> list[dict]:
    """All clips of the label set `tiny`, as a loader process with a copy of the reader delivers them."""
    labels = open_reader(root).label_set("tiny")
    clips = ClipDataset(open_reader(root), labels, list(labels.clips), ClipSampling(4, 64, random=True, seed=0))
    copied = pickle.loads(pickle.dumps(clips))
    return [copied[index] for index in range(len(copied))]


def test_logits_that_are_not_finite_are_damage_wherever_they_are_computed(computed):
    path = computed / "labels/tiny/tensors.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["weight_0"] = np.full_like(tensors["weight_0"], 3e38)
    tensors["weight_0"][:, ::2] *= -1
    data = safetensors.numpy.save(tensors)
    path.write_bytes(data)
    edit(computed / "labels/tiny/label_set.json", 2, tensors_sha256=commit.sha256(data))
    reader = open_reader(computed)
    for read in (
        lambda: reader.all_logits("tiny", "000000"),
        lambda: reader.logits("tiny", "000000").logits(0, 4, 1),
        lambda: clips_of(computed),
    ):
        with pytest.raises(DamagedError, match="logits over"), np.errstate(all="ignore"):
            read()
