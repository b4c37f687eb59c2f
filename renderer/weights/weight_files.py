"""Weight files that others wrote, read without running anything that is in them."""

import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from renderer.errors import CheckpointError

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"

# What is handed over in place of weights often enough to be named.
_FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched (git lfs pull)"),
    (b"<", "a web page or XML, perhaps a server's error message saved under this name"),
    (b"{", "JSON text, perhaps a server's error message saved under this name"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
)


def read_weights(path: Path, expected: str) -> Mapping[str, object]:
    """The mapping that a PyTorch or safetensors file holds, on the CPU.

    Which of the two it is, is known from the content, not from the name. PyTorch files are read with
    ``weights_only=True``: tensors and plain values. Of other objects only paths are let through, which
    training checkpoints hold among their options. CheckpointError, which says that ``expected`` was expected,
    if the file is missing, truncated, damaged, or holds anything else.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}; expected {expected}.") from error
    where = f"{path} ({size} bytes): expected {expected}, found"
    if start[8:9] == b"{":
        return _read_safetensors(path, where)
    if start.startswith(_ZIP):
        _check_archive(path, where)
    elif not start.startswith(_PICKLE):
        raise CheckpointError(f"{where} {_kind(start)}.")
    content = _read_pytorch(path, where)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{where} a single {type(content).__name__}.")
    return content


def _read_safetensors(path: Path, where: str) -> Mapping[str, object]:
    try:
        return load_file(path)
    except Exception as error:  # Whatever a damaged file provokes, it is the file that is wrong.
        raise CheckpointError(f"{where} a truncated or damaged safetensors file ({error}).") from error


def _read_pytorch(path: Path, where: str) -> object:
    with torch.serialization.safe_globals([pathlib.PosixPath]):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckpointError(f"{where} {_forbidden(path)}, which are never loaded.") from error
        except Exception as error:  # Whatever a damaged file provokes, it is the file that is wrong.
            reason = f"{type(error).__name__}: {error}".split("\n")[0]
            raise CheckpointError(f"{where} a damaged PyTorch file ({reason}).") from error


def _check_archive(path: Path, where: str) -> None:
    """PyTorch itself compares no checksum inside the archive: damaged bytes would become weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise CheckpointError(f"{where} the beginning of a PyTorch file: it is truncated ({error}).") from error
    if damaged is not None:
        raise CheckpointError(f"{where} a damaged PyTorch file (wrong checksum of {damaged}).")


def _forbidden(path: Path) -> str:
    """Names the Python objects that keep a file from being loaded, without loading them."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # Files from before PyTorch 1.6 cannot be looked into.
        names = []
    return f"Python objects beside tensors ({', '.join(names)})" if names else "Python objects beside tensors"


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    text = start.lstrip()
    return next((kind for sign, kind in _FOREIGN if text.startswith(sign)), f"a file that starts with {start[:16]!r}")
