"""Ray in this process: started or connected to, quiet, and without taking over signals, logging or statistics.

Ray is imported in functions, because it is optional and takes seconds to load.
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.extraction.cluster.shares import Node, Share, share_out
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.processes.cores import usable_cores

MISSING = "--engine ray needs Ray: pip install 'embedonce[ray]'"
CONNECT_SEC = 5.0
OBJECT_STORE_BYTES = 128 << 20  # of a Ray that is started for one run: only names and counts go through it
LONGEST_FOLDER = 40  # bytes of Ray's folder: the paths of the sockets below it may have 107
SHORT_FOLDER = Path("/tmp")
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray announces as its future default, in a warning
}


def check(config: ExtractConfig) -> None:
    """InputError if Ray is not installed, PipelineError if nothing answers at the address of the cluster."""
    if find_spec("ray") is None:
        raise InputError(MISSING)
    address = _address(config)
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:
        return  # "auto" and "local"
    try:
        socket.create_connection((host, int(port)), CONNECT_SEC).close()
    except (OSError, ValueError, OverflowError) as error:
        raise PipelineError(f"no Ray cluster answers at {address} ({one_line(error)}): check --ray-address") from error


def one_line(error: BaseException) -> str:
    """The message of an error, which Ray spreads over many lines, with its last lines if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"… {text[-400:]}"


class RaySession:
    """The connection to Ray. config, share: what each worker gets, once it is open."""

    def __init__(self, config: ExtractConfig):
        self.config = config
        self.share = Share(1, 1, 0)
        self._is_own = False

    @property
    def ray(self) -> Any:
        import ray

        return ray

    def open(self) -> None:
        """Connect to the cluster, or start one here. One that this process is connected to already is used as it is."""
        os.environ.update(SETTINGS)
        with _kept_signals():
            ray = self.ray
            if not ray.is_initialized():
                self._connect()
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [Node(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in resources]
        try:
            self.share = share_out(nodes, self.config.device, self.config.ray_workers)
        except BaseException:
            self.close()
            raise
        workers = self.config.decode_workers or self.share.cpus
        device = "cuda" if self.share.gpus else self.config.device
        self.config = replace(self.config, decode_workers=workers, device=device)

    def close(self) -> None:
        """Disconnect, and end a Ray that was started here."""
        if self._is_own:
            with _kept_signals():
                self.ray.shutdown()

    def living_nodes(self) -> set[str]:
        """The ids of the machines that the cluster has now."""
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}

    def _connect(self) -> None:
        address = _address(self.config)
        logging.getLogger("ray").setLevel(logging.ERROR)
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address == "local":
            cpus = max(usable_cores(), self.config.ray_workers or 1)
            options |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
            options |= _folder()
        elif "PYTHONPATH" in os.environ:
            options["runtime_env"] = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}
        try:
            self.ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            failed = "Ray cannot be started" if address == "local" else f"the Ray cluster {address} cannot be used"
            raise PipelineError(f"{failed}: {one_line(error)}") from error
        self._is_own = True
        _print_no_logs_of_workers()


def _address(config: ExtractConfig) -> str:
    return config.ray_address or os.environ.get("RAY_ADDRESS") or "local"


def _folder() -> dict[str, str]:
    """The option for Ray's folder, if that which it would take has too long a name for the sockets in it."""
    parent = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(parent)) <= LONGEST_FOLDER:
        return {}
    return {"_temp_dir": tempfile.mkdtemp(prefix="ray-", dir=SHORT_FOLDER)}


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Ray sets a handler for SIGTERM when it is imported and when it is started; this one is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _print_no_logs_of_workers() -> None:
    """Ray prints a paragraph for each worker that dies; this program says it in one line."""
    with contextlib.suppress(ImportError, AttributeError, KeyError):  # not part of Ray's public interface
        from ray._private.ray_logging import global_worker_stdstream_dispatcher

        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
