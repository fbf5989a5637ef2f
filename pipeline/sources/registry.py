"""The registered video sources, and how a data folder is opened by the one that recognizes it."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.settings.options import Option, declared_options
from embedonce.pipeline.sources.assembly101.video_source import AssemblySource
from embedonce.pipeline.sources.charades_ego.video_source import CharadesEgoSource
from embedonce.pipeline.sources.class_selection import keep_frequent, renamed, with_class_names
from embedonce.pipeline.sources.ego4d.video_source import Ego4dSource
from embedonce.pipeline.sources.egoexo.video_source import EgoExoSource
from embedonce.pipeline.sources.egtea.video_source import EgteaSource
from embedonce.pipeline.sources.epic.video_source import EpicSource
from embedonce.pipeline.sources.file_lists.video_source import FileListSource
from embedonce.pipeline.sources.folder.class_files import read_classes
from embedonce.pipeline.sources.folder.video_source import FolderSource
from embedonce.pipeline.sources.frames.video_source import FramesSource
from embedonce.pipeline.sources.hd_epic.video_source import HdEpicSource
from embedonce.pipeline.sources.kinetics.video_source import KineticsSource
from embedonce.pipeline.sources.manifest.video_source import ManifestSource
from embedonce.pipeline.sources.source import DataFolder, OpenRequest, Source, VideoSource
from embedonce.pipeline.sources.synthetic.video_source import SyntheticSource
from embedonce.pipeline.sources.ucf101.video_source import UcfSource

SOURCES: list[VideoSource] = [
    SyntheticSource(),
    ManifestSource(),
    EpicSource(),
    CharadesEgoSource(),
    EgoExoSource(),
    HdEpicSource(),
    UcfSource(),
    EgteaSource(),
    AssemblySource(),
    KineticsSource(),
    FileListSource(),
    Ego4dSource(),
    FramesSource(),
    FolderSource(),  # last: it reads any folder
]

# Those whose options are fields of ExtractConfig
_BUILT_IN = (SyntheticSource, ManifestSource, Ego4dSource, FramesSource, FolderSource)


def register(source: VideoSource) -> None:
    """Add a source; it is tried before those that are registered already. ValueError if its name is taken."""
    if source.name in {other.name for other in SOURCES}:
        raise ValueError(f"a video source named {source.name!r} is already registered")
    SOURCES.insert(0, source)


def plugin_options() -> tuple[Option, ...]:
    """The options of the registered sources that are not fields of the commands' settings.

    A source may have options of those that are built in as well, such as --frames-rate.
    """
    declared: dict[bool, list[Option]] = {True: [], False: []}
    for source in SOURCES:
        declared[type(source) in _BUILT_IN] += declared_options(source.options_type)
    fields = {option.name for option in declared[True]}
    return tuple(option for option in declared[False] if option.name not in fields)


def options_of(source: VideoSource, settings: object) -> Any:
    """The options of a source, with the values that the settings have; defaults for those they do not have.

    settings: any object with attributes named like the options, such as ExtractConfig; the options of plug-ins may be
    in its mapping `source_settings`. InputError if the source refuses a value.
    """
    plugin_values: Mapping[str, Any] = getattr(settings, "source_settings", {})
    values = {}
    for field in dataclasses.fields(source.options_type):
        if hasattr(settings, field.name):
            values[field.name] = getattr(settings, field.name)
        elif field.name in plugin_values:
            values[field.name] = plugin_values[field.name]
    try:
        return source.options_type(**values)
    except ValueError as error:
        raise InputError(str(error)) from error


def data_folder(where: DataFolder | str | None) -> DataFolder | None:
    """The folder that --data-dir names: a local path, or a URL as text. StorageError for an impossible URL."""
    if isinstance(where, str):
        return RemoteFolder(where) if is_url(where) else Path(where)
    return where


def choose_source(root: DataFolder | None, settings: object = None) -> VideoSource:
    """The source that reads a data folder.

    InputError if there is none, or if the settings have an option of another source that this one cannot use.
    """
    chosen = next(
        (source for source in _candidates(root) if source.recognizes(root, options_of(source, settings))), None
    )
    if chosen is None:
        raise InputError("no data: name a folder with --data-dir, or a table of clips with --manifest")
    usable = {field.name for field in dataclasses.fields(chosen.options_type)}
    for source in SOURCES:
        for name in _own_options_given(source, settings):
            if name not in usable:
                raise InputError(_unusable(f"--{name.replace('_', '-')}", source, chosen, root))
    return chosen


def _unusable(option: str, source: VideoSource, chosen: VideoSource, root: DataFolder | None) -> str:
    """The message about an option of one source that the chosen one cannot use."""
    start = f"{option} is for {source.description},"
    if isinstance(root, RemoteFolder) and not getattr(source, "reads_urls", False):
        return f"{start} which is read from local disks only: copy {root} to this machine, or leave the option out"
    return f"{start} but {root or 'this'} is {chosen.description}: leave the option out"


def _candidates(root: DataFolder | None) -> list[VideoSource]:
    """The sources that may be asked whether they read this folder."""
    return [source for source in SOURCES if not isinstance(root, RemoteFolder) or getattr(source, "reads_urls", False)]


def asks_for_annotations(settings: object) -> bool:
    """Whether the settings have an option that only one of the sources understands, such as --annotations."""
    return any(_own_options_given(source, settings) for source in SOURCES)


def read_sources(
    where: DataFolder | str | None,
    settings: object = None,
    *,
    cached_uids: Collection[str] = (),
    cache_dir: Path | str | None = None,
    needs_files: bool = True,
) -> dict[str, Source]:
    """The sources in a data folder, by kind of annotation ("" for the only one), with the classes of the data.

    where: the folder, or its URL as text. cached_uids, cache_dir, needs_files: see OpenRequest. InputError if the
    folder cannot be read.
    """
    root = data_folder(where)
    source = choose_source(root, settings)
    needs_labels = getattr(settings, "classes", None) is None
    request = OpenRequest(root, options_of(source, settings), cached_uids, needs_labels, needs_files, cache_dir)
    sources = dict(source.open(request))
    _check_single_kind(sources, settings)
    return sources


def open_sources(
    where: DataFolder | str | None,
    settings: object = None,
    *,
    cached_uids: Collection[str] = (),
    cache_dir: Path | str | None = None,
) -> dict[str, Source]:
    """read_sources(), with the classes that the settings name: `classes`, `class_names` and `num_actions`."""
    root = data_folder(where)
    classes_file = getattr(settings, "classes", None)
    names = None if classes_file is None else read_classes(classes_file)
    sources = read_sources(root, settings, cached_uids=cached_uids, cache_dir=cache_dir)
    if names is not None:
        sources = {kind: with_class_names(source, names) for kind, source in sources.items()}
    class_names = getattr(settings, "class_names", None)
    sources = {kind: renamed(source, class_names) for kind, source in sources.items()}
    if choose_source(root, settings).selects_classes:
        return sources
    return keep_frequent(sources, getattr(settings, "num_actions", None))


def _check_single_kind(sources: Mapping[str, Source], settings: object) -> None:
    """InputError if options that make one label set are given for several kinds of annotations."""
    given = next((name for name in ("label_set", "classes", "class_names") if getattr(settings, name, None)), None)
    if len(sources) > 1 and given is not None:
        raise InputError(
            f"--{given.replace('_', '-')} needs a single kind of annotations, but there are {len(sources)}: "
            f"{', '.join(sources)}"
        )


def _own_options_given(source: VideoSource, settings: object) -> list[str]:
    """The source's own options that are set to something else than their default."""
    options = options_of(source, settings)
    defaults = {field.name: field.default for field in dataclasses.fields(source.options_type)}
    return [name for name in source.own_options if getattr(options, name) != defaults[name]]
