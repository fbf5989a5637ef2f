"""A miniature of EGTEA Gaze+: its lists, names of classes and table of times as published, and names of its clips."""

from pathlib import Path

TRAIN, TEST, ACTIONS, NOUNS = "train_split1.txt", "test_split1.txt", "action_idx.txt", "noun_idx.txt"
TABLE = Path("raw_annotations") / "action_labels.csv"
SALAD, PIZZA = "OP01-R01-PastaSalad", "P05-R07-Pizza"
CUT, TRANSFER, READ = CLIPS = (
    f"{SALAD}-250-1100-F000003-F000029",
    f"{SALAD}-1000-2040-F000021-F000051",
    f"{PIZZA}-500-1520-F000010-F000039",
)
LISTS = {
    TRAIN: [f"{CUT} 1 2 2 ", f"{TRANSFER} 3 3 2 1"],  # with a space at the end, as published
    TEST: [f"{READ} 2 1 3"],
    "train_split2.txt": [f"{READ} 2 1 3"],
    "test_split2.txt": [f"{CUT} 1 2 2"],
    ACTIONS: ["Cut tomato 1", "Inspect/Read recipe 2", "Transfer tomato,cutting_board 3"],
    "verb_idx.txt": ["Inspect/Read 1", "Cut 2", "Transfer 3"],
    NOUNS: ["cutting_board 1", "tomato 2", "recipe 3"],
}
HEADER = (
    "# Clip ID (Unique, used only internally); Clip Prefix (Unique); Video Session; Starting Time (ms);  "
    "Ending Time (ms); Action Label; Verb Label; Noun Label(s)"
)
TIMES = (
    f"1; {SALAD}-250-1100; {SALAD}; 250; 1100; Cut tomato; Cut; tomato",
    f"2; {SALAD}-1000-2040; {SALAD}; 1000; 2040; Transfer tomato,cutting_board; Transfer; tomato,cutting_board",
    f"3; {PIZZA}-500-1520; {PIZZA}; 500; 1520; Inspect/Read recipe; Inspect/Read; recipe",
)


def write_lists(folder: Path, with_times: bool = True) -> None:
    """Write the lists 1 and 2, the names of the classes and the table of times."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in LISTS.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    if with_times:
        (folder / TABLE).parent.mkdir(exist_ok=True)
        (folder / TABLE).write_text("".join(f"{line}\n" for line in (HEADER, *TIMES)))


def clip_file(clip: str) -> str:
    """Where a cut clip is, from the data folder, as published."""
    return f"cropped_clips/{clip.rsplit('-', 4)[0]}/{clip}.mp4"
