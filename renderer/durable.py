"""Making files durable, where the file system can be asked to."""

import errno
import os
from pathlib import Path

NOT_SUPPORTED = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EMLINK}
"""How file systems refuse what they do not have: a hard link (FUSE, SMB, exFAT), the syncing of a folder."""


def sync(descriptor: int) -> None:
    """Make an open file durable."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def sync_folder(folder: Path) -> None:
    """Make durable which files are in a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Some file systems do not open folders; what was written is there all the same.
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
