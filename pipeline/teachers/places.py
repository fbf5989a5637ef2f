"""Which device each teacher works on. torch, which knows the devices, is imported only where that matters."""


def teacher_places(device: str, processes: int | None) -> tuple[str, ...]:
    """The device of each teacher that embeds, more than one if there are several.

    device: a valid --device. processes: how many, by default one for each device. ModelOptionError if one is not
    available.
    """
    if device == "cpu" or (device == "auto" and processes == 1):
        return (device,) * (processes or 1)
    from embedonce.models.device import named_devices

    devices = named_devices(device)
    return tuple(devices[number % len(devices)] for number in range(processes or len(devices)))


def check_place(device: str) -> None:
    """ModelOptionError if a device is named that is not available."""
    if device not in ("auto", "cpu"):
        teacher_places(device, None)


def is_cpu(place: str) -> bool:
    """Whether a place that teacher_places() returned is the CPU. ModelOptionError as there."""
    if place != "auto":
        return place == "cpu"
    from embedonce.models.device import choose_device

    return choose_device(place).type == "cpu"
