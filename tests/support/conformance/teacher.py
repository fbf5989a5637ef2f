"""Conformance tests for teachers: subclass TeacherConformance in a test module, with a loader and its options."""

import dataclasses
import json

import numpy as np
import pytest

from embedonce.cache.identity_document import identity_document, identity_from
from embedonce.cache.schema import CacheIdentity, format_version_for
from embedonce.pipeline.teachers.teacher import Teacher, TeacherLoader, TeacherOptions, TextHead, TextTeacher

PROMPTS = [["a photo of someone cutting bread", "cutting bread"], ["stirring a pot"]]
MIN_COSINE = 0.999  # as resuming an extraction requires of stored rows that are embedded again


class TeacherConformance:
    """What every teacher must do, with or without a text tower."""

    loader: TeacherLoader
    options: TeacherOptions

    @pytest.fixture(scope="class")
    @classmethod
    def teacher(cls) -> Teacher:
        return cls.loader.load(cls.options)

    @pytest.fixture(scope="class")
    @classmethod
    def crops(cls, teacher) -> np.ndarray:
        """(6, S, S, 3) uint8: a black, a white and four random ones."""
        size = teacher.identity.input_size
        crops = np.random.default_rng(0).integers(0, 256, (6, size, size, 3)).astype(np.uint8)
        crops[0], crops[1] = 0, 255
        return crops

    def test_identity_can_be_stored_in_a_cache(self, teacher):
        frames = {
            "canonical_short_side": 512,
            "jpeg_quality": 90,
            "num_views": 0,
            "view_seed": 0,
            "decoder": "software",
        }
        sampling = {"sampling": "fps", "fps": 2.0}
        version = format_version_for("fps", teacher.identity.crop_fraction)
        identity = CacheIdentity(version, "hdf5", teacher.identity, **frames, **sampling)
        document = json.loads(json.dumps(identity_document(identity)))
        assert identity_from(document, "the identity") == identity

    def test_loading_again_gives_the_same_identity_and_embeddings(self, teacher, crops):
        again = self.loader.load(self.options)
        assert again.identity == teacher.identity
        assert (cosines(again.embed(crops), teacher.embed(crops)) > MIN_COSINE).all()

    def test_loading_for_its_own_cache_gives_the_same_identity(self, teacher):
        """As relabel does: name and weights are those of the cache, and only the place of a file is given again."""
        cached = teacher.identity
        weights = self.options.weights if cached.weights == "file" else cached.weights
        options = TeacherOptions(cached.name, weights, device=self.options.device, seed=self.options.seed)
        assert self.loader.load(dataclasses.replace(options, cached=cached)).identity == cached

    def test_what_is_known_before_loading_agrees_with_the_identity(self, teacher):
        identity = teacher.identity
        self.loader.check_options(self.options)
        assert self.loader.names(self.options) in (None, (identity.name, identity.weights))
        assert self.loader.shape(self.options.model) in (None, (identity.input_size, identity.embed_dim))

    def test_embeddings_are_float32_unit_vectors(self, teacher, crops):
        vectors = teacher.embed(crops)
        assert vectors.shape == (len(crops), teacher.identity.embed_dim) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)

    def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(self, teacher, crops):
        alone = np.concatenate([teacher.embed(crop[None]) for crop in crops])
        assert (cosines(alone, teacher.embed(crops)) > MIN_COSINE).all()

    def test_different_crops_have_different_embeddings(self, teacher, crops):
        vectors = teacher.embed(crops)
        assert (vectors[0] != vectors[1]).any() and (vectors[2] != vectors[3]).any()

    def test_crops_are_left_as_they_were(self, teacher, crops):
        given = crops.copy()
        teacher.embed(given)
        assert (given == crops).all()

    def test_device_facts_are_json(self, teacher):
        facts = teacher.device_facts()
        assert json.loads(json.dumps(facts)) == facts

    def test_the_time_of_an_image_can_be_estimated(self):
        assert self.loader.time_per_image(self.options).sec > 0

    def test_class_texts_are_float32_unit_vectors_a_logit_scale_and_perhaps_a_bias(self):
        vectors, scale, bias = TextHead(*self.text_teacher().class_text(PROMPTS))
        assert vectors.shape == (len(PROMPTS), self.text_teacher().identity.embed_dim) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
        assert np.isfinite(scale) and scale > 0 and (bias is None or np.isfinite(bias))

    def test_images_can_be_embedded_after_the_text_tower_is_dropped(self, crops):
        teacher = self.text_teacher()
        expected = teacher.embed(crops)
        teacher.drop_text_tower()
        np.testing.assert_array_equal(teacher.embed(crops), expected)

    def text_teacher(self) -> TextTeacher:
        """A fresh teacher; skips the test if it has no text tower."""
        teacher = self.loader.load(self.options)
        if not isinstance(teacher, TextTeacher):
            pytest.skip("this teacher has no text tower")
        return teacher


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(N,) cosines of the rows of two (N, D) matrices of unit vectors."""
    return (ours.astype(np.float64) * theirs).sum(1)
