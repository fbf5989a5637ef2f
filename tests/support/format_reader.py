"""A reader of caches written from docs/cache-format.md alone: numpy, h5py and the standard library, nothing of ours.

It checks what the document says about every file that it reads, and raises AssertionError where a file differs.
"""

import hashlib
import io
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

VERSIONS = (1, 2)
SHARD_VERSION = 1
CHECKSUM_BYTES = 79  # ,"checksum":"<64 digits>"}
TIME_TOLERANCE_SEC = 1e-6
OK, MISSING = 0, 3


@dataclass
class Shard:
    """Rows of one unit: key -> (jpeg, embeddings (V, D), crop_crc32 (V,), frame index, pts, t_sec, video_uid)."""

    rows: dict[str, tuple] = field(default_factory=dict)


def read_document(path: Path) -> dict:
    """A document with all its continuations."""
    document = checked_document(path)
    names = document.pop("continued_in", [])
    for number, name in enumerate(names, 1):
        continuation = path.with_name(f"{path.stem}.continued") / f"{name}.json"
        assert hashlib.sha256(continuation.read_bytes()).hexdigest() == name
        more = checked_document(continuation)
        assert more["number"] == number
        for place, values in more["values"]:
            array = document
            for key in place:
                array = array[key]
            array.extend(values)
    return document


def checked_document(path: Path) -> dict:
    data = path.read_bytes()
    body = data[:-CHECKSUM_BYTES] + b"}"
    document = json.loads(data)
    assert document.pop("checksum") == hashlib.sha256(body).hexdigest(), path
    assert document.pop("format_version") in VERSIONS
    return document


def documents(folder: Path) -> dict[str, dict]:
    """Stem -> document of the numbered JSON files in a folder."""
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return {path.stem: read_document(path) for path in paths if not path.name.startswith(".")}


