"""Weights out of a TensorFlow checkpoint, without TensorFlow.

A checkpoint's ``.index`` is a LevelDB table of protocol buffers that say where in ``.data-00000-of-00001`` each
tensor lies (tensorflow/core/protobuf/tensor_bundle.proto; github.com/google/leveldb, doc/table_format.md).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer.errors import CheckpointError

_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_MAGIC = 0xDB4775248B80FB57
_FLOAT = 1
_SHAPE, _DTYPE, _OFFSET, _SIZE = 2, 1, 4, 5


def read_tensorflow_checkpoint(folder: Path) -> dict[str, NDArray[np.float32]]:
    """All float32 tensors of the checkpoint without a prefix in a folder, by name. CheckpointError if it is broken."""
    try:
        index = (folder / ".index").read_bytes()
        data = (folder / ".data-00000-of-00001").read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder} holds no TensorFlow checkpoint: {error.strerror}") from None
    if int.from_bytes(index[-8:], "little") != _MAGIC:
        raise CheckpointError(f"{folder / '.index'} is not the index of a TensorFlow checkpoint")
    _, place = _varint(index, len(index) - _FOOTER_BYTES)
    _, place = _varint(index, place)  # The block of metadata: there is nothing in it.
    tensors = {}
    for _, handle in _entries(index, *_handle(index[place:])):
        for name, entry in _entries(index, *_handle(handle)):
            fields = dict(_fields(entry))
            if name and fields.get(_DTYPE) == _FLOAT:
                shape = [dict(_fields(size)).get(1, 0) for number, size in _fields(fields[_SHAPE]) if number == 2]
                begin = fields.get(_OFFSET, 0)
                values = np.frombuffer(data[begin : begin + fields[_SIZE]], "<f4")
                tensors[name.decode()] = values.reshape(shape)
    return tensors


def _handle(content: bytes) -> tuple[int, int]:
    offset, place = _varint(content, 0)
    return offset, _varint(content, place)[0]


def _entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key begins with as much of the one before as the entry says."""
    if table[offset + size]:
        raise CheckpointError("the index of the TensorFlow checkpoint is compressed")
    block = table[offset : offset + size]
    end = size - 4 * (int.from_bytes(block[-4:], "little") + 1)
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh
        yield key, block[place : place + length]
        place += length


def _fields(message: bytes) -> "Iterator[tuple[int, Any]]":
    """Numbers and values of a protocol buffer's fields."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        match tag & 7:
            case 0:
                value, place = _varint(message, place)
                yield tag >> 3, value
            case 2:
                length, place = _varint(message, place)
                yield tag >> 3, message[place : place + length]
                place += length
            case 5:
                place += 4
            case 1:
                place += 8
            case kind:
                raise CheckpointError(f"the TensorFlow checkpoint has a field of unknown kind {kind}")


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number and where it ends: seven bits a byte, the lowest first."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
