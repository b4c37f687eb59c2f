"""What the names of S3 objects say: their bucket, and by their end what is in them."""

from jobs.errors import JobError

_CONTENT_TYPES = {"html": "text/html; charset=utf-8", "flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg"}
_CONTENT_TYPES |= {"ogg": "audio/ogg", "opus": "audio/ogg", "mid": "audio/midi", "json": "application/json"}
"""By the end of a key, so that browsers show and play what can be shown and played."""


def bucket_and_key(location: str) -> tuple[str, str]:
    """The parts of ``s3://bucket/key``; JobError if it names no bucket."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not bucket:
        raise JobError(f"{location}: names no bucket; it must be s3://bucket/prefix")
    return bucket, key


def content_type(key: str) -> str:
    """What an object is served as."""
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
