"""Progress prints plain lines when stderr is not a terminal."""

from embedonce.pipeline import progress


def test_plain_lines_off_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.Progress(3, "scanning", "videos") as bar:
        for _ in range(3):
            bar.update()
        bar.note("a word in between")
    told = capsys.readouterr()
    assert told.out == "" and "\r" not in told.err and "\x1b" not in told.err
    assert [line.split(" (")[0] for line in told.err.splitlines()] == [
        "scanning: 1/3 videos",
        "scanning: 2/3 videos",
        "scanning: 3/3 videos",
        "a word in between",
        "scanning: 3/3 videos",
    ]


def test_an_empty_progress_prints_nothing(capsys):
    with progress.Progress(0, "scanning", "videos"):
        pass
    assert capsys.readouterr().err == ""
