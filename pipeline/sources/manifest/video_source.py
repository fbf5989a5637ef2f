"""A table of clips as a video source: which videos there are, and what is seen in them from when to when."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from embedonce.pipeline.sources.manifest.manifest_rows import ManifestRows
from embedonce.pipeline.sources.manifest.options import ManifestOptions
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.source import OpenRequest, Source


class ManifestSource:
    """The clips in the rows of a table, of videos in any folders and behind URLs."""

    name = "manifest"
    description = "a table of clips (--manifest)"
    options_type = ManifestOptions
    own_options = ("manifest", "skip_missing")
    selects_classes = False
    reads_urls = True

    def recognizes(self, root: Any, options: ManifestOptions) -> bool:
        return options.manifest is not None

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        options: ManifestOptions = request.options
        assert options.manifest is not None
        rows = ManifestRows(options.manifest, request.needs_labels)
        source = source_of_rows(
            rows,
            request,
            rows.problems,
            kind=self.name,
            root=options.manifest.parent if request.root is None else request.root,
            skip_missing=options.skip_missing,
            frames=options,
        )
        files = f"{options.manifest.name} lists {source.files}"
        return {"": dataclasses.replace(source, files=files, notes=(*rows.notes, *source.notes))}
