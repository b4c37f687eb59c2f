"""A local folder or an S3 prefix behind one interface: durable writes, create-once, listing."""

from pathlib import Path

from jobs.errors import JobError
from jobs.storage.file_uri import without_file_scheme
from jobs.storage.local_storage import LocalStorage
from jobs.storage.s3_access import S3Access
from jobs.storage.s3_storage import S3Storage
from jobs.storage.storage import Listed, Storage
from renderer.patience import Patience

__all__ = ["Listed", "Patience", "S3Access", "Storage", "open_storage", "without_file_scheme"]


def open_storage(location: str, s3: S3Access | None = None) -> Storage:
    """The storage at ``s3://bucket/prefix``, or in a local folder, which need not exist yet.

    ``s3`` is how an S3 server is reached; by default as the environment says.
    """
    if location.startswith("s3://"):
        return S3Storage.at(location, s3)
    location = without_file_scheme(location)
    if "://" in location:
        raise JobError(f"{location}: a run's output is a local folder, or lies on s3://")
    root = Path(location).absolute()
    if root.exists() and not root.is_dir():
        raise JobError(f"{root} is a file; the output must be a folder")
    return LocalStorage(root)
