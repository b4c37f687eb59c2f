"""A soundfont of one looped sine, written by hand (SoundFont 2.01 specification, section 4 to 7)."""

import struct
from pathlib import Path

import numpy as np

RATE = 32_000
KEY = 69
LOOP = 800
"""Samples: 11 periods of 440 Hz."""


def write_soundfont(path: Path) -> Path:
    """One preset, 0:0, over the whole keyboard; it ends 10 ms after a key is released."""
    sine = np.sin(2 * np.pi * 11 / LOOP * np.arange(4 * LOOP))
    samples = np.concatenate([np.rint(16_000 * sine), np.zeros(46)]).astype("<i2").tobytes()
    terminal = struct.pack("<20s5L2bHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    header = struct.pack("<20s5L2bHH", b"sine", 0, 4 * LOOP, LOOP, 3 * LOOP, RATE, KEY, 0, 0, 1)
    generators = [(38, _timecents(0.01)), (54, 1), (53, 0)]
    pdta = [
        (b"phdr", _preset(b"sine", 0) + _preset(b"EOP", 1)),
        (b"pbag", struct.pack("<4H", 0, 0, 1, 0)),
        (b"pmod", bytes(10)),
        (b"pgen", struct.pack("<HhHh", 41, 0, 0, 0)),
        (b"inst", struct.pack("<20sH20sH", b"sine", 0, b"EOI", 1)),
        (b"ibag", struct.pack("<4H", 0, 0, len(generators), 0)),
        (b"imod", bytes(10)),
        (b"igen", b"".join(struct.pack("<Hh", *each) for each in [*generators, (0, 0)])),
        (b"shdr", header + terminal),
    ]
    information = [(b"ifil", struct.pack("<HH", 2, 1)), (b"isng", b"EMU8000\0"), (b"INAM", b"sine\0\0")]
    body = (
        b"sfbk"
        + _list(b"INFO", *(_chunk(*each) for each in information))
        + _list(b"sdta", _chunk(b"smpl", samples))
        + _list(b"pdta", *(_chunk(*each) for each in pdta))
    )
    path.write_bytes(_chunk(b"RIFF", body))
    return path


def _timecents(seconds: float) -> int:
    return round(1200 * np.log2(seconds))


def _preset(name: bytes, bag: int) -> bytes:
    return struct.pack("<20sHHHLLL", name, 0, 0, bag, 0, 0, 0)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<L", len(data)) + data + bytes(len(data) % 2)


def _list(name: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(chunks))
