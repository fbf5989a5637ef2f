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


class Listener:
    def __init__(self):
        self.heard = []

    def extended(self, amount, bar):
        self.heard.append(("extended", amount, bar.unit, bar.label, bar.count, bar.total))

    def updated(self, amount, bar):
        self.heard.append(("updated", amount, bar.unit, bar.label, bar.count, bar.total))

    def noted(self, text, bar):
        self.heard.append(("noted", text, bar.label))


def test_a_listener_hears_everything_and_nothing_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    listener = Listener()
    with progress.heard_by(listener), progress.Progress(3, "extracting", "frames") as bar:
        bar.update(2)
        bar.extend(4)
        bar.note("a word\nin between")
        bar.relabel("still extracting")
    with progress.Progress(1, "afterwards", "frames") as bar:
        bar.update()
    told = capsys.readouterr().err.splitlines()
    assert {line.partition(":")[0] for line in told} == {"afterwards"}
    assert listener.heard[:3] == [
        ("extended", 3, "frames", "extracting", 0, 3),
        ("updated", 2, "frames", "extracting", 2, 3),
        ("extended", 4, "frames", "extracting", 2, 7),
    ]
    assert len(listener.heard) == 4 and listener.heard[3][0] == "noted" and "\n" not in listener.heard[3][1]
