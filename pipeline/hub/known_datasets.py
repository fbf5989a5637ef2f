"""Recognizes public data sets, whose owners decide who may share their videos, by annotations and names of videos."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from embedonce.cache.reader import CacheReader

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class KnownDataset:
    """A data set. annotations: how kinds of its annotations begin. videos: pattern of paths, without suffix.

    is_by_agreement: whether everyone who uses it has signed for it, also for what is computed from its videos.
    """

    name: str
    annotations: tuple[str, ...]
    videos: str
    is_by_agreement: bool = False


DATASETS = (
    KnownDataset("Ego4D", ("moments", "narrations", "fho-", "lta-", "goalstep"), rf"(?:.*/)?{_UUID}", True),
    KnownDataset("Ego-Exo4D", ("egoexo-",), r"(?:.*/)?takes/.*/frame_aligned_videos/.*", True),
    KnownDataset("HD-EPIC", ("hd-epic-",), r"(?:.*/)?P\d\d-20\d{6}-\d{6}"),
    KnownDataset("EPIC-KITCHENS", ("epic-",), r"(?:.*/)?P\d\d_\d{2,3}"),
    KnownDataset("Charades-Ego", ("charades-",), r"(?:.*/)?[A-Z0-9]{5}(?:EGO)"),
    KnownDataset("EGTEA Gaze+", ("egtea-",), r"(?:.*/)?(?:OP|P)\d\d-R\d\d-[A-Za-z]+.*"),
    KnownDataset("Assembly101", ("assembly101-",), r"(?:.*/)?nusar-2021_.*"),
    KnownDataset("UCF101", (), r"(?:.*/)?v_[A-Za-z]+_g\d\d_c\d\d"),
    KnownDataset("Kinetics", (), r"(?:.*/)?[\w-]{11}_\d{6}_\d{6}"),
)


def known_datasets(reader: CacheReader) -> list[KnownDataset]:
    """The public data sets that a cache seems to be made from."""
    kinds = [str(reader.label_set(name).facts.get("annotations", "")) for name in reader.label_sets()]
    sources = [video.source for part in reader.plan() for video in part.videos]
    return [dataset for dataset in DATASETS if _has_kind(dataset, kinds) or _has_video(dataset, sources)]


def _has_kind(dataset: KnownDataset, kinds: Iterable[str]) -> bool:
    return any(kind.startswith(dataset.annotations) for kind in kinds) if dataset.annotations else False


def _has_video(dataset: KnownDataset, sources: Iterable[str]) -> bool:
    return any(re.fullmatch(dataset.videos, re.sub(r"\.\w{1,5}$", "", source), re.ASCII) for source in sources)
