"""What the manifest says was there once: committed files that it lists and that are gone were lost, not pending.

Knows the manifest's fields. A manifest that is not there, is damaged or older says less, and never anything wrong:
only a repair takes committed files away, and what it took lies in removed/ until the manifest does not list it.
"""

from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit, documents
from embedonce.cache.errors import DamagedError
from embedonce.cache.files import exists, list_folder
from embedonce.cache.layout import Layout


@dataclass(frozen=True)
class Lost:
    """A file that was there once. unit, label_set: what it is about."""

    path: Path
    unit: str | None = None
    label_set: str | None = None


def label_set_contents(layout: Layout, name: str) -> dict[str, list[str]]:
    """The documents of a label set, by folder: the stems of their names."""
    folder, records = layout.labels / name, layout.columns(name)[1]
    folders = {"clips": folder / "clips", "revisions": folder / "revisions", "records": records}
    return {kind: [path.stem for path in list_folder(place, ".json")] for kind, place in folders.items()}


def read_manifest(layout: Layout) -> dict | None:
    """The manifest; None where it is missing, damaged or of another form."""
    try:
        manifest = documents.read(layout.manifest)
        with documents.as_damaged_error(str(layout.manifest)):
            _units(manifest), _label_sets(manifest)
            documents.validate_types(_Extent(manifest["plan_parts"], documents.parse_list(manifest["quarantined"])))
    except DamagedError:
        return None
    return manifest


def lost(layout: Layout, manifest: dict, quarantined: dict[str, dict], planned: set[str]) -> list[Lost]:
    """The files that a manifest lists and that are not there. quarantined: by name; planned: uids of videos."""
    found = [Lost(layout.plan / f"{part:06d}.json") for part in range(manifest["plan_parts"])]
    records = layout.columns(None)[1]
    found += [Lost(records / f"{unit}.json", unit) for unit in _units(manifest)]
    for name, contents in _label_sets(manifest).items():
        found.append(Lost(layout.labels / name / "label_set.json", None, name))
        for kind, stems in contents.items():
            folder = layout.labels / name / kind
            found += [Lost(folder / f"{stem}.json", stem if kind == "records" else None, name) for stem in stems]
    out = removed(layout)
    gone = [entry for entry in found if entry.path.relative_to(layout.root) not in out and not exists(entry.path)]
    # a video that is planned now was taken out of quarantine because it can be used
    names = [name for name in manifest["quarantined"] if name not in quarantined and name not in planned]
    files = [layout.quarantine / documents.file_of(name) for name in names]
    return gone + [Lost(path) for path in files if path.relative_to(layout.root) not in out]


def forget_removed(layout: Layout) -> None:
    """Take what repairs took out, and nobody has made again, out of the manifest: nothing else will say so soon."""
    manifest = read_manifest(layout)
    if manifest is None:
        return
    gone = {place for place in removed(layout) if not exists(layout.root / place)}
    records, quarantine = Path("records"), Path("quarantine")
    shards = [entry for entry in manifest["shards"] if records / f"{entry['unit']}.json" not in gone]
    labels = {
        name: {
            kind: [stem for stem in stems if Path("labels", name, kind, f"{stem}.json") not in gone]
            for kind, stems in contents.items()
        }
        for name, contents in manifest["labels"].items()
    }
    quarantined = [name for name in manifest["quarantined"] if quarantine / documents.file_of(name) not in gone]
    totals = {total: sum(entry[total] for entry in shards) for total in ("num_rows", "num_bytes")}
    changed = manifest | totals | {"shards": shards, "labels": labels, "quarantined": quarantined}
    if changed != manifest:
        del changed["format_version"]
        commit.replace(layout.manifest, documents.serialize_with_checksum(changed))


def removed(layout: Layout) -> set[Path]:
    """The places in the cache, relative to its folder, of the documents that repairs took out."""
    places = set()
    if layout.removed.is_symlink():
        return places
    for repair in list_folder(layout.removed):
        folders = [repair / "records", repair / "quarantine"]
        for label_set in list_folder(repair / "labels"):
            folders += [label_set / kind for kind in ("clips", "revisions", "records")]
        places |= {path.relative_to(repair) for folder in folders for path in list_folder(folder, ".json")}
    return places


@dataclass(frozen=True)
class _Extent:
    plan_parts: int
    quarantined: tuple[str, ...]


def _units(manifest: dict) -> list[str]:
    return [documents.check_unit(entry["unit"]) for entry in documents.parse_list(manifest["shards"])]


def _label_sets(manifest: dict) -> dict[str, dict[str, list[str]]]:
    """ValueError or TypeError where a name could lead anywhere else."""
    for name, contents in manifest["labels"].items():
        documents.check_uid(name)
        for kind in ("clips", "revisions", "records"):
            for stem in documents.parse_list(contents[kind]):
                documents.check_unit(stem)
        if len(contents) != 3:
            raise ValueError(f"label set {name!r} has other fields")
    return manifest["labels"]
