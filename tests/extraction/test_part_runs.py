"""Parts of one extraction, one after another or at once: together they make the cache that one run makes."""

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from embedonce.cache import opening
from embedonce.cache.errors import BusyError
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction import summary, teacher_loading
from embedonce.pipeline.extraction.parts import chosen_names
from embedonce.pipeline.extraction.preflight import run_preflight
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.summary import pending_uids
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source, union, with_names
from tests.commands.test_cli import call, error_of
from tests.extraction.test_runner import check_same_rows, content
from tests.support import killed_run
from tests.support.fake_teacher import FakeTeacher, write_zero_shot
from tests.support.killed_run import Job
from tests.support.killing import make_videos
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = make_videos(tmp_path_factory.mktemp("parts") / "videos")
    write_video(folder / "cut" / "late.mp4", 45)
    (folder / "cut" / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def whole(videos) -> Path:
    """A cache that one run made."""
    cache = videos.parent / "whole"
    run(config_of(videos, cache))
    return cache


def config_of(videos: Path, cache: Path | str, part: str | None = None, **changes) -> ExtractConfig:
    settings = {"shard_frames": 8, "batch_size": 8, "decode_workers": 1, "fps": 5.0, "views": 1, "part": part}
    return ExtractConfig(videos, False, cache, **(settings | changes))


def source_of(config: ExtractConfig) -> Source:
    return union(open_sources(config.data_dir))


def run(config: ExtractConfig):
    """The summary of an extraction with its label set, in this process."""
    source = source_of(config)
    writer, teacher, result = extract(config, source, FakeTeacher, chosen=chosen_names(source, config.part))
    with closing(writer):
        write_zero_shot(writer, source, teacher)
        writer.write_manifest()
    return result


def at_once(configs: list[ExtractConfig], **job) -> list[killed_run.Ended]:
    """Extractions in processes of their own that run at the same time."""
    with ThreadPoolExecutor(len(configs)) as threads:
        return list(threads.map(lambda config: killed_run.run(Job(config, **job)), configs))


def check_equal(cache: Path | str, whole: Path) -> None:
    """Check that a cache has the rows, clips and logits of another one, each once, and is sound."""
    check_same_rows(content(cache), content(whole))
    found, expected = open_reader(cache), open_reader(whole)
    assert set(found.label_set("zero-shot").clips) == set(expected.label_set("zero-shot").clips)
    assert found.logits_units("zero-shot") == set(found.records)
    planned = [video.uid for part in found.plan() for video in part.videos]
    assert sorted(planned) == sorted(video.uid for part in expected.plan() for video in part.videos)
    assert found.quarantined().keys() == expected.quarantined().keys()
    assert verify(cache).problems == []


def test_parts_one_after_another_make_the_cache_of_one_run(videos, whole, tmp_path):
    results = [run(config_of(videos, tmp_path / "c", f"{number}/3")) for number in (2, 1, 3)]
    check_equal(tmp_path / "c", whole)
    source = source_of(config_of(videos, tmp_path / "c"))
    assert sum(result.listed for result in results) == len(source.videos)
    assert [result.pending for result in results] == [0, 0, 0]
    assert sorted(result.exit_code for result in results) == [0, 0, 3]
    again = run(config_of(videos, tmp_path / "c", "1/3"))
    assert again.times is None and again.listed == results[1].listed
    assert read_manifest(Layout.at(tmp_path / "c"))["num_rows"] == open_reader(whole).num_rows


def test_more_parts_than_videos_leave_some_with_nothing_to_do(videos, whole, tmp_path):
    results = [run(config_of(videos, tmp_path / "c", f"{number}/9")) for number in range(1, 10)]
    assert 0 in {result.listed for result in results}
    check_equal(tmp_path / "c", whole)


@pytest.mark.slow
def test_parts_at_once_make_the_cache_of_one_run(videos, whole, tmp_path):
    ended = at_once([config_of(videos, tmp_path / "c", f"{number}/3") for number in (1, 2, 3)])
    assert sorted(end.code for end in ended) == [0, 0, 3], [end.errors for end in ended]
    check_equal(tmp_path / "c", whole)


@pytest.mark.slow
def test_the_same_part_twice_at_once_loses_and_duplicates_nothing(videos, whole, tmp_path):
    ended = at_once([config_of(videos, tmp_path / "c", "1/1") for _ in range(3)])
    assert {end.code for end in ended} == {3}, [end.errors for end in ended]
    check_equal(tmp_path / "c", whole)


def test_a_part_that_is_killed_is_continued_while_another_one_runs(videos, whole, tmp_path):
    first, second = (config_of(videos, tmp_path / "c", part) for part in ("1/2", "2/2"))
    killed = killed_run.run(Job(first), "everything", delay_sec=0.0, num_lines=1)
    assert killed.hit and killed.code < 0
    ended = at_once([first, second])
    assert sorted(end.code for end in ended) == [0, 3], [end.errors for end in ended]
    check_equal(tmp_path / "c", whole)


@pytest.mark.slow
def test_parts_at_once_write_one_bucket(videos, whole):
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3,test]'")
    from tests.support.s3_server import new_bucket, s3_server

    with s3_server() as endpoint:
        cache = f"s3://{new_bucket(endpoint)}/c"
        ended = at_once([config_of(videos, cache, f"{number}/3") for number in (1, 2, 3)])
        assert sorted(end.code for end in ended) == [0, 0, 3], [end.errors for end in ended]
        check_equal(cache, whole)