class FormatReader:
    def __init__(self, root: Path):
        self.root = root
        self.identity = read_document(root / "cache.json")
        records = documents(root / "records")
        replaced = {record.get("replaces") for record in records.values()}
        self.records = {unit: record for unit, record in records.items() if unit not in replaced}
        self.plan = [part for _, part in sorted(documents(root / "plan").items())]
        self.suffix = {"hdf5": "h5", "webdataset": "tar"}[self.identity["backend"]]

    @property
    def num_views(self) -> int:
        return 1 + self.identity["num_views"]

    def frames(self, unit: str) -> Shard:
        """All rows of a unit; empty if it has none."""
        record = self.records[unit]
        if not record["num_rows"]:
            return Shard()
        data = checked(self.root / "frames" / f"{unit}.{self.suffix}", record)
        rows = hdf5_rows(data) if self.suffix == "h5" else tar_rows(data, members_of(record))
        dim = self.identity["teacher"]["embed_dim"]
        keys = [f"{s['video_uid']}_{i:08d}" for s in record["segments"] for i in s["frame_index"]]
        assert list(rows) == keys and len(keys) == record["num_rows"]
        for row in rows.values():
            assert row[1].shape == (self.num_views, dim) and row[1].dtype == np.float16
            assert row[2].shape == (self.num_views,)
        return Shard(rows)

    def shown(self, video_uid: str) -> list[tuple[float, int, str | None]]:
        """(time, status, key of the row or None) of every request of a video, by time."""
        requests = []
        for record in self.records.values():
            for segment in record["segments"]:
                if segment["video_uid"] == video_uid:
                    requests += self._requests(segment)
        return [(t, status, key) for _, t, status, key in sorted(requests, key=lambda request: request[0])]

    def _requests(self, segment: dict) -> list[tuple[int, float, int, str | None]]:
        numerator, denominator = segment["time_base"]
        found = []
        for k, status, row in zip(*(segment[f"request_{name}"] for name in ("k", "status", "row")), strict=True):
            t = segment["first_pts"] * numerator / denominator
            if self.identity["sampling"] == "snap" and status == OK:
                t = segment["pts"][row] * numerator / denominator
            elif self.identity["sampling"] in ("fps", "snap"):
                t = t + k / self.identity["fps"]
            else:
                t = (segment["first_pts"] + k) * numerator / denominator
            assert (row >= 0) == (status == OK)
            key = f"{segment['video_uid']}_{segment['frame_index'][row]:08d}" if status == OK else None
            found.append((k, t, status, key))
        return found

    def label_sets(self) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "labels").glob("*/label_set.json"))

    def label_set(self, name: str) -> dict:
        path = self.root / "labels" / name / "label_set.json"
        document = read_document(path)
        is_old = document.get("stores_logits", True) and not document.get("multi_label", False)
        assert is_old or json.loads(path.read_bytes())["format_version"] == 2
        return document

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of tensors.safetensors: an 8-byte length, a JSON header, then the bytes."""
        path = self.root / "labels" / name / "tensors.safetensors"
        expected = self.label_set(name)["tensors_sha256"]
        if expected is None:
            assert not path.exists()
            return {}
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == expected
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        arrays = {}
        for tensor, entry in header.items():
            if tensor != "__metadata__":
                assert entry["dtype"] == "F32"
                start, end = entry["data_offsets"]
                values = np.frombuffer(data[8 + length + start : 8 + length + end], np.float32)
                arrays[tensor] = values.reshape(entry["shape"])
        return arrays

    def clips(self, name: str) -> list[dict]:
        folder = self.root / "labels" / name
        parts = {document["part"]: document["clips"] for document in documents(folder / "clips").values()}
        revisions = documents(folder / "revisions")
        if revisions:
            parts |= dict(enumerate(max(revisions.values(), key=lambda one: one["revision"])["parts"]))
        clips = [clip for _, part in sorted(parts.items()) for clip in part]
        assert all(("labels" in clip) == self.label_set(name).get("multi_label", False) for clip in clips)
        return clips

    def texts(self, name: str) -> dict[tuple[str, str], tuple[str, np.ndarray]]:
        """(video uid, clip id) -> (text, (D,) float16 vector) of every clip that has a text."""
        folder = self.root / "labels" / name
        if not (folder / "texts.json").exists():
            return {}
        document, vectors = read_document(folder / "texts.json"), []
        assert set(document) == {"texts", "files", "clips"}
        for digest, count in document["files"]:
            data = (folder / "texts.vectors" / f"{digest}.safetensors").read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest
            length = int.from_bytes(data[:8], "little")
            entry = json.loads(data[8 : 8 + length])["vectors"]
            assert entry["dtype"] == "F16" and entry["shape"] == [count, self.identity["teacher"]["embed_dim"]]
            vectors += list(np.frombuffer(data[8 + length :], np.float16).reshape(entry["shape"]))
        assert len(set(document["texts"])) == len(document["texts"]) == len(vectors)
        return {
            (uid, clip_id): (document["texts"][number], vectors[number])
            for uid, ids, numbers in document["clips"]
            for clip_id, number in zip(ids, numbers, strict=True)
        }

    def classes_of(self, clip: dict, name: str) -> list[str]:
        """The names of a clip's classes."""
        numbers = clip.get("labels", [clip["label"]] if clip["label"] >= 0 else [])
        return [self.label_set(name)["classes"][number] for number in numbers]

    def frames_of(self, clip: dict) -> list[str]:
        """Keys of a clip's distinct rows, in time order."""
        start, end = clip["start_sec"] - TIME_TOLERANCE_SEC, clip["end_sec"] - TIME_TOLERANCE_SEC
        keys = [key for t, status, key in self.shown(clip["video_uid"]) if status == OK and start <= t < end]
        return list(dict.fromkeys(keys))

    def logits(self, name: str) -> dict[str, np.ndarray]:
        """key -> (V, C) float32 of every row that has logits."""
        folder, found = self.root / "labels" / name, {}
        labels = self.label_set(name)
        if labels["kind"] != "none" and not labels.get("stores_logits", True):
            assert not documents(folder / "records") and not any((folder / "logits").glob("*"))
            rows = {key: row[1] for unit in self.records for key, row in self.frames(unit).rows.items()}
            return {key: head_logits(self.tensors(name), embeddings) for key, embeddings in rows.items()}
        for unit, record in documents(folder / "records").items():
            assert record["segments"] == [] and record["provenance"] == {} and "planned" not in record
            assert record["num_rows"] == self.records[unit]["num_rows"]
            if record["num_rows"]:
                data = checked(folder / "logits" / f"{unit}.{self.suffix}", record)
                found |= hdf5_logits(data) if self.suffix == "h5" else tar_logits(data, record, self.frames(unit))
        return found

    def teachers(self) -> dict[str, dict]:
        """Name -> identity of the added teachers."""
        paths = sorted((self.root / "teachers").glob("*/teacher.json"))
        found = {path.parent.name: read_document(path) for path in paths}
        assert all(document["name"] == name != "first" for name, document in found.items())
        return {name: document["teacher"] for name, document in found.items()}

    def embeddings(self, teacher: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """key -> (embeddings (V, D), crop_crc32 (V,)) of every row that an added teacher has embedded."""
        folder, found = self.root / "teachers" / teacher, {}
        for unit, record in documents(folder / "records").items():
            assert record["segments"] == [] and "planned" not in record
            assert record["frames_sha256"] == self.records[unit]["sha256"]
            assert record["num_rows"] == self.records[unit]["num_rows"]
            if record["num_rows"]:
                data = checked(folder / "columns" / f"{unit}.{self.suffix}", record)
                found |= hdf5_columns(data) if self.suffix == "h5" else tar_columns(data, record, self.frames(unit))
        return found


def hdf5_columns(data: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with h5py.File(io.BytesIO(data)) as file:
        assert file.attrs["kind"] in (b"embeddings", "embeddings")
        columns = [file[name][()] for name in ("key", "embeddings", "crop_crc32")]
    return {key.decode(): (vectors, crc) for key, vectors, crc in zip(*columns, strict=True)}


def tar_columns(data: bytes, record: dict, frames: Shard) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    places, found = members_of(record), {}
    for key, emb, crc in zip(frames.rows, places["emb"], places["crc"], strict=True):
        assert is_member(data, emb, f"{key}.emb.npy") and is_member(data, crc, f"{key}.crc.npy")
        found[key] = tuple(np.load(io.BytesIO(piece(data, place)), allow_pickle=False) for place in (emb, crc))
    return found


def head_logits(tensors: dict[str, np.ndarray], embeddings: np.ndarray) -> np.ndarray:
    values = embeddings.astype(np.float32)
    if "class_text" in tensors:
        return (
            tensors["logit_scale"][0] * (values @ tensors["class_text"].T) + tensors.get("logit_bias", np.zeros(1))[0]
        )
    layers = len(tensors) // 2
    for layer in range(layers):
        values = values @ tensors[f"weight_{layer}"].T + tensors[f"bias_{layer}"]
        values = values if layer == layers - 1 else np.maximum(values, 0)
    return values


def checked(path: Path, record: dict) -> bytes:
    data = path.read_bytes()
    assert len(data) == record["num_bytes"] and hashlib.sha256(data).hexdigest() == record["sha256"], path
    return data


def hdf5_rows(data: bytes) -> dict[str, tuple]:
    with h5py.File(io.BytesIO(data)) as file:
        assert file.attrs["format_version"] == SHARD_VERSION and file.attrs["kind"] in (b"frames", "frames")
        columns = {name: file[name][()] for name in file}
    rows, offsets = {}, columns["jpeg_offset"]
    for i, key in enumerate(columns["key"]):
        jpeg = columns["jpeg"][offsets[i] : offsets[i + 1]].tobytes()
        video = columns["video"][i]
        numerator, denominator = columns["time_base"][video]
        assert math.isclose(columns["pts"][i] * numerator / denominator, columns["t_sec"][i], abs_tol=1e-9)
        rows[key.decode()] = (
            *(jpeg, columns["embeddings"][i], columns["crop_crc32"][i], int(columns["frame_index"][i])),
            *(int(columns["pts"][i]), float(columns["t_sec"][i]), columns["video_uid"][video].decode()),
            columns["views"][video].tolist(),
        )
    return rows


def tar_rows(data: bytes, members: dict) -> dict[str, tuple]:
    rows = {}
    for emb, jpg, about in zip(members["emb"], members["jpg"], members["json"], strict=True):
        facts = json.loads(piece(data, about))
        assert "checksum" not in facts and "format_version" not in facts
        embeddings = np.load(io.BytesIO(piece(data, emb)), allow_pickle=False)
        crc = np.array(facts["crop_crc32"], np.uint32)
        key = f"{facts['video_uid']}_{facts['frame_index']:08d}"
        assert is_member(data, emb, f"{key}.emb.npy") and is_member(data, jpg, f"{key}.jpg")
        rows[key] = (
            *(piece(data, jpg), embeddings, crc, facts["frame_index"], facts["pts"], facts["t_sec"]),
            *(facts["video_uid"], facts["views"]),
        )
    return rows


def members_of(record: dict) -> dict[str, list[list[int]]]:
    """Type of member -> [offset, size] of each row, which older records spell out."""
    index, rows = record["index"], record["num_rows"]
    if "members" in index:
        return index["members"]
    types = [name for name in ("emb", "jpg", "json", "logits", "crc") if name in index["sizes"]]
    columns = {
        (field, name): [value] * rows if isinstance(value, int) else value
        for field in ("headers", "sizes")
        for name, value in index[field].items()
    }
    members: dict[str, list[list[int]]] = {name: [] for name in types}
    position = 0
    for row in range(rows):
        for name in types:
            size = columns["sizes", name][row]
            position += columns["headers", name][row]
            members[name].append([position, size])
            position += size + -size % 512
    return members


def piece(data: bytes, place: list[int]) -> bytes:
    offset, size = place
    return data[offset : offset + size]


def is_member(data: bytes, place: list[int], name: str) -> bool:
    """Whether the header right before a member's data is of a file of this name, of which it holds 100 characters."""
    header = data[place[0] - 512 : place[0]]
    assert re.fullmatch(rb"[0-7]{11}\0", header[124:136]) and int(header[124:135], 8) == place[1]
    return header[:100].rstrip(b"\0").decode() == name[:100] and header[156:157] == b"0"


def hdf5_logits(data: bytes) -> dict[str, np.ndarray]:
    with h5py.File(io.BytesIO(data)) as file:
        assert file.attrs["kind"] in (b"logits", "logits")
        keys, logits = file["key"][()], file["logits"][()]
    assert logits.dtype == np.float32
    return {key.decode(): values for key, values in zip(keys, logits, strict=True)}


def tar_logits(data: bytes, record: dict, frames: Shard) -> dict[str, np.ndarray]:
    places = members_of(record)["logits"]
    arrays = [np.load(io.BytesIO(piece(data, place)), allow_pickle=False) for place in places]
    for key, place in zip(frames.rows, places, strict=True):
        assert is_member(data, place, f"{key}.logits.npy")
    return dict(zip(frames.rows, arrays, strict=True))
