"""Prompts: 3 s of a recording as codes, with the notes that are played in it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples, read_audio
from renderer.codecs.codec import Codec
from renderer.equalizer import band_shares
from renderer.errors import PromptError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import FloatArray, Notes, PedalPolicy
from renderer.prompt_checks import lateness, why_unsound

PROMPT_SECONDS = 3.0
LACKING_SECONDS = 0.001
"""So much may lack at the end: 3 s of another rate are a sample more or less."""

SILENCE_DBFS = -50.0
"""A prompt whose loudest sample lies below this is silent: soft playing peaks above, a noise floor below."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a rendering shall sound like.

    ``codes`` are int64 (T, K) on the CPU, exactly 3 s of frames; ``notes`` begin in [0, 3) seconds, on the
    same clock, and end at 3.000 s at the latest. ``band_shares`` are the recording's (renderer/equalizer.py), where
    there is one.
    """

    prompt_id: str
    codes: torch.Tensor
    notes: Notes
    band_shares: FloatArray | None = None


def prompt_from_files(
    prompt_id: str,
    audio_path: Path | str,
    midi_path: Path | str,
    codec: Codec,
    pedal: PedalPolicy,
    start: float = 0.0,
) -> Prompt:
    """A prompt from 3.000 s of a recording and its MIDI, which are cut on the same clock.

    Args:
        prompt_id: its name.
        audio_path: audio of any rate and number of channels, at least ``start`` + 3 s long.
        midi_path: what is played in it, from the same beginning.
        codec: encodes the audio.
        pedal: whether the sustain pedal lengthens notes.
        start: where the prompt begins in both files, in seconds; notes that sound already are left out.

    Raises:
        PromptError: the audio is too short, silent or unsound, late against the notes, or no note begins in it.
        AudioError, MidiError: a file cannot be read.

    """
    samples, notes = read_prompt(prompt_id, audio_path, midi_path, codec.sample_rate, pedal, start)
    return prompt_from_audio(prompt_id, samples, notes, codec)


def read_prompt(
    prompt_id: str, audio_path: Path | str, midi_path: Path | str, rate: int, pedal: PedalPolicy, start: float = 0.0
) -> tuple[FloatSamples, Notes]:
    """A prompt's audio, mono at a rate in Hz, and the notes of its file, unchecked; see :func:`prompt_from_files`."""
    if not (math.isfinite(start) and start >= 0):
        raise PromptError(f"prompt {prompt_id!r}: start must be 0 s or later, not {start:g}")
    samples = read_audio(audio_path, rate, start, PROMPT_SECONDS)
    notes = read_midi(midi_path, pedal).notes.shifted(-start)
    return samples, notes


@torch.no_grad()
def prompt_from_audio(prompt_id: str, samples: FloatSamples, notes: Notes, codec: Codec) -> Prompt:
    """A prompt from the first 3 s of mono samples (N,) at the codec's rate; PromptError as :func:`checked_prompt`."""
    samples, played = checked_prompt(prompt_id, samples, codec.sample_rate, notes)
    codes = codec.encode(torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None])[0]
    shares = band_shares(samples, codec.sample_rate)
    return Prompt(prompt_id, codes.T.cpu().contiguous(), played, shares)


def checked_prompt(prompt_id: str, samples: FloatSamples, rate: int, notes: Notes) -> tuple[FloatSamples, Notes]:
    """The first 3 s of mono samples (N,) at a rate in Hz, and the notes that begin in them, if they can be a prompt.

    ``notes`` may be those of the whole performance. PromptError if the audio is too short (one millisecond may
    lack), silent, clipped or otherwise unsound (renderer/prompt_checks.py), early or late against the notes, or if
    no note begins in it.
    """
    wanted = round(PROMPT_SECONDS * rate)
    if len(samples) < wanted - round(LACKING_SECONDS * rate):
        raise PromptError(
            f"prompt {prompt_id!r}: {len(samples) / rate:.3f} s of audio, {PROMPT_SECONDS:.3f} s are needed"
        )
    samples = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    peak = float(np.abs(samples).max())
    if peak < 10 ** (SILENCE_DBFS / 20):
        level = f"{20 * np.log10(peak):.0f} dBFS" if peak else "digital silence"
        raise PromptError(f"prompt {prompt_id!r}: silent: its peak is {level}, needed are {SILENCE_DBFS:.0f} dBFS")
    played = prompt_notes(notes)
    if not len(played):
        raise PromptError(f"prompt {prompt_id!r}: no note begins in its {PROMPT_SECONDS:.3f} s")
    if reason := why_unsound(samples):
        raise PromptError(f"prompt {prompt_id!r}: {reason}")
    if late := lateness(samples, rate, notes):
        raise PromptError(
            f"prompt {prompt_id!r}: its audio is {abs(late):.2f} s {'late' if late > 0 else 'early'} against its MIDI, "
            "where its notes are heard to begin; let both begin at one moment"
        )
    return samples, played


def prompt_notes(notes: Notes) -> Notes:
    """The notes that begin in the first 3 s, cut at 3.000 s; those that sound already are left out."""
    begins = (notes.onset >= 0) & (notes.onset < PROMPT_SECONDS)
    return notes.selected(begins).clipped(0.0, PROMPT_SECONDS)
