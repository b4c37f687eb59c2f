"""What it means when S3 refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.errors import StorageError, UnavailableError


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what boto3 raises into a StorageError that begins with ``what``, gives the reason and tells no secret."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        kind = UnavailableError if code(error) in _THIS_OBJECT else StorageError
        raise kind(f"{what}: {_reason(error)}") from None
    except (BotoCoreError, Boto3Error) as error:
        raise StorageError(f"{what}: {error}") from None


def status(error: Any) -> int:
    """The answer's HTTP status: unlike the code in its body, it is there even if the body was cut short."""
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def code(error: Any) -> str:
    """The answer's error code; where it has no body, its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


_ABSENT = "there is no such object"
_DENIED = "access denied: the credentials have no permission for this, or are wrong"
_EXPIRED = "the AWS credentials have expired; renew them and run the command again"
_WRONG = "the AWS credentials are not valid"
_BUSY = "the server is overloaded or out of order"
_REASONS = {
    "NoSuchKey": _ABSENT,
    "404": _ABSENT,
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidAccessKeyId": _WRONG,
    "InvalidToken": _WRONG,
    "SignatureDoesNotMatch": _WRONG,
    "NotImplemented": "the server does not know a kind of request that a run needs (see its error log)",
    "400": "the request was refused; the AWS credentials may have expired, or the bucket's region is another",
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
    "500": _BUSY,
    "503": _BUSY,
}
_THIS_OBJECT = frozenset(("NoSuchKey", "404", "NoSuchBucket", "AccessDenied", "403"))


def _reason(error: Any) -> str:
    found = code(error)
    return _REASONS.get(found) or f"{found}: {error.response.get('Error', {}).get('Message', '')}"
