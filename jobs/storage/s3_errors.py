"""What it means when S3 refuses, and when to ask again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.errors import StorageError, UnavailableError
from renderer.patience import PassingFault

CONFLICT, PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE, NOT_IMPLEMENTED = 409, 412, 416, 501

_THROTTLED = frozenset(
    ("SlowDown", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequests", "RequestLimitExceeded")
)
_PASSING = frozenset(("RequestTimeout", "InternalError", "OperationAborted", "ConditionalRequestConflict"))
_WRONG_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")


def fault_of(error: Exception) -> PassingFault | None:
    """Why the same request may succeed later; None if it would not, or if that is not for the request to decide."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError, SSLError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        if code(error) in _THROTTLED or status(error) in (429, 503):
            return "throttled"
        is_passing = code(error) in _PASSING or status(error) in (408, CONFLICT)
        return "silent" if is_passing or (status(error) >= 500 and status(error) != NOT_IMPLEMENTED) else None
    if isinstance(error, SSLError) and any(sign in str(error) for sign in _WRONG_TLS):
        return None
    is_passing = isinstance(error, (ConnectionError, HTTPClientError, IncompleteReadError, ResponseParserError))
    return "silent" if is_passing else None


@contextmanager
def refusals(what: str, is_signed: bool = True) -> Iterator[None]:
    """Turn what boto3 raises into a StorageError that begins with ``what``, gives the reason and tells no secret."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        is_unsigned = not is_signed and code(error) in ("AccessDenied", "403")
        kind = UnavailableError if code(error) in _THIS_OBJECT and not is_unsigned else StorageError
        raise kind(f"{what}: {_UNSIGNED if is_unsigned else _reason(error)}{_notes(error)}") from None
    except (BotoCoreError, ResponseParserError) as error:
        raise StorageError(f"{what}: {error}{_notes(error)}") from None


def status(error: Any) -> int:
    """The answer's HTTP status: unlike the code in its body, it is there even if the body was cut short."""
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def code(error: Any) -> str:
    """The answer's error code; where it has no body, its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


_ABSENT = "there is no such object"
_DENIED = (
    "access denied: the credentials have no permission for this, or are wrong; where who reads pays, "
    "--s3-requester-pays is needed, and where encryption is demanded, --s3-encryption"
)
_UNSIGNED = (
    "access denied: no AWS credentials were found (environment, profile, role of the machine), "
    "so the request was not signed"
)
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


def _notes(error: Exception) -> str:
    return "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
