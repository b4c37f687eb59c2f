"""``probe.safetensors`` of a model or codec directory, which tells from codes what is struck. It may be absent."""

import hashlib
import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from renderer.codecs.neural_codec import NeuralCodec
from renderer.errors import CheckpointError
from renderer.midi.notes import KEYS
from renderer.quality.codes_probe import REACH, CodesProbe

PROBE_FILE = "probe.safetensors"


def codebook_rows(codec: NeuralCodec) -> NDArray[np.float32]:
    """The rows of a codec's codebooks (K, codebook_size, D) float32."""
    return np.stack([table.detach().float().cpu().numpy() for table in codec.codebook_tables()])


def load_probe(folder: Path, codec: NeuralCodec) -> CodesProbe | None:
    """The probe of a directory's codec; None if there is none. CheckpointError if it is broken or another codec's."""
    path = folder / PROBE_FILE
    if not path.is_file():
        return None
    tables = codebook_rows(codec)
    try:
        with safe_open(path, "numpy") as file:
            told = (file.metadata() or {}).get("codebooks")
            weight, bias = (file.get_tensor(name).astype(np.float32) for name in ("weight", "bias"))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as a probe (truncated?): {error}") from None
    wanted = ((2 * REACH + 1, tables.shape[2], KEYS), (KEYS,))
    if told != _fingerprint(tables) or (weight.shape, bias.shape) != wanted:
        raise CheckpointError(f"{path} is of another codec; remove it, or make it anew with midi-valle models probe")
    return CodesProbe(tables, weight, bias, codec.frame_rate)


def write_probe(folder: Path, probe: CodesProbe) -> None:
    """Write a directory's probe in half precision, in place of any there is."""
    temporary = folder / f".{PROBE_FILE}-{uuid.uuid4().hex}"
    halves = {"weight": probe.weight.astype(np.float16), "bias": probe.bias.astype(np.float16)}
    try:
        save_file(halves, temporary, metadata={"codebooks": _fingerprint(probe.tables)})
        # safetensors lets nobody but the owner read; a shared folder should stay shared.
        temporary.chmod((folder / "codec.safetensors").stat().st_mode)
        temporary.replace(folder / PROBE_FILE)
    finally:
        temporary.unlink(missing_ok=True)


def _fingerprint(tables: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(tables).tobytes()).hexdigest()
