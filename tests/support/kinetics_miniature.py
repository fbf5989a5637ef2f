"""A miniature of Kinetics: its tables, by their published columns, and the names of its cut clips."""

from collections.abc import Iterable
from pathlib import Path

TRAIN, VAL, TEST = "train.csv", "val.csv", "test.csv"
HEADER = "label,youtube_id,time_start,time_end,split,is_cc"
ROWS = {
    TRAIN: ["abseiling,-3B32lodo2M,59,69,train,0", '"massaging person\'s head",_dbcJuKJQNs,0,10,train,1'],
    VAL: ["abseiling,0wR5jVB-WPk,417,427,val,0", "abseiling,0wR5jVB-WPk,7,9,val,0"],
    TEST: ["8aZ-zJ0bTvE,3,13,test"],
}
CLIPS = ("-3B32lodo2M_000059_000069", "_dbcJuKJQNs_000000_000010", "0wR5jVB-WPk_000417_000427")
MISSING = "0wR5jVB-WPk_000007_000009"  # of a video that exists no more
FILES = (f"train/abseiling/{CLIPS[0]}.mp4", f"train/massaging_persons_head/{CLIPS[1]}.mp4", f"val/{CLIPS[2]}.mp4")


def write_tables(folder: Path, train: Iterable[str] = ROWS[TRAIN], val: Iterable[str] = ROWS[VAL]) -> None:
    """Write the tables; that of the test clips has no labels, as published."""
    folder.mkdir(parents=True, exist_ok=True)
    test_header = HEADER.removeprefix("label,").removesuffix(",is_cc")
    for name, header, rows in ((TRAIN, HEADER, train), (VAL, HEADER, val), (TEST, test_header, ROWS[TEST])):
        (folder / name).write_text("".join(f"{line}\n" for line in (header, *rows)))
