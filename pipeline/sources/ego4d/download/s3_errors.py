"""What S3 and Ego4D's client say when they refuse, as one sentence that says what to do. Knows texts only."""

import re

from embedonce.pipeline.errors import InputError, PipelineError

RENEW = "licence credentials last 14 days; renew them at ego4d-data.org"
CREDENTIALS_FILE = "~/.aws/credentials"


class RefusedError(PipelineError):
    """S3 does not give what was asked for. code: its word for why, empty where it is not S3 that refused."""

    def __init__(self, message: str, code: str = ""):
        super().__init__(message)
        self.code = code


class UnknownProfileError(RefusedError, InputError):
    """The user names AWS credentials that are not there."""

    exit_code = 2


_NO_PROFILE = (
    "there is no AWS profile {profile!r} in " + CREDENTIALS_FILE + ": put the keys that came with the Ego4D licence "
    "there with `aws configure --profile {profile}`, or name another profile with --aws-profile (Ego4D's client does "
    "not look at AWS_ACCESS_KEY_ID)"
)
_NO_KEYS = "the AWS profile {profile!r} holds no keys: put those that came with the Ego4D licence there with "
_NO_KEYS += "`aws configure --profile {profile}`"
_REJECTED = "S3 rejects the credentials of the AWS profile {profile!r} ({code}): " + RENEW
_DENIED = (
    "S3 denies access with the AWS profile {profile!r} ({code}): the licence was not granted to these keys, or has "
    "ended (" + RENEW + ")"
)
_NO_NETWORK = "S3 cannot be reached ({code}): look at the network, the proxy and AWS_ENDPOINT_URL, then run it again"
_DISK_FULL = "the disk is full ({code}): what is there is kept; make room and run the same command again"
_NO_BUCKET = "S3 has no such bucket ({code}): is AWS_ENDPOINT_URL or the profile {profile!r} meant for another store?"
_SYSTEM_CLOCK = "S3 rejects the time of this machine ({code}): set its clock"

_REFUSALS = (  # the first that matches; `code` is what is quoted
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


def refusal(text: str, profile: str) -> RefusedError | None:
    """The error that a message or a log tells of; None where it tells of none that is known."""
    for pattern, sentence in _REFUSALS:
        found = re.search(pattern, text)
        if found:
            kind = UnknownProfileError if sentence is _NO_PROFILE and profile != "default" else RefusedError
            return kind(sentence.format(profile=profile, code=found["code"]), found["code"])
    return None
