"""A stretch of a recording that a page holds: to be heard, and seen with its notes."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile

from jobs.pictures.note_picture import note_picture
from jobs.pictures.spectrogram import spectrogram
from renderer.audio.audio_file import FloatSamples, resample
from renderer.errors import AudioError
from renderer.midi.notes import Notes
from renderer.prompt import PROMPT_SECONDS
from renderer.quality.note_match import match_notes

CLIP_SECONDS = 15.0
LEAD_SECONDS = 0.5
"""So much is heard before the first note."""

STRETCHES = 8
"""Of so many stretches of a long recording, evenly spread, the worst is found."""

_RATE = 24_000
_COMPRESSION = 0.7
"""Of libsndfile's MP3: about 35 kbit/s for a piano, enough to hear what is wrong. Every browser plays it."""


@dataclass(frozen=True)
class Clip:
    """``audio`` is an MP3 as a data URI and ``picture`` an SVG of the ``seconds`` from ``start`` on."""

    audio: str
    picture: str
    start: float
    seconds: float


def item_clip(file: BinaryIO, notes: Notes, is_poor: bool) -> Clip:
    """At most 15 s of an item's audio file: from its first note on, or if it is poor where its notes are heard worst.

    AudioError if it cannot be read as audio.
    """
    with _opened(file) as audio:
        seconds = audio.frames / audio.samplerate
        if is_poor and seconds > CLIP_SECONDS:
            start = min(_starts(seconds), key=lambda start: _heard(audio, notes, start))
        else:
            first = float(notes.onset[0]) if len(notes) else 0.0
            start = max(0.0, min(first - LEAD_SECONDS, seconds - CLIP_SECONDS))
        return _clip(audio, notes, start, CLIP_SECONDS)


def prompt_clip(file: BinaryIO, notes: Notes) -> Clip:
    """The 3 s of a recording that are a prompt; AudioError if it cannot be read as audio."""
    with _opened(file) as audio:
        return _clip(audio, notes, 0.0, PROMPT_SECONDS)


@contextmanager
def _opened(file: BinaryIO) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(file) as audio:
            yield audio
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"cannot be read as audio: {error}") from None


def _clip(audio: soundfile.SoundFile, notes: Notes, start: float, seconds: float) -> Clip:
    samples, rate = _read(audio, start, seconds), audio.samplerate
    if not samples.size or not np.isfinite(samples).all():
        raise AudioError("holds samples that are not numbers" if samples.size else "holds no audio")
    picture = note_picture(spectrogram(samples, rate), notes.shifted(-start))
    return Clip(_mp3(samples, rate), picture, start, len(samples) / rate)


def _starts(seconds: float) -> Iterator[float]:
    """Where stretches begin that are evenly spread, and of which the last ends with the recording."""
    count = min(STRETCHES, int(np.ceil(seconds / CLIP_SECONDS)))
    return (index * (seconds - CLIP_SECONDS) / (count - 1) for index in range(count))


def _heard(audio: soundfile.SoundFile, notes: Notes, start: float) -> float:
    """How well notes are heard in a stretch, 0 to 1: the share of them found, or of attacks that are theirs."""
    match = match_notes(_read(audio, start, CLIP_SECONDS), audio.samplerate, notes.shifted(-start))
    return float(np.nan_to_num(np.fmin(match.found, match.explained), nan=1.0))


def _read(audio: soundfile.SoundFile, start: float, seconds: float) -> FloatSamples:
    audio.seek(round(start * audio.samplerate))
    samples = audio.read(round(seconds * audio.samplerate), dtype="float32", always_2d=True)
    return np.asarray(samples.mean(axis=1, dtype=np.float32))


def _mp3(samples: FloatSamples, rate: int) -> str:
    content = io.BytesIO()
    soundfile.write(
        content,
        np.clip(resample(samples, rate, _RATE), -1, 1),
        _RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=_COMPRESSION,
    )
    return f"data:audio/mpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
