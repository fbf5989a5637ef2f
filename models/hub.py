"""Fails fast, with a clear message, when a download has no network or a text tower lacks a package."""

import importlib.util
import logging
import os
import socket
from types import ModuleType
from urllib.parse import urlsplit

from embedonce.models.errors import ModelError

# What errors of transformers mention -> the package that is missing. Without sentencepiece, it tries tiktoken.
TOKENIZER_PACKAGES = {name: name for name in ("transformers", "sentencepiece", "tokenizers")} | {
    "tiktoken": "sentencepiece"
}
PUBLIC_HUB = "https://huggingface.co"
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def hub_endpoint() -> str | None:
    """The address of the hub that HF_ENDPOINT names; None for the public one. ModelError if it is no address."""
    endpoint = os.environ.get("HF_ENDPOINT") or None
    if endpoint is not None and not _is_address(endpoint):
        shown = endpoint.rpartition("@")[2]  # without a password
        raise ModelError(f"HF_ENDPOINT is {shown!r}, not an address such as {PUBLIC_HUB}: correct or unset it")
    return endpoint


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def quiet_hub() -> None:
    """Put huggingface_hub into offline mode if the hub cannot be reached. Call before importing timm or open_clip.

    Without an address of the hub's host and without a proxy, downloads would be retried for a minute; offline, cached
    files still load and downloads fail at once. Retry messages are silenced: the final error has the reason.
    ModelError if HF_ENDPOINT is no address.
    """
    endpoint = hub_endpoint()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    is_decided = "HF_HUB_OFFLINE" in os.environ  # by the user or an earlier call; a DNS lookup can take seconds
    has_proxy = any(os.environ.get(name) for name in PROXIES)
    if not is_decided and not has_proxy and not _has_address(endpoint or PUBLIC_HUB):
        os.environ["HF_HUB_OFFLINE"] = "1"


def import_timm() -> ModuleType:
    """The module timm. ModelError if it is not installed."""
    quiet_hub()
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ModelError("timm is not installed; install it with: pip install timm") from error
    return timm


def require_text_packages(name: str, config: dict, *fields: str) -> None:
    """Raise ModelError if the text tower or tokenizer needs transformers and it is not installed.

    Called before any download. config: an open_clip model configuration; fields: keys of its `text_cfg` that name a
    model or tokenizer of transformers.
    """
    needing = [field for field in fields if field in config["text_cfg"]]
    if needing and importlib.util.find_spec("transformers") is None:
        text_model = config["text_cfg"][needing[0]]
        raise ModelError(f"the text tower of {name}, {text_model}, needs a package: pip install transformers")


def missing_package(problem: str) -> str | None:
    """The package of tokenizers that is not installed and that the text of an error names; None if there is none."""
    for mentioned, package in TOKENIZER_PACKAGES.items():
        if mentioned in problem.lower() and importlib.util.find_spec(package) is None:
            return package
    return None


def _has_address(url: str) -> bool:
    try:
        return bool(socket.getaddrinfo(urlsplit(url).hostname, 443))
    except OSError:
        return False
