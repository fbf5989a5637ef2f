"""A miniature of UCF101: its lists as published, and the names of its videos."""

from pathlib import Path

TRAIN, TEST = "trainlist01.txt", "testlist01.txt"
VIDEOS = (
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
    "YoYo/v_YoYo_g09_c02.avi",
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
)


def write_lists(folder: Path) -> None:
    """Write the lists 1 and 2 and the numbers of the classes, with the line ends of the published files."""
    lists = {
        "classInd.txt": ["1 YoYo", "2 ApplyEyeMakeup"],
        TRAIN: [f"{VIDEOS[0]} 2", f"{VIDEOS[1]} 1"],
        TEST: [VIDEOS[2]],
        "trainlist02.txt": [f"{VIDEOS[2]} 2"],
        "testlist02.txt": [VIDEOS[0]],
    }
    folder.mkdir(parents=True)
    for name, lines in lists.items():
        (folder / name).write_bytes("".join(f"{line}\r\n" for line in lines).encode())
