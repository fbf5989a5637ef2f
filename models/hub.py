"""Makes downloads of weights fail at once where there is no network, instead of retrying for a minute.

Knows the hub's address and switches; downloads nothing itself.
"""

import logging
import os
import socket
from urllib.parse import urlparse

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def quiet_hub() -> None:
    """Call before timm or open_clip is imported.

    Where the hub's host has no address and no proxy is set, huggingface_hub is told to stay offline: files in its
    own store still load, and everything else fails in a moment. Its retry messages are silenced; the error says it.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    if not any(os.environ.get(name) for name in PROXIES) and not _has_address():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _has_address() -> bool:
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False
