"""Says at once what is missing: a network for downloads, instead of retrying for a minute, or a package.

Knows the hub's address and switches; downloads nothing itself.
"""

import importlib.util
import logging
import os
import socket
from urllib.parse import urlparse

from embedonce.models.errors import ModelError

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def quiet_hub() -> None:
    """Call before timm or open_clip is imported.

    Where the hub's host has no address and no proxy is set, huggingface_hub is told to stay offline: files in its
    own store still load, and everything else fails in a moment. Its retry messages are silenced; the error says it.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    is_decided = "HF_HUB_OFFLINE" in os.environ  # by the user, or by an earlier call: looking up can take seconds
    if not is_decided and not any(os.environ.get(name) for name in PROXIES) and not _has_address():
        os.environ["HF_HUB_OFFLINE"] = "1"


def require_text_packages(name: str, config: dict, *fields: str) -> None:
    """ModelError where the text tower or the tokenizer, which these fields name, needs a package that is not there.

    Before any download, and before a library blames the network. config: an open_clip model's configuration.
    """
    needing = [field for field in fields if field in config["text_cfg"]]
    if needing and importlib.util.find_spec("transformers") is None:
        what = config["text_cfg"][needing[0]]
        raise ModelError(f"{name} reads texts with {what}, which needs a package: pip install transformers")


def _has_address() -> bool:
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False
