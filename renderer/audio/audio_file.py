"""Audio files: read as mono float32 at a wanted rate, and written so that equal samples give equal bytes.

What reads and writes them is imported when it is needed: a training from codes alone runs where it is not installed.
"""

import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from renderer.errors import AudioError

if TYPE_CHECKING:
    import soundfile

FloatSamples = NDArray[np.float32]
AudioFormat = Literal["flac", "flac24", "wav", "wav24", "wav-float", "ogg", "opus", "mp3"]
"""16-bit and 24-bit FLAC; 16-bit, 24-bit and 32-bit float WAV; and lossy: Ogg Vorbis, Opus, MP3.

All hold exactly the samples they were given, the lossy ones too where a reader goes by what their headers say of
padding, as libsndfile and FFmpeg do.
"""

_LOWEST_RATE, _HIGHEST_RATE = 4_000, 768_000
_LOWEST_WRITTEN, _HIGHEST_WRITTEN = 8_000, 192_000
_BLOCK_FRAMES = 65_536
_CANCELLED = 0.2
"""Channels whose mean has less than this share of the power it would have if they were unrelated are out of phase."""

_READABLE = "WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF and W64 can be read; ffmpeg makes one of others, as of .m4a"


@dataclass(frozen=True)
class _Encoding:
    container: str
    subtype: str
    bits: int | None  # None: float samples
    suffix: str
    rates: tuple[int, ...] = ()  # Those there are, where not any rate will do.


