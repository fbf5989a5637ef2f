"""prepare-energon: Megatron-Energon's own loader reads a cache, each frame in its split and no other."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.labels import ClipLabel
from embedonce.pipeline.energon.splits import ShardRows, assign_splits, video_splits
from tests.support.tiny_cache import make_tiny_cache

READ = """
import json, sys
from megatron.energon import Cooker, DefaultTaskEncoder, WorkerConfig, get_loader, get_val_dataset, stateless

@stateless
def cook(sample):
    return sample

class Encoder(DefaultTaskEncoder):
    decoder = None
    cookers = [Cooker(cook)]

    def batch(self, samples):
        return samples

rows = {}
for part in sys.argv[2:]:
    config = WorkerConfig(rank=0, world_size=1, num_workers=0)
    data = get_val_dataset(sys.argv[1], batch_size=1, worker_config=config, split_part=part, task_encoder=Encoder())
    rows[part] = []
    for (sample,) in get_loader(data):
        members = sorted(name for name in sample if not name.startswith("__"))
        rows[part].append([sample["__key__"].rpartition("/")[2], members])
print(json.dumps(rows))
"""


def clip(uid: str, split: str) -> ClipLabel:
    return ClipLabel(f"{uid}-{split}", uid, 0.0, 1.0, 0, split)


def prepare(cache, folder, *options):
    return CliRunner().invoke(cli.main, ["prepare-energon", "--cache-dir", cache, "--output-dir", folder, *options])


@pytest.mark.integration
def test_energon_reads_each_frame_in_the_split_of_its_video(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 3, backend="webdataset")
    before = sorted(cache.rglob("*"))

    ran = prepare(str(cache), str(tmp_path / "energon"), "--label-set", "tiny")

    assert ran.exit_code == 0, ran.output
    assert f"{tmp_path / 'energon'}: 3 shards (1 val, 2 train), 45 frames" in ran.output
    command = [sys.executable, "-c", READ, str(tmp_path / "energon"), "train", "val"]
    read = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert read.returncode == 0, read.stderr
    rows = json.loads(read.stdout.splitlines()[-1])
    assert {key.rpartition("_")[0] for key, _ in rows["train"]} == {"v1", "v2"}
    assert {key.rpartition("_")[0] for key, _ in rows["val"]} == {"v0"}
    assert len(rows["train"]) == 30 and len(rows["val"]) == 15
    assert rows["val"][0][1] == ["emb.npy", "jpg", "json"]
    assert sorted(cache.rglob("*")) == before  # nothing was written to the cache


def test_rows_of_another_split_than_their_shards_are_excluded():
    shard = ShardRows("frames/000000.tar", {"a": ["a_0", "a_1"], "b": ["b_0"], "c": ["c_0"]})

    assigned = assign_splits([shard], video_splits([clip("a", "train"), clip("b", "val")]))

    assert assigned.document() == {
        "split_parts": {"train": ["frames/000000.tar"]},
        "exclude": ["frames/000000.tar/b_0", "frames/000000.tar/c_0"],
    }


def test_videos_in_several_splits_and_shards_without_clips_are_in_none():
    shards = [ShardRows("frames/000000.tar", {"a": ["a_0"]}), ShardRows("frames/000001.tar", {"b": ["b_0"]})]

    assigned = assign_splits(shards, video_splits([clip("a", "train"), clip("a", "val"), clip("b", "val")]))

    assert assigned.document() == {"split_parts": {"val": ["frames/000001.tar"]}, "exclude": []}


def test_without_a_label_set_all_rows_are_for_training():
    assigned = assign_splits([ShardRows("frames/000000.tar", {"a": ["a_0"]})], None)

    assert assigned.document() == {"split_parts": {"train": ["frames/000000.tar"]}, "exclude": []}


def test_hdf5_caches_and_existing_folders_are_refused(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 1)
    ran = prepare(str(cache), str(tmp_path / "energon"))
    assert ran.exit_code == 2 and "convert-cache --backend webdataset makes a cache that it can read" in ran.output
    assert not (tmp_path / "energon").exists()

    tars = make_tiny_cache(tmp_path / "tars", 1, backend="webdataset")
    (tmp_path / "mine").mkdir()
    ran = prepare(str(tars), str(tmp_path / "mine"))
    assert ran.exit_code == 2 and f"{tmp_path / 'mine'} exists" in ran.output
    assert list((tmp_path / "mine").iterdir()) == []

    ran = prepare(str(tars), str(tars / "energon"))
    assert ran.exit_code == 4 and "is inside the cache" in " ".join(ran.output.split())
    assert not (tars / "energon").exists()


def test_unknown_label_sets_are_refused_with_those_that_exist(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 1, backend="webdataset")

    ran = prepare(str(cache), str(tmp_path / "energon"), "--label-set", "nouns")

    assert ran.exit_code != 0 and "tiny" in ran.output and "Traceback" not in ran.output
    assert not (tmp_path / "energon").exists()
