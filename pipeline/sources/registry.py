"""The door to all sources: what kind of folder is this?"""

from dataclasses import replace
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.layout import download_root, metadata_path, named_by_ego4d
from embedonce.pipeline.sources.ego4d.source import ego4d_sources
from embedonce.pipeline.sources.source import (
    Source,
    SourceOptions,
    folder_source,
    read_classes,
    renamed,
    with_class_names,
)

USUAL = SourceOptions()


def _without_ego4d(source: Source) -> Source:
    """With a note where most files go by names as Ego4D gives them, and nothing is known of what they hold."""
    named = named_by_ego4d(video.path for video in source.videos)
    if 2 * len(named) <= len(source.videos):
        return source
    note = (
        f"{len(named)} of {len(source.videos)} files are named as Ego4D names videos, and there is no ego4d.json: "
        "parts that it says must not be looked at would be; if they are Ego4D's, put it into the folder"
    )
    return replace(source, notes=(*source.notes, note))


def open_sources(root: Path, options: SourceOptions = USUAL) -> dict[str, Source]:
    """The sources a folder is, by kind of annotation; "" for a folder that has none. InputError as they say."""
    return {kind: renamed(source, options.class_names) for kind, source in _sources(root, options).items()}


def _sources(root: Path, options: SourceOptions) -> dict[str, Source]:
    if metadata_path(download_root(root)) is None:
        if options.annotations:
            raise InputError(f"--annotations are of Ego4D, and there is no ego4d.json in {root}; leave the option out")
        return {"": _without_ego4d(folder_source(root, options.classes_file, options.layout))}
    if options.layout is not None:
        raise InputError(f"--layout is for folders without annotations, and {root} is Ego4D's; leave the option out")
    sources = ego4d_sources(root, options)
    if options.classes_file is None:
        return sources
    names = read_classes(options.classes_file)
    return {kind: with_class_names(source, names) for kind, source in sources.items()}
