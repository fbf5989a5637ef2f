"""The devices that torch can compute on, and how it was built. Imports torch when asked."""

from embedonce.pipeline.console.units import in_bytes


def devices() -> list[str]:
    """One line for each device, the preferred one first."""
    import torch

    gpus = [_gpu(torch.cuda.get_device_properties(number), number) for number in range(torch.cuda.device_count())]
    mps = ["mps (Apple GPU)"] if torch.backends.mps.is_available() else []
    return [*gpus, *mps, f"cpu ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"]


def build() -> str:
    """What torch was built for, and why a GPU may not be used."""
    import torch

    if torch.version.hip:
        made_for = f"ROCm {torch.version.hip}"
    else:
        made_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    reason = "" if torch.cuda.is_available() or made_for == "CPU only" else ", which finds no GPU"
    return f"torch {torch.__version__}, made for {made_for}{reason}"


def _gpu(properties, number: int) -> str:
    capability = f"compute capability {properties.major}.{properties.minor}"
    return f"cuda:{number} ({properties.name}, {in_bytes(properties.total_memory)}, {capability})"
