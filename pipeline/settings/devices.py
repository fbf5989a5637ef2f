"""The value of --device where it may name several devices, as text. Which of them exist, only torch can tell."""

import re

FORM = "auto, cpu, mps, cuda (all visible GPUs), cuda:N, or a list such as cuda:0,2"
_FORM = re.compile(r"auto|cpu|mps|cuda(:\d{1,4}(,\d{1,4})*)?")


def check_devices(text: str) -> None:
    """ValueError, with what was given, for a text of another form and for a GPU that is named twice."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"--device must be {FORM}, got {text!r}")
    numbers = [int(number) for number in listed(text)]
    repeated = [number for number in numbers if numbers.count(number) > 1]
    if repeated:
        raise ValueError(
            f"--device {text} names cuda:{repeated[0]} twice; for several teachers on one device, use "
            "--teacher-processes"
        )


def listed(text: str) -> list[str]:
    """The numbers of the GPUs that a valid text names; none for a text without numbers."""
    numbers = text.partition(":")[2]
    return numbers.split(",") if numbers else []
