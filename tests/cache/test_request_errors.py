"""What errors of client libraries mean, where no local server answers as the store does."""

import pytest

from embedonce.cache.stores.request_errors import Kind, failure_of


class HttpError(Exception):
    """As of azure.core: a status, and a code that may be an enumeration."""

    def __init__(self, status_code: int, error_code: str):
        super().__init__(f"{error_code}: refused")
        self.status_code, self.error_code = status_code, error_code


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "BlobAlreadyExists", Kind.TAKEN),
        (412, "ConditionNotMet", Kind.TAKEN),
        (409, "ContainerBeingDeleted", Kind.NO_BUCKET),
        (409, "AccountBeingCreated", Kind.TEMPORARY),
        (503, "ServerBusy", Kind.TEMPORARY),
        (404, "BlobNotFound", Kind.MISSING),
        (404, "ContainerNotFound", Kind.NO_BUCKET),
        (403, "AuthorizationPermissionMismatch", Kind.REFUSED),
    ],
)
def test_azures_errors_mean_what_its_codes_say(status, code, kind):
    """The file system raises an error of Python in place of the client's, which is its context."""
    with pytest.raises(OSError, match="a") as caught:
        try:
            raise HttpError(status, code)
        except HttpError:
            raise (FileExistsError if status == 409 else OSError)("a")  # noqa: B904
    failure = failure_of(caught.value, None)
    assert failure is not None and failure.kind is kind
