"""A file system without hard links, as memory cards and sticks have it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted_exfat(folder: Path) -> Iterator[Path]:
    """exFAT through FUSE at ``folder``; the test is skipped where exfat-fuse, exfatprogs or permissions are missing."""
    if not all(shutil.which(tool) for tool in ("losetup", "mkfs.exfat", "mount.exfat-fuse")):
        pytest.skip("exfat-fuse and exfatprogs are not installed")
    folder.mkdir()
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    looped = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    device = looped.stdout.strip()
    if looped.returncode:
        pytest.skip("no permission to make a disk of a file")
    try:
        subprocess.run(["mkfs.exfat", device], capture_output=True, check=True)
        if subprocess.run(["mount.exfat-fuse", device, folder], capture_output=True).returncode:
            pytest.skip("no permission to mount a file system")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
