"""docs/cache-format.md leaves nothing to guess: a reader written from it alone reads what this program wrote."""

import dataclasses
import io

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from embedonce.cache.heads import head_tensors
from embedonce.cache.identity_document import identity_document
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.frames.canonical_frame import crc32
from tests.extraction.test_runner import make_source, run
from tests.support.embedded_cache import NAME, add_second_teacher, second_teacher
from tests.support.fake_teacher import FakeTeacher, write_zero_shot
from tests.support.format_reader import OK, FormatReader
from tests.support.videos import write_video

LONG = "a" + "-long" * 23  # a uid beyond the 100 characters that a tar header holds
CLASSES = ("cut", "stir")


@pytest.fixture(scope="module", params=["hdf5", "webdataset"])
def cache(request, tmp_path_factory, forked_workers):
    """A cache of two runs with four label sets: zero-shot, a head with stored logits and without, revised labels."""
    root = tmp_path_factory.mktemp(request.param)
    for name in ("v", LONG):
        write_video(root / f"{name}.mp4", 60)
    options = {"backend": request.param, "views": 2, "decode_workers": 1}
    for names in (["v"], ["v", LONG]):
        source = make_source(root, names, [(0.0, 1.0), (0.5, 9.0)])
        run(source, root / "cache", **options)
        writer = open_writer(root / "cache", open_reader(root / "cache").identity)
        write_zero_shot(writer, source)
        writer.close()
    write_head(root / "cache")
    write_revised(root / "cache")
    write_computed(root / "cache")
    add_second_teacher(root / "cache", teacher=second_teacher(interpolation="bilinear"))
    return root / "cache"


def write_head(root) -> None:
    """A label set `head` with two linear layers."""
    reader = open_reader(root)
    dim, generator = reader.identity.teacher.embed_dim, np.random.default_rng(0)
    shapes = ((7, dim), (7,), (2, 7), (2,))

    tensors = head_tensors([generator.standard_normal(shape).astype(np.float32) for shape in shapes])
    writer = open_writer(root, reader.identity)
    writer.create_label_set(
        LabelSet("head", "fitted", CLASSES, (), None, {"train_rows": 3}), safetensors.numpy.save(tensors)
    )
    writer.publish_clips("head", 0, [ClipLabel("c", "v", 0.25, 1.25, 1, "test")])
    for unit, record in reader.records.items():
        if record.num_rows:
            keys = [f"{s.video_uid}_{i:08d}" for s in record.segments for i in s.frame_index.tolist()]
            writer.commit_logits("head", unit, keys, apply_head(tensors, reader.all_embeddings(unit)), {})
    writer.close()


def apply_head(tensors: dict, embeddings: np.ndarray) -> np.ndarray:
    """As the document says: ReLU follows every layer but the last."""
    values = embeddings.astype(np.float32)
    last = max(int(name.split("_")[1]) for name in tensors)
    for layer in range(last + 1):
        values = values @ tensors[f"weight_{layer}"].T + tensors[f"bias_{layer}"]
        values = values if layer == last else np.maximum(values, 0)
    return values.astype(np.float32)


def write_computed(root) -> None:
    """A label set `computed` like `head`, whose logits are not stored."""
    reader = open_reader(root)
    labels = dataclasses.replace(reader.label_set("head"), name="computed", clips=(), stores_logits=False)
    writer = open_writer(root, reader.identity)
    writer.create_label_set(labels, reader.label_tensors("head"))
    writer.close()


def write_revised(root) -> None:
    writer = open_writer(root, open_reader(root).identity)
    writer.create_label_set(LabelSet("revised", "none", CLASSES, (), None, {}), None)
    writer.publish_clips("revised", 0, [ClipLabel("old", "v", 0.0, 1.0, 0, "train")])
    writer.publish_clips("revised", 1, [ClipLabel("other", LONG, 0.0, 1.0, 0, "train")])
    writer.revise_clips("revised", [[ClipLabel("first", "v", 0.0, 1.0, 1, "val")]])
    writer.revise_clips("revised", [[ClipLabel("new", "v", 0.5, 2.0, 1, "val")]])
    writer.close()


@pytest.mark.integration
def test_the_identity_has_the_described_fields(cache):
    expected = identity_document(open_reader(cache).identity)
    got = FormatReader(cache).identity
    assert set(got) == set(expected) - {"format_version"} and set(got["teacher"]) == set(expected["teacher"])
    assert got["num_views"] == 2 and got["teacher"]["embed_dim"] == expected["teacher"]["embed_dim"]


def test_rows_are_those_of_our_own_reader(cache):
    reader, mine = open_reader(cache), FormatReader(cache)
    assert sorted(mine.records) == sorted(reader.records) and len(mine.records) > 2
    for unit in reader.records:
        rows = mine.frames(unit).rows
        shard = reader.frames(unit) if rows else None
        assert not rows or list(rows) == list(shard.keys())
        for i, (jpeg, embeddings, *_) in enumerate(rows.values()):
            assert jpeg == shard.jpeg(i)
            np.testing.assert_array_equal(embeddings, reader.all_embeddings(unit)[i])


