"""What the manifest says was there once: committed files that it lists and that are gone were lost, not pending.

Knows the manifest's fields. A manifest that is not there, is damaged or older says less, and never anything wrong:
only a repair takes committed files away, and it takes them out of the manifest first.
"""

from dataclasses import dataclass
from pathlib import Path

from cache import commit, documents
from cache.errors import DamagedError
from cache.files import exists, list_folder
from cache.layout import Layout


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
        with documents.reading(str(layout.manifest)):
            _units(manifest), _label_sets(manifest)
            documents.typed(_Extent(manifest["plan_parts"], documents.tuple_of(manifest["quarantined"])))
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
    gone = [entry for entry in found if not exists(entry.path)]
    # a video that is planned now was taken out of quarantine because it can be used
    names = [name for name in manifest["quarantined"] if name not in quarantined and name not in planned]
    return gone + [Lost(layout.quarantine / documents.file_of(name)) for name in names]


def forget(layout: Layout, units: set[str], logits: set[tuple[str, str]], quarantine: set[str]) -> None:
    """Take units, (label set, unit) of logits, and files of the quarantine out of the manifest: they will be moved."""
    manifest = read_manifest(layout)
    if manifest is None:
        return
    shards = [entry for entry in manifest["shards"] if entry["unit"] not in units]
    labels = {
        name: contents
        | {"records": [unit for unit in contents["records"] if unit not in units and (name, unit) not in logits]}
        for name, contents in manifest["labels"].items()
    }
    del manifest["format_version"]
    quarantined = [name for name in manifest["quarantined"] if documents.file_of(name) not in quarantine]
    totals = {total: sum(entry[total] for entry in shards) for total in ("num_rows", "num_bytes")}
    changed = manifest | totals | {"shards": shards, "labels": labels, "quarantined": quarantined}
    if changed != manifest:
        commit.replace(layout.manifest, documents.seal(changed))


@dataclass(frozen=True)
class _Extent:
    plan_parts: int
    quarantined: tuple[str, ...]


def _units(manifest: dict) -> list[str]:
    return [documents.check_unit(entry["unit"]) for entry in documents.tuple_of(manifest["shards"])]


def _label_sets(manifest: dict) -> dict[str, dict[str, list[str]]]:
    """ValueError or TypeError where a name could lead anywhere else."""
    for name, contents in manifest["labels"].items():
        documents.check_uid(name)
        for kind in ("clips", "revisions", "records"):
            for stem in documents.tuple_of(contents[kind]):
                documents.check_unit(stem)
        if len(contents) != 3:
            raise ValueError(f"label set {name!r} has other fields")
    return manifest["labels"]
