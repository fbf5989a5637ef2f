"""The manifest: a summary of a cache. Readers need none of it; it shows which committed files were lost.

A manifest that is missing, damaged or old lists less, never anything wrong: only a repair takes committed files away,
and what it took is in removed/ until the manifest no longer lists it.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from embedonce.cache import documents, long_documents
from embedonce.cache.catalog import Catalog
from embedonce.cache.documents import parse_list, validate_types
from embedonce.cache.errors import AlreadyCommittedError, DamagedError
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import file_name
from embedonce.cache.records import Record, current
from embedonce.cache.schema import check_uid, check_unit
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.stored_path import StoredPath

LABEL_FOLDERS = ("clips", "revisions", "records")  # of a label set, whose documents the manifest lists


@dataclass(frozen=True)
class LostFile:
    """A file that was committed and does not exist any more. unit, label_set, teacher: what it belongs to."""

    path: StoredPath
    unit: str | None = None
    label_set: str | None = None
    teacher: str | None = None


def build_manifest(catalog: Catalog) -> dict:
    """The fields of manifest.json, from the records and folders of a cache."""
    layout, records = catalog.layout, current(catalog.frames.values())
    names = list(layout.label_sets())
    teachers = {name: _stems(layout.teacher_paths(name).records) for name in layout.added_teachers()}
    return {
        "shards": [_shard_entry(record) for record in records.values()],
        "num_rows": sum(record.num_rows for record in records.values()),
        "num_bytes": sum(record.num_bytes for record in records.values()),
        "label_sets": names,
        "labels": {name: _label_set_entry(layout, name) for name in names},
        "plan_parts": len(catalog.plan()),
        "quarantined": sorted(catalog.quarantined()),
        **({"teachers": teachers} if teachers else {}),
    }


def _shard_entry(record: Record) -> dict:
    return {
        "unit": record.unit,
        "num_rows": record.num_rows,
        "num_bytes": record.num_bytes,
        "sha256": record.sha256,
        "videos": record.video_uids,
    }


def _label_set_entry(layout: Layout, name: str) -> dict[str, list[str]]:
    """folder -> names of the documents in it, without suffix."""
    place = layout.labels / name
    return {folder: _stems(place / folder) for folder in LABEL_FOLDERS}


def _stems(folder: StoredPath) -> list[str]:
    return [path.stem for path in folder.list(".json")]


def read_manifest(layout: Layout) -> dict | None:
    """The manifest; None if it is missing, damaged or of another form."""
    try:
        manifest = long_documents.read(layout.manifest)
        _check(manifest, str(layout.manifest))
    except DamagedError:
        return None
    del manifest["format_version"]
    return manifest


def write_manifest(layout: Layout, manifest: dict) -> None:
    """Replace manifest.json. DamagedError if a label set has a name that no writer gives it."""
    _publish(layout, manifest, layout.manifest.replace)


def write_shared_manifest(catalog: Catalog) -> dict:
    """Write manifest.json beside other writers; returns its fields. Errors as in write_manifest().

    Each manifest is built after the one that it replaces was written, so that it has everything that was committed
    when any of them was built: that of the last writer to end has all.
    """
    layout = catalog.layout
    while True:
        version = layout.manifest.version() if layout.manifest.exists() else None
        catalog.refresh()
        layout.sync()  # nothing that is listed may be lost
        manifest = build_manifest(catalog)
        with contextlib.suppress(AlreadyCommittedError):
            _publish(layout, manifest, partial(_put_version, layout.manifest, version), is_shared=True)
            return manifest


def _put_version(path: StoredPath, version: FileVersion | None, data: bytes) -> None:
    if version is None:
        path.put_if_absent(data)
    else:
        path.store.replace_version(path.relative, version, data)


def _publish(layout: Layout, manifest: dict, put: Callable[[bytes], None], is_shared: bool = False) -> None:
    with documents.as_damaged_error(str(layout.labels)):
        _label_sets(manifest)
    places: list[long_documents.Place] = [("shards",), ("label_sets",), ("quarantined",)]
    places += [("labels", name, folder) for name in manifest["labels"] for folder in LABEL_FOLDERS]
    places += [("teachers", name) for name in _teachers(manifest)]
    long_documents.publish(layout.manifest, manifest, places, _check, put, is_shared)


def lost_files(layout: Layout, manifest: dict, quarantined: set[str], planned: set[str]) -> list[LostFile]:
    """The files that a manifest lists and that do not exist.

    quarantined: names of videos in quarantine; planned: uids of planned videos.
    """
    records = layout.frame_paths().records
    listed = [LostFile(layout.plan_part(part)) for part in range(manifest["plan_parts"])]
    listed += [LostFile(records / f"{unit}.json", unit) for unit in _units(manifest)]
    for name, contents in _label_sets(manifest).items():
        listed.append(LostFile(layout.label_set_document(name), None, name))
        for folder, stems in contents.items():
            for stem in stems:
                path = layout.labels / name / folder / f"{stem}.json"
                listed.append(LostFile(path, stem if folder == "records" else None, name))
    for name, units in _teachers(manifest).items():
        listed.append(LostFile(layout.teacher_document(name), teacher=name))
        records = layout.teacher_paths(name).records
        listed += [LostFile(records / f"{unit}.json", unit, teacher=name) for unit in units]
    removed = removed_documents(layout)
    lost = [file for file in listed if file.path not in removed and not file.path.exists()]
    # a video that is planned now was taken out of quarantine because it can be used
    names = [name for name in manifest["quarantined"] if name not in quarantined and name not in planned]
    paths = [layout.quarantine / file_name(name) for name in names]
    return lost + [LostFile(path) for path in paths if path not in removed]


def forget_removed(layout: Layout) -> None:
    """Take files that repairs moved away, and that were not made again, out of the manifest."""
    manifest = read_manifest(layout)
    if manifest is None:
        return
    gone = {path for path in removed_documents(layout) if not path.exists()}
    records, quarantine = layout.frame_paths().records, layout.quarantine
    shards = [entry for entry in manifest["shards"] if records / f"{entry['unit']}.json" not in gone]
    labels = {
        name: {
            folder: [stem for stem in stems if layout.labels / name / folder / f"{stem}.json" not in gone]
            for folder, stems in contents.items()
        }
        for name, contents in manifest["labels"].items()
    }
    quarantined = [name for name in manifest["quarantined"] if quarantine / file_name(name) not in gone]
    totals = {total: sum(entry[total] for entry in shards) for total in ("num_rows", "num_bytes")}
    changed = manifest | totals | {"shards": shards, "labels": labels, "quarantined": quarantined}
    if teachers := _teachers(manifest):
        folders = {name: layout.teacher_paths(name).records for name in teachers}
        kept = {name: [u for u in teachers[name] if folders[name] / f"{u}.json" not in gone] for name in teachers}
        changed |= {"teachers": kept}
    if changed != manifest:
        write_manifest(layout, changed)


def removed_documents(layout: Layout) -> set[StoredPath]:
    """The places in the cache that the documents in removed/ had before repairs moved them."""
    places: set[StoredPath] = set()
    if not layout.removed.is_folder():
        return places
    for repair in layout.removed.list():
        folders = [repair / "records", repair / "quarantine"]
        for label_set in (repair / "labels").list():
            folders += [label_set / folder for folder in LABEL_FOLDERS]
        folders += [teacher / "records" for teacher in (repair / "teachers").list()]
        start = len(repair.relative) + 1
        places |= {layout.root / path.relative[start:] for folder in folders for path in folder.list(".json")}
    return places


@dataclass(frozen=True)
class _Counts:
    plan_parts: int
    quarantined: tuple[str, ...]


def _check(manifest: dict, name: str) -> None:
    """DamagedError, with this name, if these are not the fields of a manifest."""
    with documents.as_damaged_error(name):
        _units(manifest), _label_sets(manifest), _teachers(manifest)
        validate_types(_Counts(manifest["plan_parts"], parse_list(manifest["quarantined"])))


def _units(manifest: dict) -> list[str]:
    return [check_unit(entry["unit"]) for entry in parse_list(manifest["shards"])]


def _label_sets(manifest: dict) -> dict[str, dict[str, list[str]]]:
    """ValueError or TypeError if a name could lead out of its folder."""
    for name, contents in manifest["labels"].items():
        check_uid(name)
        for folder in LABEL_FOLDERS:
            for stem in parse_list(contents[folder]):
                check_unit(stem)
        if len(contents) != len(LABEL_FOLDERS):
            raise ValueError(f"label set {name!r} has unexpected fields")
    return manifest["labels"]


def _teachers(manifest: dict) -> dict[str, list[str]]:
    """teacher -> units that it has embedded. ValueError or TypeError if a name could lead out of its folder."""
    teachers = manifest.get("teachers", {})
    for name, units in teachers.items():
        check_uid(name)
        for unit in parse_list(units):
            check_unit(unit)
    return teachers
