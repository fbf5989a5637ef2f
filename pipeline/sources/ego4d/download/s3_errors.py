"""Turns error messages of S3 and of Ego4D's client into one sentence that says what to do."""

import re

from embedonce.pipeline.errors import InputError, PipelineError

RENEW = "license credentials last 14 days; renew them at ego4d-data.org"
CREDENTIALS_FILE = "~/.aws/credentials"


class RefusedError(PipelineError):
    """S3 refused a request. code: the error code of S3; empty if the error came from elsewhere."""

    def __init__(self, message: str, code: str = ""):
        super().__init__(message)
        self.code = code


class UnknownProfileError(RefusedError, InputError):
    """The user named an AWS profile that does not exist."""

    exit_code = 2


_NO_PROFILE = (
    "there is no AWS profile {profile!r} in " + CREDENTIALS_FILE + ": put the keys that came with the Ego4D license "
    "there with `aws configure --profile {profile}`, or name another profile with --aws-profile (Ego4D's client "
    "ignores AWS_ACCESS_KEY_ID)"
)
_NO_KEYS = (
    "the AWS profile {profile!r} has no keys: put those that came with the Ego4D license there with "
    "`aws configure --profile {profile}`"
)
_REJECTED = "S3 rejects the credentials of the AWS profile {profile!r} ({code}): " + RENEW
_DENIED = (
    "S3 denies access with the AWS profile {profile!r} ({code}): the license was not granted to these keys, or has "
    "ended (" + RENEW + ")"
)
_NO_NETWORK = "S3 cannot be reached ({code}): check the network, the proxy and AWS_ENDPOINT_URL, then run it again"
_DISK_FULL = "the disk is full ({code}): downloaded files are kept; free some space and run the same command again"
_NO_BUCKET = (
    "S3 has no such bucket ({code}): check whether AWS_ENDPOINT_URL or the profile {profile!r} is for another store"
)
_SYSTEM_CLOCK = "S3 rejects the time of this machine ({code}): set its clock"

_REFUSALS = (  # the first match counts; `code` is quoted in the message
    (r"(?P<code>Could not find AWS profile|config profile \(\S*\) could not be found)", _NO_PROFILE),
    (r"(?P<code>Unable to locate credentials|Partial credentials found)", _NO_KEYS),
    (r"(?P<code>RequestTimeTooSkewed)", _SYSTEM_CLOCK),
    (r"(?P<code>No space left on device|Disk quota exceeded)", _DISK_FULL),
    (r"(?P<code>ExpiredToken|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|TokenRefreshRequired)", _REJECTED),
    (r"(?P<code>NoSuchBucket)", _NO_BUCKET),
    (r"(?P<code>AccessDenied|AllAccessDisabled|AccountProblem|NotSignedUp)", _DENIED),
    (r"(?:\(|Boto )(?P<code>403)\b", _DENIED),
    (
        r"(?P<code>Could not connect to the endpoint URL|Connect timeout|Read timeout|Connection was closed|"
        r"Failed to connect to proxy|SSL validation failed|Connection broken|IncompleteRead)",
        _NO_NETWORK,
    ),
)


def find_refusal(text: str, profile: str) -> RefusedError | None:
    """The first known error in a message or a log; None if there is none."""
    for pattern, sentence in _REFUSALS:
        match = re.search(pattern, text)
        if match:
            is_named_profile = sentence is _NO_PROFILE and profile != "default"
            error_type = UnknownProfileError if is_named_profile else RefusedError
            return error_type(sentence.format(profile=profile, code=match["code"]), match["code"])
    return None
