"""Checkpoints of TensorFlow, read without it; the one read here is written by the format's description."""

from pathlib import Path

import numpy as np
import pytest

from renderer.errors import CheckpointError
from renderer.evaluation.tensorflow_checkpoint import read_tensorflow_checkpoint

MAGIC = 0xDB4775248B80FB57


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(*entries: tuple[int, bytes, bytes], compression: int = 0) -> bytes:
    """Entries: how much of the key before is shared, the rest of the key, the value."""
    content = b"".join(varint(s) + varint(len(key)) + varint(len(value)) + key + value for s, key, value in entries)
    return content + bytes(4) + (1).to_bytes(4, "little") + bytes([compression]) + bytes(4)


def write_checkpoint(folder: Path, compression: int = 0) -> None:
    kernel, bias = np.arange(300, dtype="<f4").reshape(3, 100), np.array([-1.5, 2.5], "<f4")
    (folder / ".data-00000-of-00001").write_bytes(kernel.tobytes() + bias.tobytes())
    shape = field(2, field(1, 3)) + field(2, field(1, 100))
    first = field(1, 1) + field(2, shape) + field(5, 1200) + bytes([6 << 3 | 5]) + bytes(4)
    second = field(1, 1) + field(2, field(2, field(1, 2))) + field(4, 1200) + field(5, 8)
    step = field(1, 9) + field(2, b"") + field(4, 1208) + field(5, 8)
    data = block((0, b"", b"header"), (0, b"dense/kernel", first), (6, b"bias", second), (0, b"step", step))
    if compression:
        data = data[:-5] + bytes([compression]) + bytes(4)
    meta = block()
    index = block((0, b"z", varint(0) + varint(len(data) - 5)))
    place = len(data) + len(meta)
    footer = varint(len(data)) + varint(len(meta) - 5) + varint(place) + varint(len(index) - 5)
    content = data + meta + index + footer.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")
    (folder / ".index").write_bytes(content)


def test_tensors_are_read_by_name_and_those_of_other_types_left_out(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    tensors = read_tensorflow_checkpoint(tmp_path)
    assert set(tensors) == {"dense/kernel", "dense/bias"}
    np.testing.assert_array_equal(tensors["dense/kernel"], np.arange(300).reshape(3, 100))
    np.testing.assert_array_equal(tensors["dense/bias"], [-1.5, 2.5])


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no TensorFlow checkpoint"):
        read_tensorflow_checkpoint(tmp_path)
    write_checkpoint(tmp_path, compression=1)
    with pytest.raises(CheckpointError, match="compressed"):
        read_tensorflow_checkpoint(tmp_path)
    (tmp_path / ".index").write_bytes(bytes(100))
    with pytest.raises(CheckpointError, match="is not the index"):
        read_tensorflow_checkpoint(tmp_path)
