"""Parts of a listing are parsed strictly; the assignment is deterministic, complete and balanced."""

import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from embedonce.pipeline.extraction.parts import Part, assign, chosen_names, names_of_part
from embedonce.pipeline.sources.source import Clip, Source, Video


def made_costs(num_videos: int = 500, seed: int = 1) -> dict[str, float]:
    lengths = random.Random(seed)
    return {f"video-{index:04d}": lengths.lognormvariate(6, 1) for index in range(num_videos)}


def loads(costs: dict[str, float], num_parts: int) -> dict[int, float]:
    found: dict[int, float] = dict.fromkeys(range(1, num_parts + 1), 0.0)
    for uid, number in assign(costs, num_parts).items():
        found[number] += costs[uid]
    return found


@pytest.mark.parametrize("text, part", [("1/1", Part(1, 1)), ("2/8", Part(2, 8)), ("08/8", Part(8, 8))])
def test_parts_are_parsed(text, part):
    assert Part.parse(text) == part


def test_a_part_is_written_as_it_is_parsed():
    assert str(Part.parse("3/12")) == "3/12"


@pytest.mark.parametrize(
    "text",
    [
        *("0/8", "9/8", "0/0", "1/0", "-1/8", "1/-8", "+1/8", "1.5/8", "1/8.0", "", "/", "1/", "/8", "1", "a/b"),
        *(" 1/8", "1/8\n", "1 / 8", "1/8/8", "1\\8", "1-8", "²/8", "١/٨", "1/" + "9" * 5000),
    ],
)
def test_anything_else_is_one_sentence_with_the_value(text):
    with pytest.raises(ValueError) as caught:
        Part.parse(text)
    assert str(caught.value) == f"--part must be i/N with i from 1 to N, such as 2/8, got {text!r}"


def test_the_longest_video_goes_first_to_the_lightest_part():
    assert assign({"a": 5, "b": 4, "c": 3, "d": 3, "e": 1}, 2) == {"a": 1, "b": 2, "c": 2, "d": 1, "e": 2}


def test_every_video_has_exactly_one_part():
    costs = made_costs()
    parts = assign(costs, 7)
    assert parts.keys() == costs.keys()
    assert set(parts.values()) == set(range(1, 8))


def test_the_order_of_the_listing_makes_no_difference():
    costs = made_costs() | {f"equal-{index}": 100.0 for index in range(50)}
    for seed in range(5):
        uids = list(costs)
        random.Random(seed).shuffle(uids)
        assert assign({uid: costs[uid] for uid in uids}, 9) == assign(costs, 9)


def test_another_process_with_another_hash_seed_computes_the_same():
    code = (
        "from embedonce.pipeline.extraction.parts import assign\n"
        "print(sorted(assign({f'v{i}': i % 7 for i in range(40)}, 6).items()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "123"
    }  # fmt: skip
    assert outputs == {f"{sorted(assign({f'v{i}': i % 7 for i in range(40)}, 6).items())}\n"}


@pytest.mark.parametrize("num_parts", [2, 8, 64])
def test_no_part_exceeds_another_by_more_than_one_video(num_parts):
    costs = made_costs()
    found = loads(costs, num_parts)
    assert max(found.values()) - min(found.values()) <= max(costs.values())
    assert max(found.values()) <= sum(costs.values()) / num_parts + max(costs.values())


def test_many_more_videos_than_parts_are_balanced_to_a_percent():
    costs = made_costs(5000)
    assert max(loads(costs, 8).values()) <= 1.01 * sum(costs.values()) / 8


def test_videos_of_unknown_cost_do_not_all_go_to_one_part():
    assert set(Counter(assign({f"video-{index}": 0.0 for index in range(12)}, 4).values()).values()) == {3}


def test_more_parts_than_videos_leave_parts_without_work():
    assert assign({"a": 1, "b": 2}, 5) == {"b": 1, "a": 2}


def test_no_videos():
    assert assign({}, 3) == {}


def test_one_part_has_everything():
    assert set(assign(made_costs(20), 1).values()) == {1}


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf")])
def test_costs_that_are_no_costs_are_refused(cost):
    with pytest.raises(ValueError, match="cost of video 'a' must be a number from 0 on"):
        assign({"a": cost}, 2)


def test_no_parts_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        assign({"a": 1}, 0)


def source_with(tmp_path, sizes: dict[str, int], listed_sec=None, windows=((-math.inf, math.inf),)) -> Source:
    """Files of these sizes, each with clips over these windows."""
    for uid, size in sizes.items():
        (tmp_path / uid).write_bytes(bytes(size))
    videos = tuple(Video(uid, tmp_path / uid, uid, listed_sec=listed_sec) for uid in sizes)
    clips = tuple(Clip(f"{uid}-{i}", uid, *window, 0, "train") for uid in sizes for i, window in enumerate(windows))
    return Source(tmp_path, "folder", videos, clips, ("cut",))


def test_videos_are_dealt_by_their_sizes(tmp_path):
    source = source_with(tmp_path, {"a": 100, "b": 20, "c": 30, "d": 40})
    assert [sorted(names_of_part(source, Part(number, 2))) for number in (1, 2)] == [["a"], ["b", "c", "d"]]


def test_only_the_annotated_part_of_a_video_counts(tmp_path):
    """Overlapping clips count once, and what is outside the video not at all."""
    small = source_with(tmp_path, {"b": 30, "c": 30, "d": 30})
    windows = ((-5.0, 20.0), (10.0, 30.0), (90.0, 300.0))
    large = source_with(tmp_path, {"a": 100}, (0.0, 100.0), windows)  # 40 of 100 seconds
    source = replace(small, videos=small.videos + large.videos, clips=small.clips + large.clips)
    assert [sorted(names_of_part(source, Part(number, 2))) for number in (1, 2)] == [["a", "d"], ["b", "c"]]


def test_every_name_is_in_one_part(tmp_path):
    """Also of files that are no videos, that were removed, or that are gone."""
    source = source_with(tmp_path, {"a": 10, "b": 10})
    source = replace(source, rejected=(("x.txt", "no video"), ("y.txt", "no video")), withdrawn=("old.mp4",))
    (tmp_path / "a").unlink()
    parts = [names_of_part(source, Part(number, 3)) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == ["a", "b", "old.mp4", "x.txt", "y.txt"]
    assert chosen_names(source, None) is None and chosen_names(source, "2/3") == parts[1]
