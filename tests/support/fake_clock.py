"""A clock that tests set."""


class FakeClock:
    """Called, it returns the seconds that advance() has added up."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
