"""Tests that every video source should pass.

Subclass SourceConformance and define make_source and make_data.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from embedonce.cache.schema import UID_PATTERN
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.settings.choices import SPLITS
from embedonce.pipeline.settings.options import declared_options
from embedonce.pipeline.sources.registry import SOURCES
from embedonce.pipeline.sources.source import UNLABELED, OpenRequest, Source, Video, VideoSource


class SourceConformance:
    """creates_videos: the source makes its video files itself. reads_annotations: labels do not need the files."""

    creates_videos = False
    reads_annotations = True

    def make_source(self) -> VideoSource:
        raise NotImplementedError

    def make_data(self, root: Path) -> Mapping[str, Any]:
        """Write a small labeled data set, of at least two videos, into the folder; returns the options to open it."""
        raise NotImplementedError

    @pytest.fixture
    def request_of_data(self, tmp_path) -> OpenRequest:
        root = tmp_path / "data"
        root.mkdir()
        options = self.make_source().options_type(**self.make_data(root))
        return OpenRequest(root, options, cache_dir=tmp_path / "cache")

    @pytest.fixture
    def sources(self, request_of_data) -> Mapping[str, Source]:
        return self.make_source().open(request_of_data)

    def test_its_data_are_recognized(self, request_of_data):
        assert self.make_source().recognizes(request_of_data.root, request_of_data.options)
        if not self.creates_videos:
            assert not self.make_source().recognizes(None, self.make_source().options_type())

    def test_its_options_are_declared_and_do_not_collide_with_others(self):
        source = self.make_source()
        names = {option.name for option in declared_options(source.options_type)}
        assert set(source.own_options) <= names
        assert all(option.help for option in declared_options(source.options_type))
        if source.name not in {other.name for other in SOURCES}:
            assert not names & {option.name for option in ExtractConfig.options()}
        source.options_type()  # every option has a default

    def test_its_names_are_for_people(self):
        source = self.make_source()
        assert source.name.isidentifier() and source.description[:1].islower()

    def test_videos_have_unique_uids_and_files_in_the_folder(self, request_of_data, sources):
        for source in sources.values():
            uids = [video.uid for video in source.videos]
            assert len(uids) >= 2 and len(set(uids)) == len(uids)
            for video in source.videos:
                assert UID_PATTERN.fullmatch(video.uid) and place_of(video).exists()
                assert place_of(video) == request_of_data.folder / video.source
                assert all(start < end for start, end in video.redacted)

    def test_clips_are_windows_of_listed_videos(self, sources):
        for kind, source in sources.items():
            uids = {video.uid for video in source.videos}
            assert source.clips, kind
            for clip in source.clips:
                assert clip.video_uid in uids and clip.start_sec < clip.end_sec
                assert all(0 <= label < len(source.classes) for label in clip.all_labels)
                assert clip.labels is None or clip.label == UNLABELED
                assert list(clip.all_labels) == sorted(set(clip.all_labels))
                assert clip.split in SPLITS
            ids = [clip.clip_id for clip in source.clips]
            assert len(set(ids)) == len(ids)

    def test_no_video_is_in_two_splits(self, sources):
        for source in sources.values():
            splits = {(clip.video_uid, clip.split) for clip in source.clips}
            assert len(splits) == len({uid for uid, _ in splits})

    def test_classes_have_unique_names(self, sources):
        for source in sources.values():
            assert source.classes and all(source.classes)
            assert len(set(source.classes)) == len(source.classes)

    def test_sources_know_where_they_come_from(self, request_of_data, sources):
        assert {source.root for source in sources.values()} == {request_of_data.root}

    def test_opening_again_gives_the_same(self, request_of_data, sources):
        assert dict(self.make_source().open(request_of_data)) == dict(sources)

    def test_a_folder_without_videos_is_refused_in_one_sentence(self, request_of_data, sources):
        if self.creates_videos:
            pytest.skip("the source makes the videos")
        _delete_videos(sources)
        with pytest.raises(InputError) as caught:
            self.make_source().open(request_of_data)
        assert str(caught.value) and "\n" not in str(caught.value)

    def test_annotations_of_cached_videos_are_read_without_their_files(self, request_of_data, sources):
        if not self.reads_annotations:
            pytest.skip("the labels come from the files")
        uids = {video.uid for source in sources.values() for video in source.videos}
        _delete_videos(sources)
        request = dataclasses.replace(request_of_data, cached_uids=tuple(uids), needs_files=False)
        again = self.make_source().open(request)
        assert {kind: source.clips for kind, source in again.items()} == {
            kind: source.clips for kind, source in sources.items()
        }


def place_of(video: Video) -> Path:
    """Its file, or the folder of its frames."""
    return video.path.path if isinstance(video.path, ImageSequence) else video.path


def _delete_videos(sources: Mapping[str, Source]) -> None:
    for path in {place_of(video) for source in sources.values() for video in source.videos}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
