"""The table of clips by class and split."""

from embedonce.pipeline.sources.source import Clip
from embedonce.pipeline.splits.assignment import selection_uids
from embedonce.pipeline.splits.class_table import MAX_ROWS, class_table


def clips(counts: dict[tuple[int, str], int]) -> list[Clip]:
    """counts: (label, split) -> clips, each of a video of its own."""
    made = []
    for (label, split), number in counts.items():
        made += [Clip(f"{label}{split}{i}", f"{label}-{split}-{i}", 0.0, 1.0, label, split) for i in range(number)]
    return made


def rows(lines: list[str]) -> dict[str, list[str]]:
    """name -> the cells after it"""
    return {line.split("  ")[1]: line[2:].partition("  ")[2].split(None, 4) for line in lines[2:] if "…" not in line}


def test_every_clip_is_counted_once_and_gaps_are_marked():
    made = clips({(0, "train"): 30, (0, "val"): 2, (1, "val"): 3, (2, "train"): 1, (-1, "train"): 4})
    labels = {clip.video_uid: {clip.label} for clip in made if clip.split == "train"}
    held = selection_uids(labels, labels)
    of = [sum(c.label == label and c.video_uid in held for c in made) for label in (0, 2, -1)]
    lines = class_table(("cut", "写字", "stir"), made, "videos")
    assert "videos by class and split" in lines[0] and lines[1].split() == ["train", "selection", "val", "total"]
    found = rows(lines)
    assert of[0] > 0 and found["cut"] == [str(30 - of[0]), str(of[0]), "2", "32"]
    assert found["写字"][:4] == ["0", "0", "3", "3"] and found["写字"][4].endswith("no training and no selection clip")
    assert "no validation clip" in found["stir"][4]
    assert found["(no class)"] == [str(4 - of[2]), str(of[2]), "0", "4"]
    assert found["3 classes"] == [str(35 - len(held)), str(len(held)), "5", "40"]
    assert lines[-1].startswith("  3 classes")


def test_the_table_shows_the_clips_that_training_selects_by():
    """The only training video of a class is not for selection, wherever its hash puts it."""
    for rare in range(200):
        made = [*clips({(0, "train"): 30}), Clip("x", f"rare-{rare}", 0.0, 1.0, 1, "train")]
        found = rows(class_table(("cut", "stir"), made))
        assert found["stir"][:2] == ["1", "0"] and found["cut"][:2] == ["27", "3"]


def test_columns_are_aligned_for_every_script():
    lines = class_table(("cut", "写字", "e\u0301crire"), clips({(0, "train"): 1, (1, "test"): 1, (2, "val"): 1}))
    assert lines[1].split() == ["train", "selection", "val", "test", "total"]
    ends = {len(line.encode("utf-16-le")) // 2 + 2 * line.count("写") - line.count("\u0301") for line in lines[5:6]}
    assert ends == {len(lines[1])}


def test_long_tables_are_shortened_and_keep_classes_with_gaps():
    made = [
        Clip(f"{label}{split}{i}", f"video-{i}" if split == "train" else f"v{i}", 0.0, 1.0, label, split)
        for label in range(200)  # video-9 is for selection
        for split in ("train", "val")
        for i in range(20 + label)
        if (label, split) not in ((150, "val"), (170, "train"))
    ]
    lines = class_table(tuple(f"class {label}" for label in range(200)), made)
    assert len(lines) == 2 + MAX_ROWS + 2
    assert lines[2].startswith("  class 170 ") and "no training and no selection clip" in lines[2]
    assert lines[3].startswith("  class 150 ") and "no validation clip" in lines[3]
    assert lines[4].startswith("  class 199 ") and "no " not in lines[4]
    assert "180 more classes; 2 of 200 lack clips of a split" in lines[-2]
    assert lines[-1].startswith("  200 classes")


def test_long_names_are_shortened_and_unlabeled_data_have_a_total():
    lines = class_table(("写" * 90,), clips({(0, "train"): 1}))
    assert max(map(len, lines[1:])) < 120 and "…" in lines[2]
    assert class_table((), clips({(-1, "val"): 2}))[-1].split() == ["total", "0", "0", "2", "2"]


def test_a_clip_of_several_classes_counts_for_each_and_once_in_the_total():
    made = [Clip(str(i), f"v{i}", 0.0, 1.0, -1, "val", labels=labels) for i, labels in enumerate([(0, 1), (1,), ()])]
    found = rows(class_table(("cut", "stir"), made))
    assert found["cut"][3] == "1" and found["stir"][3] == "2" and found["(no class)"][3] == "1"
    assert found["2 classes"][3] == "3"