def test_parts_finish_units_that_an_ordinary_run_left(videos, whole, tmp_path):
    """Also those that videos of several parts share."""
    config = config_of(videos, tmp_path / "c", shard_frames=30)
    killed = killed_run.run(Job(config), "everything", delay_sec=0.0, num_lines=1)
    assert killed.hit
    shared = [unit for part in open_reader(tmp_path / "c").plan() for unit in part.units if len(unit.segments) > 1]
    assert shared
    results = [run(config_of(videos, tmp_path / "c", f"{number}/2")) for number in (1, 2)]
    assert sum(result.pending for result in results) in (0, results[0].pending)
    check_equal(tmp_path / "c", whole)


def test_a_part_counts_and_scans_its_own_videos_only(videos, tmp_path):
    config = config_of(videos, tmp_path / "c", "1/2")
    source = source_of(config)
    chosen = chosen_names(source, "1/2")
    report = run_preflight(config, source, chosen=chosen)
    assert {*report.scanned.scans, *report.scanned.failures} == {v.uid for v in with_names(source, chosen).videos}
    other = chosen_names(source, "2/2")
    assert not chosen & other and chosen | other == {video.uid for video in source.videos}


def test_attempts_at_videos_of_other_parts_are_kept(videos, tmp_path):
    """Also at those that another process has planned since this one read the plan; those of completed videos go."""
    run(config_of(videos, tmp_path / "c", "1/2"))
    done = open_reader(tmp_path / "c").video_uids[0]
    with closing(open_writer(tmp_path / "c", open_reader(tmp_path / "c").identity, is_shared=True)) as other:
        other.count_attempt("of-another-part", "it crashed")
        other.count_attempt(done, "it crashed")
        run(config_of(videos, tmp_path / "c", "1/2"))
        assert set(other.attempts()) == {"of-another-part"}


def test_what_another_process_commits_while_videos_are_counted_is_no_lost_record(videos, tmp_path, monkeypatch):
    """The same part, started twice: the other one commits the last unit just before the records are listed."""
    config = config_of(videos, tmp_path / "c", "1/1")
    source = source_of(config)
    run(config)
    layout, identity = Layout.at(tmp_path / "c"), open_reader(tmp_path / "c").identity
    records = open_reader(tmp_path / "c").records
    units_of = Counter(segment.video_uid for record in records.values() for segment in record.segments)
    (unit, *_) = (u for u, record in records.items() if any(units_of[s.video_uid] == 1 for s in record.segments))
    record = layout.frame_paths().records / f"{unit}.json"
    stored = record.get()
    record.delete()
    with closing(open_writer(tmp_path / "c", identity, is_shared=True)) as writer:
        assert summary.summarize(writer, source).pending

        def committed_meanwhile(writer):
            record.put_if_absent(stored)
            return pending_uids(writer)

        monkeypatch.setattr(summary, "pending_uids", committed_meanwhile)
        result = summary.summarize(writer, source)
    assert (result.listed, result.pending, result.committed) == (6, 0, 5)


def test_an_ordinary_run_waits_for_the_parts_and_parts_for_it(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "_PATIENCE_SEC", -1)  # with those that start at the same moment
    run(config_of(videos, tmp_path / "c", "1/2"))
    identity = open_reader(tmp_path / "c").identity
    with closing(open_writer(tmp_path / "c", identity, is_shared=True)), pytest.raises(BusyError):
        run(config_of(videos, tmp_path / "c"))
    with closing(open_writer(tmp_path / "c", identity)), pytest.raises(BusyError):
        run(config_of(videos, tmp_path / "c", "2/2"))


def test_clips_are_not_replaced_while_others_write(videos, tmp_path):
    run(config_of(videos, tmp_path / "c"))
    source = source_of(config_of(videos, tmp_path / "c"))
    moved = tuple(dataclasses.replace(clip, label=1 - min(clip.label, 1)) for clip in source.clips)
    with (
        closing(open_writer(tmp_path / "c", open_reader(tmp_path / "c").identity, is_shared=True)) as writer,
        pytest.raises(BusyError, match="run the command without --part when they have ended"),
    ):
        write_zero_shot(writer, dataclasses.replace(source, clips=moved))


@pytest.mark.parametrize("part", ["0/2", "3/2", "1/0", "x", "1", "-1/2", "1/2/3", "１/2"])
def test_a_part_that_does_not_exist_is_refused_in_one_sentence(tmp_path, part):
    told = error_of("extract-teacher", "--data-dir", tmp_path, "--cache-dir", tmp_path / "c", "--part", part)
    assert "--part" in told and part in told and not (tmp_path / "c").exists()


@pytest.mark.parametrize("others", [["--use-synthetic"], ["--data-dir", ".", "--teacher-head", "fitted"]])
def test_parts_are_refused_where_they_make_no_sense(tmp_path, others):
    told = error_of("extract-teacher", "--cache-dir", tmp_path / "c", "--part", "1/2", *others)
    assert "--part" in told and not (tmp_path / "c").exists()


def test_a_part_is_named_on_the_command_line(videos, tmp_path, monkeypatch):
    told = call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c", "--part", "2/5", "--dry-run")
    assert "part 2/5" in told and "1 listed" in told


def test_a_part_says_what_follows(videos, tmp_path, monkeypatch):
    class Teacher(FakeTeacher):
        def drop_text_tower(self):
            pass

    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: Teacher())
    paths = ["--data-dir", videos, "--cache-dir", tmp_path / "c"]
    told = call("extract-teacher", *paths, "--part", "2/5", "--fps", 1, "--views", 0)
    assert "part 2/5: listed 1 videos = 1 committed" in told
    assert "when all parts have ended, run the same command without --part" in told and "train-student" not in told