def test_the_teachers_pixels_can_be_made_again(cache):
    """The view's box, Pillow's filter of that number, the flip, and zlib's CRC-32 of S x S x 3 bytes."""
    mine = FormatReader(cache)
    size = mine.identity["teacher"]["input_size"]
    for unit in mine.records:
        for jpeg, _, crop_crc32, *_, views in mine.frames(unit).rows.values():
            image = Image.open(io.BytesIO(jpeg)).convert("RGB")
            assert min(image.size) == mine.identity["canonical_short_side"]
            np.testing.assert_array_equal(crc32(crops_of(image, views, size)), crop_crc32)


def crops_of(image: Image.Image, views: list[list[int]], size: int) -> np.ndarray:
    crops = []
    for top, left, height, width, flags, interpolation in views:
        crop = image.crop((left, top, left + width, top + height))
        crop = crop if crop.size == (size, size) else crop.resize((size, size), interpolation)
        pixels = np.asarray(crop)
        crops.append(pixels[:, ::-1] if flags & 1 else pixels)
    return np.stack(crops)


def test_an_added_teacher_has_embedded_the_same_rows_with_its_own_filter(cache):
    reader, mine = open_reader(cache), FormatReader(cache)
    ((name, teacher),) = mine.teachers().items()
    assert name == NAME and teacher["interpolation"] == "bilinear" and mine.identity["teacher"]["name"] == "fake"
    embedded = mine.embeddings(NAME)
    for unit in mine.records:
        rows = mine.frames(unit).rows
        for i, (key, (jpeg, *_, views)) in enumerate(rows.items()):
            vectors, crop_crc32 = embedded.pop(key)
            np.testing.assert_array_equal(vectors, reader.teachers.all_embeddings(NAME, unit)[i])
            image = Image.open(io.BytesIO(jpeg)).convert("RGB")
            seen = [[*view[:5], 2] for view in views]
            np.testing.assert_array_equal(crc32(crops_of(image, seen, teacher["input_size"])), crop_crc32)
    assert embedded == {}


def test_requests_and_clips_lead_to_the_same_frames(cache):
    reader, mine = open_reader(cache), FormatReader(cache)
    for name in mine.label_sets():
        labels = reader.label_set(name)
        assert mine.label_set(name)["classes"] == list(labels.classes)
        clips = mine.clips(name)
        assert [clip["clip_id"] for clip in clips] == [clip.clip_id for clip in labels.clips]
        for clip in clips:
            timeline = reader.timeline(clip["video_uid"])
            window = timeline.window(clip["start_sec"], clip["end_sec"])
            times = [t for t, status, _ in mine.shown(clip["video_uid"]) if status == OK]
            np.testing.assert_allclose(times, timeline.t_sec, rtol=0, atol=1e-12)
            assert len(mine.frames_of(clip)) <= window.stop - window.start and mine.frames_of(clip)


def test_clips_are_those_of_the_last_revision(cache):
    assert [clip["clip_id"] for clip in FormatReader(cache).clips("revised")] == ["new", "other"]


def test_logits_follow_from_the_tensors_and_the_embeddings(cache):
    mine = FormatReader(cache)
    assert mine.label_sets() == ["computed", "head", "revised", "zero-shot"]
    assert mine.logits("revised") == {} and mine.tensors("revised") == {}
    rows = {key: row for unit in mine.records for key, row in mine.frames(unit).rows.items()}
    tensors = mine.tensors("zero-shot")
    assert mine.label_set("zero-shot")["logit_scale"] == tensors["logit_scale"][0] and len(rows) > 5
    for key, logits in mine.logits("zero-shot").items():
        expected = tensors["logit_scale"][0] * rows[key][1].astype(np.float32) @ tensors["class_text"].T
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)
    for key, logits in mine.logits("head").items():
        np.testing.assert_allclose(logits, apply_head(mine.tensors("head"), rows[key][1]), rtol=1e-4, atol=1e-3)
    assert set(mine.logits("zero-shot")) == set(mine.logits("head")) == set(mine.logits("computed")) == set(rows)
    for key, logits in mine.logits("computed").items():
        np.testing.assert_allclose(logits, mine.logits("head")[key], rtol=1e-5, atol=1e-4)


def test_the_plan_lists_the_requests_of_the_records(cache):
    mine = FormatReader(cache)
    assert [part["part"] for part in mine.plan] == [0, 1]
    videos = {video["uid"]: video for part in mine.plan for video in part["videos"]}
    assert set(videos) == {"v", LONG} and FakeTeacher().identity.input_size == mine.identity["teacher"]["input_size"]
    planned = {unit["name"]: unit for part in mine.plan for unit in part["units"]}
    for name, record in mine.records.items():
        for segment, plan in zip(record["segments"], planned[name]["segments"], strict=True):
            assert (
                segment["request_k"] == plan["request_k"]
                and segment["first_pts"] == videos[plan["video_uid"]]["first_pts"]
            )
