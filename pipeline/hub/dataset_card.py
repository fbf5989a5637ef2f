"""The card of a shared cache: README.md of its repository. Computes no figures."""

from collections import Counter
from collections.abc import Sequence

from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.pipeline.console.printable import markdown, markdown_code
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.files.recognition import sealed
from embedonce.pipeline.hub.known_datasets import KnownDataset
from embedonce.pipeline.hub.manifest import CACHE, Manifest

KIND = "push-cache"
TEXT = """---
license: {license}
tags: [embedonce, video, embeddings, distillation]
task_categories: [{tasks}]
{configs}---
# {title}

{what} made with embedonce: the frames of {videos} videos, sampled at {sampling} and embedded once by a teacher.

| | |
|---|---|
| teacher | {teacher} |
| weights | {weights} |
| embeddings | {dim} values, L2-normalized, of {rows} frames, {views} of each |
| files | {files}, {size} |
{added}
## Label sets

{label_sets}

## How to get and read it

```
python cli.py pull-cache {repo} --output-dir {folder}
```

{reading}

`embedonce_cache.json` lists all files with their SHA-256; `pull-cache` verifies them.

## License

The files are shared under the license `{license}`. {owners}
"""
WHAT = {True: "A cache", False: "Embeddings, without frames,"}
READ_CACHE = """```python
from embedonce import open_cache

cache = open_cache("{folder}")
for uid in cache.video_uids:
    print(uid, cache.timeline(uid).t_sec)
```

Students are trained from it without the videos or the teacher: `python cli.py train-student --cache-dir {folder}`."""
READ_TABLES = """```python
import pandas

table = pandas.read_parquet("{folder}/embeddings/first.parquet")
```

Each row has `video_uid`, `source`, `t_sec`, `pts`, `frame_index` and `embedding`. There are no frames in it: it can be
searched and analyzed, but no student can be trained from it."""
OWNERS = (
    "It is made from videos of {names}: their license applies to the videos and may apply to what is made from them."
)
UNKNOWN_OWNERS = "The license of the videos that it was made from may apply as well."


def dataset_card(
    reader: CacheReader, manifest: Manifest, repo: str, license_id: str, datasets: Sequence[KnownDataset]
) -> bytes:
    """README.md, sealed, so that a later push recognizes it if nobody has edited it."""
    identity, folder = reader.identity, repo.rpartition("/")[2]
    teacher, is_cache = identity.teacher, manifest.kind == CACHE
    names = ", ".join(dataset.name for dataset in datasets)
    text = TEXT.format(
        license=license_id,
        tasks="video-classification" if is_cache else "feature-extraction",
        configs="" if is_cache else "configs:\n- config_name: default\n  data_files: embeddings/first.parquet\n",
        title=markdown(folder),
        what=WHAT[is_cache],
        videos=manifest.videos,
        sampling=_sampling(identity),
        teacher=markdown(teacher.name),
        weights=f"{markdown(teacher.weights)}, SHA-256 `{teacher.weights_sha256}`",
        dim=teacher.embed_dim,
        rows=manifest.rows,
        views=f"{identity.num_views + 1} crops" if is_cache else "the evaluation crop",
        files=len(manifest.files),
        size=in_bytes(manifest.num_bytes),
        added=_added_teachers(reader),
        label_sets=_label_sets(reader),
        repo=repo,
        folder=folder,
        reading=(READ_CACHE if is_cache else READ_TABLES).format(folder=folder),
        owners=OWNERS.format(names=markdown(names)) if names else UNKNOWN_OWNERS,
    )
    return sealed(text.encode("utf-8", "backslashreplace"), KIND)


def _sampling(identity: CacheIdentity) -> str:
    return "their key frames" if identity.fps is None else f"{identity.fps:g} frames per second"


def _added_teachers(reader: CacheReader) -> str:
    rows = []
    for name in reader.teachers.names():
        identity = reader.teachers.read(name).identity
        rows.append(
            f"| further teacher {markdown_code(name)} | {markdown(identity.name)}, {identity.embed_dim} values |\n"
        )
    return "".join(rows)


def _label_sets(reader: CacheReader) -> str:
    lines = []
    for name in reader.label_sets():
        labels = reader.label_set(name)
        splits = ", ".join(
            f"{count} {split}" for split, count in sorted(Counter(c.split for c in labels.clips).items())
        )
        lines.append(
            f"- {markdown_code(name)}: {len(labels.classes)} classes, {len(labels.clips)} clips ({splits or '-'})"
        )
    return "\n".join(lines) or "None."
