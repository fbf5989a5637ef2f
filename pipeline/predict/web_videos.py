"""Which URLs of web servers are files, that can be read anywhere in them, and which are streams."""

import http.client
import urllib.error
import urllib.request

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.addresses import encoded
from embedonce.pipeline.remote_files.remote_file import RemoteFile, described
from embedonce.pipeline.remote_files.spool import spool_of_run
from embedonce.pipeline.settings.paths import without_secrets

PARTIAL_CONTENT = 206


def web_video(url: str, timeout_sec: float) -> RemoteFile | None:
    """The file behind a URL; None if its server does not send parts of it, as of streams.

    InputError if the server cannot be reached within this time, or refuses the request.
    """
    try:
        request = urllib.request.Request(encoded(url), headers={"Range": "bytes=0-0", "Accept-Encoding": "identity"})
        with urllib.request.urlopen(request, timeout=timeout_sec) as answer:
            is_file = answer.status == PARTIAL_CONTENT and not answer.headers["Content-Range"].endswith("/*")
    except urllib.error.HTTPError as error:
        raise InputError(f"{without_secrets(url)} cannot be read: the server answered {error.code}") from error
    except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())[:200]
        raise InputError(f"{without_secrets(url)} cannot be read: {reason}") from error
    return RemoteFile.of(url, described(url), spool_of_run()) if is_file else None
