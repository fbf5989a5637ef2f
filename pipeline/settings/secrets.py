"""Taking secrets out of text that is written down: parts of URLs, keys and tokens."""

import os
import re
from collections.abc import Mapping

from embedonce.pipeline.settings.paths import without_secrets_in

HIDDEN = "***"
_NAMES = r"[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key|access[_-]?key|credential|signature)[\w-]*"
_ASSIGNED = re.compile(rf"(?i)\b({_NAMES}[\"']?\s*[=: ]\s*[\"']?)([^\s\"',;)]+)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|gh[pousr]_[A-Za-z0-9]{20,}|eyJ[\w-]+\.[\w.-]+)"
)
_VARIABLE = re.compile(r"(?i)token|secret|password|key|credential")
_SHORTEST = 8  # characters of a variable's value that is looked for: shorter ones occur in any text


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without what may be secret: user names, passwords and queries of URLs, values of options, variables and
    headers that are named like secrets, well-known tokens, and the values of environment variables so named.

    environment: by default that of this process.
    """
    variables = os.environ if environment is None else environment
    for name, value in variables.items():
        if _VARIABLE.search(name) and len(value) >= _SHORTEST and not os.path.isabs(value):
            text = text.replace(value, HIDDEN)
    text = _BEARER.sub(rf"\1 {HIDDEN}", without_secrets_in(text))
    return _TOKEN.sub(HIDDEN, _ASSIGNED.sub(rf"\1{HIDDEN}", text))
