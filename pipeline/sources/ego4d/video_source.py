"""Ego4D downloads as a video source."""

from collections.abc import Mapping
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.layout import download_root, metadata_path
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.source import OpenRequest, Source


class Ego4dSource:
    """The videos and annotations of an Ego4D download; one source per kind of annotations."""

    name = "ego4d"
    description = "an Ego4D download (a folder with ego4d.json)"
    options_type = Ego4dOptions
    own_options = ("annotations",)
    selects_classes = False

    def recognizes(self, root: Path | None, options: Ego4dOptions) -> bool:
        return root is not None and (options.annotations is not None or _has_metadata(root))

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        from embedonce.pipeline.sources.ego4d.source import annotated_sources, ego4d_sources

        if not request.needs_files:
            return annotated_sources(request.folder, request.options, request.cached_uids)
        if not _has_metadata(request.folder):
            raise InputError(
                f"--annotations is for Ego4D downloads, but there is no ego4d.json in {request.root}; leave it out"
            )
        return ego4d_sources(request.folder, request.options, request.cached_uids)


def _has_metadata(root: Path) -> bool:
    return metadata_path(download_root(root)) is not None
