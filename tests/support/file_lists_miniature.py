"""Miniature lists of files, as programs for training on videos read them, and the names of their videos."""

from pathlib import Path

TRAIN, VAL, CLASSES = "train.txt", "val.txt", "label_map_k400.txt"
VIDEOS = ("abseiling/a b.mp4", "zumba/c,d.mp4", "abseiling/e.mp4")
LISTS = {
    TRAIN: [f"{VIDEOS[0]} 0", f"{VIDEOS[1]},2"],
    VAL: [f"{VIDEOS[2]} 0"],
    CLASSES: ["abseiling", "air drumming", "zumba"],
}


def write_lists(folder: Path) -> None:
    """Write both lists, and the names of the classes by line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in LISTS.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