_ENCODINGS: dict[str, _Encoding] = {
    "flac": _Encoding("FLAC", "PCM_16", 16, ".flac"),
    "flac24": _Encoding("FLAC", "PCM_24", 24, ".flac"),
    "wav": _Encoding("WAV", "PCM_16", 16, ".wav"),
    "wav24": _Encoding("WAV", "PCM_24", 24, ".wav"),
    "wav-float": _Encoding("WAV", "FLOAT", None, ".wav"),
    "ogg": _Encoding("OGG", "VORBIS", None, ".ogg"),
    "opus": _Encoding("OGG", "OPUS", None, ".opus", (8_000, 12_000, 16_000, 24_000, 48_000)),
    "mp3": _Encoding(
        "MP3",
        "MPEG_LAYER_III",
        None,
        ".mp3",
        (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    ),
}


def audio_suffix(audio_format: AudioFormat) -> str:
    """The usual end of a file's name, as ``.flac``."""
    return _encoding(audio_format).suffix


def check_rate(audio_format: AudioFormat, sample_rate: int) -> None:
    """ValueError if the format is unknown, or cannot hold audio at this rate."""
    rates = _encoding(audio_format).rates
    if rates and sample_rate not in rates:
        known = ", ".join(f"{rate}" for rate in rates)
        raise ValueError(f"audio format {audio_format!r} cannot hold {sample_rate} Hz: it knows {known}")
    if not _LOWEST_WRITTEN <= sample_rate <= _HIGHEST_WRITTEN:
        raise ValueError(f"sample rate is {sample_rate} Hz; it must be {_LOWEST_WRITTEN} to {_HIGHEST_WRITTEN}")


def read_audio(path: Path | str, sample_rate: int, start: float = 0.0, duration: float | None = None) -> FloatSamples:
    """Read a file that libsndfile knows (WAV, FLAC, Ogg, MP3, AIFF, ...) as mono.

    Args:
        path: the file; its channels are averaged, but where these cancel one another out the loudest is taken.
        sample_rate: wanted rate in Hz.
        start: seconds to leave out at the beginning.
        duration: seconds to read; all by default. The result is shorter where the file is.

    Returns:
        float32 (N,) with N = ceil(frames read * sample_rate / the file's rate).

    Raises:
        AudioError: the file is missing, unreadable or empty, ends before ``start``, or holds NaN or infinity.

    """
    import soundfile

    try:
        with Path(path).open("rb") as stream, soundfile.SoundFile(stream) as file:
            rate = int(file.samplerate)
            if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
                raise AudioError(f"{path}: {rate} Hz is not a rate of {_LOWEST_RATE} to {_HIGHEST_RATE} Hz")
            samples = _read_mono(file, round(start * rate), None if duration is None else round(duration * rate))
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a headerless file, named .raw
        raise _not_audio(path, error) from None
    if not samples.size:
        if not start and _is_streamed_wav(Path(path)):
            raise AudioError(
                f"{path}: its header says that no audio follows, as programs write it that do not know the length "
                "beforehand; write it anew, as with: ffmpeg -i streamed.wav whole.wav"
            )
        raise AudioError(f"{path}: holds no audio" + (f" after {start:g} s" if start else ""))
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds samples that are not numbers (NaN or infinity)")
    return resample(samples, rate, sample_rate)


def audio_length(path: Path | str) -> tuple[int, float]:
    """A file's rate in Hz and, as its header has it, its length in seconds; AudioError if it cannot be read."""
    import soundfile

    try:
        with Path(path).open("rb") as stream, soundfile.SoundFile(stream) as file:
            return int(file.samplerate), file.frames / file.samplerate
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    except (soundfile.SoundFileError, TypeError) as error:
        raise _not_audio(path, error) from None


def _not_audio(path: Path | str, error: Exception) -> AudioError:
    reason = getattr(error, "error_string", str(error)).rstrip(".")
    return AudioError(f"{path}: cannot be read as audio: {reason} ({_READABLE})")


def _is_streamed_wav(path: Path) -> bool:
    """Whether a WAV file has more in it than its header says."""
    with path.open("rb") as file:
        head = file.read(4096)
    data = head.find(b"data")
    return head[:4] == b"RIFF" and data > 0 and head[data + 4 : data + 8] == bytes(4) and len(head) > data + 8


def _read_mono(file: "soundfile.SoundFile", start: int, frames: int | None) -> FloatSamples:
    mono, loudest = _read_channels(file, start, frames)
    return mono if loudest is None else _read_channels(file, start, frames, loudest)[0]


def _read_channels(
    file: "soundfile.SoundFile", start: int, frames: int | None, channel: int | None = None
) -> tuple[FloatSamples, int | None]:
    """One channel, or the mean of all; and which is the loudest where they cancel one another out, else None."""
    # In blocks, because a damaged header may promise more frames than memory holds.
    file.seek(min(start, file.frames))
    blocks: list[FloatSamples] = []
    power, of_mean = np.zeros(file.channels), 0.0
    left = frames
    while left is None or left > 0:
        wanted = _BLOCK_FRAMES if left is None else min(left, _BLOCK_FRAMES)
        block = file.read(wanted, dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(block.mean(axis=1, dtype=np.float32) if channel is None else block[:, channel])
        if file.channels > 1 and channel is None:
            power += np.square(block, dtype=np.float64).sum(axis=0)
            of_mean += float(np.square(blocks[-1], dtype=np.float64).sum())
        left = None if left is None else left - len(block)
    mono = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    cancelled = of_mean < _CANCELLED * power.sum() / file.channels**2
    return mono, int(power.argmax()) if cancelled else None


def resample(samples: FloatSamples, rate: int, wanted_rate: int) -> FloatSamples:
    """Mono float32 (N,) from one rate to another: float32 (ceil(N * wanted_rate / rate),)."""
    if rate == wanted_rate:
        return samples
    import soxr

    resampled = soxr.resample(samples, rate, wanted_rate, quality="HQ")
    length = -(-len(samples) * wanted_rate // rate)
    # soxr rounds the length to the nearest.
    return np.pad(resampled, (0, max(0, length - len(resampled))))[:length]


def write_audio(
    destination: Path | str | BinaryIO,
    samples: FloatSamples,
    sample_rate: int,
    audio_format: AudioFormat = "flac",
) -> int:
    """Write mono samples; equal samples give equal bytes, on every run.

    FLAC and WAV hold the samples rounded to the nearest step, without dither.

    Args:
        destination: a path, or a binary file to append the bytes to.
        samples: float32 (N,), N >= 1; what lies beyond -1 or 1 is clipped, in every format.
        sample_rate: in Hz.
        audio_format: see ``AudioFormat``.

    Returns:
        How many samples were clipped.

    Raises:
        AudioError: samples are not finite, or the file cannot be written.
        ValueError: samples are empty or not one-dimensional, or the format is unknown or has no such rate.

    """
    check_rate(audio_format, sample_rate)
    encoding = _encoding(audio_format)
    name = destination if isinstance(destination, str | Path) else "audio"
    clipped = count_clipped(samples, f"{name}: not written")
    content = _encode(np.clip(samples, -1, 1), sample_rate, encoding)
    try:
        if isinstance(destination, str | Path):
            Path(destination).write_bytes(content)
        else:
            destination.write(content)
    except OSError as error:
        raise AudioError(f"{name}: cannot be written: {error.strerror}") from error
    return clipped


def count_clipped(samples: FloatSamples, name: str = "audio") -> int:
    """How many samples lie beyond -1 or 1. AudioError if some are no numbers, ValueError if they are not (N,)."""
    if samples.ndim != 1 or not samples.size:
        raise ValueError(f"samples must be mono (N,) with N >= 1, not {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: samples that are not numbers (NaN or infinity)")
    return int(np.count_nonzero(np.abs(samples) > 1))


def _encoding(audio_format: str) -> _Encoding:
    if audio_format not in _ENCODINGS:
        raise ValueError(f"audio format {audio_format!r} is unknown; use one of {', '.join(get_args(AudioFormat))}")
    return _ENCODINGS[audio_format]


def _encode(samples: FloatSamples, sample_rate: int, encoding: _Encoding) -> bytes:
    # libsndfile writes Linux's files in memory by itself; for any other it asks the interpreter, which others need too.
    with os.fdopen(os.memfd_create("audio"), "w+b", 0) if hasattr(os, "memfd_create") else io.BytesIO() as file:
        _encode_into(file if isinstance(file, io.BytesIO) else file.fileno(), samples, sample_rate, encoding)
        file.seek(0)
        content = file.read()
    if encoding.container == "OGG":
        return _with_fixed_serial_number(content)
    return _without_time(content) if encoding.subtype == "FLOAT" else content


def _encode_into(file: int | io.BytesIO, samples: FloatSamples, sample_rate: int, encoding: _Encoding) -> None:
    import soundfile

    with soundfile.SoundFile(
        file, "w", sample_rate, channels=1, format=encoding.container, subtype=encoding.subtype, closefd=False
    ) as sound:
        # In blocks, because libvorbis puts all of one call on the stack.
        for start in range(0, len(samples), _BLOCK_FRAMES):
            block = samples[start : start + _BLOCK_FRAMES]
            sound.write(block if encoding.bits is None else _integers(block, encoding.bits))


def _integers(samples: FloatSamples, bits: int) -> NDArray[np.int32]:
    """Rounded to the nearest step, in the upper bits of int32. libsndfile itself would round WAV down."""
    steps = np.float32(2 ** (bits - 1))
    # Exact in single precision: factors are powers of two, and steps - 1 has at most 24 bits.
    scaled = samples * steps
    np.rint(scaled, out=scaled)
    np.clip(scaled, -steps, steps - 1, out=scaled)
    return (scaled * np.float32(2 ** (32 - bits))).astype(np.int32)


def _without_time(wav: bytes) -> bytes:
    """Clear the time of writing that libsndfile puts into the PEAK chunk, after its size and version."""
    chunk = wav.index(b"PEAK", 0, 128)
    return wav[: chunk + 12] + bytes(4) + wav[chunk + 16 :]


_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _with_fixed_serial_number(ogg: bytes) -> bytes:
    """Set the serial number that libsndfile draws at random to 1, in every page (RFC 3533, section 6)."""
    content = bytearray(ogg)
    page = 0
    while page < len(content):
        segments = content[page + 26]
        end = page + 27 + segments + sum(content[page + 27 : page + 27 + segments])
        content[page + 14 : page + 18] = (1).to_bytes(4, "little")
        content[page + 22 : page + 26] = bytes(4)
        content[page + 22 : page + 26] = _ogg_checksum(bytes(content[page:end])).to_bytes(4, "little")
        page = end
    return bytes(content)


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 of Ogg: zlib's polynomial, but bits in the other order, and no inversion before and after."""
    crc = zlib.crc32(page.translate(_BIT_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
