"""Where in a recording prompts may be cut, the best places first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renderer.audio.audio_file import FloatSamples, read_audio
from renderer.errors import PromptError
from renderer.evaluation.transcriber import Transcriber
from renderer.midi.clip import midi_clip
from renderer.midi.midi_file import midi_bytes, read_midi
from renderer.midi.notes import Notes
from renderer.prompt import PROMPT_SECONDS, prompt_notes
from renderer.prompt_windows import PromptWindow, best_windows
from renderer.quality.alignment import LONGEST_OFFSET, OnsetCorrelation
from renderer.quality.note_match import match_notes

LARGEST_OFFSET, SMALLEST_MENDED = 0.05, 0.02
"""Seconds: what a prompt may be late or early, and what is worth mending, as offsets are found to about 10 ms."""

STRETCH_SECONDS, STRETCHES = 12.0, 5
"""So much around the best windows, and around so many, is listened to for the offset of a recording."""

HEARD_SECONDS, FEWEST_HEARD = 14.0, 4
"""What a transcriber hears of a recording at once, and at how many places, evenly spread."""

_FOUND_HERE = 0.6
_RATE = 16_000


@dataclass(frozen=True)
class Candidate:
    """A place of 3 s: ``start`` in the recording, the window of its notes, and these as a MIDI file."""

    start: float
    window: PromptWindow
    midi: bytes


@dataclass(frozen=True)
class Candidates:
    """A recording's places, the best first, and by how many seconds it is late against its MIDI, as far as heard."""

    places: Sequence[Candidate]
    late: float | None = None


class OffsetError(PromptError):
    """A recording that does not fit its MIDI; ``late`` is the offset found, in seconds, None if there is none."""

    def __init__(self, reason: str, late: float | None) -> None:
        super().__init__(reason)
        self.late = late


def places_by_midi(audio: Path, seconds: float, midi: Path, most: int, align: bool) -> Candidates:
    """Places in a recording of some seconds by the notes of its MIDI; with ``align``, where these are heard.

    Left out are places at which the recording is late by something else than in the whole. OffsetError if it does not
    fit, or is so at most places; PromptError if too little is played, AudioError or MidiError for the files.
    """
    notes = read_midi(midi, "extend").notes
    most = max(STRETCHES, 3 * most)
    windows = _windows(notes, most, 0.0, seconds)
    heard = [_correlation(audio, seconds, notes, window) for window in windows]
    late = _offset(heard[:STRETCHES], audio, seconds, notes, windows[:STRETCHES])
    if late is not None and abs(late) > LARGEST_OFFSET and not align:
        fault = f"its audio is {abs(late):.2f} s {'late' if late > 0 else 'early'} against its MIDI"
        raise OffsetError(f"{fault}; --align mends that", late)
    moved = late if late is not None and align and abs(late) > SMALLEST_MENDED else 0.0
    if moved:
        windows = _windows(notes, most, max(0.0, -moved), seconds - moved)
        heard = [_correlation(audio, seconds, notes, window) for window in windows]
    fits = [late is None or here.fits(late, LARGEST_OFFSET) for here in heard]
    telling = [fit for fit, here in zip(fits, heard, strict=True) if here.offset is not None]
    if 2 * sum(telling) < len(telling):
        raise OffsetError("its audio is late by more at one place than at another: its clock is not its MIDI's", late)
    steady = [window for window, fit in zip(windows, fits, strict=True) if fit]
    places = [Candidate(each.start + moved, each, midi_clip(midi, each.start, each.end)) for each in steady]
    return Candidates(places, late)


def _windows(notes: Notes, most: int, begin: float, end: float) -> list[PromptWindow]:
    windows = best_windows(notes, most, begin, end)
    if not windows:
        raise PromptError(f"there are no {PROMPT_SECONDS:g} s in which enough notes begin")
    return windows


def _offset(
    heard: Sequence[OnsetCorrelation], audio: Path, seconds: float, notes: Notes, windows: Sequence[PromptWindow]
) -> float | None:
    """By how many seconds a recording is late; None if it is too short to tell, but its notes are in it."""
    late = sum(heard[1:], start=heard[0]).offset
    if late is None and not _found_here(audio, seconds, notes, windows):
        raise OffsetError(f"its notes are heard in it at no offset up to {LONGEST_OFFSET:g} s: is it its MIDI?", None)
    return late


def places_by_ear(audio: Path, seconds: float, rate: int, most: int, transcriber: Transcriber) -> Candidates:
    """Places in a recording of some seconds by the notes that a transcriber hears in some stretches of it."""
    count = max(FEWEST_HEARD, 2 * most)
    found: list[Candidate] = []
    for begin in np.unique(np.linspace(0.0, max(0.0, seconds - HEARD_SECONDS), count)).tolist():
        samples = read_audio(audio, rate, begin, HEARD_SECONDS)
        notes = transcriber.transcribe(samples, rate)
        for window in best_windows(notes, most, 0.0, len(samples) / rate):
            played = prompt_notes(notes.shifted(-window.start))
            found.append(Candidate(begin + window.start, window, midi_bytes(played)))
    if not found:
        raise PromptError(f"no {PROMPT_SECONDS:g} s are heard in which enough notes begin")
    ranked = sorted(found, key=lambda place: (-place.window.score, place.start))
    return Candidates(_apart(ranked))


def _apart(places: Sequence[Candidate]) -> list[Candidate]:
    """Those that do not overlap a better one."""
    chosen: list[Candidate] = []
    for place in places:
        if all(abs(place.start - other.start) >= PROMPT_SECONDS for other in chosen):
            chosen.append(place)
    return chosen


def _correlation(audio: Path, seconds: float, notes: Notes, window: PromptWindow) -> OnsetCorrelation:
    samples, near = _stretch(audio, seconds, notes, window)
    return OnsetCorrelation.of(samples, _RATE, near)


def _found_here(audio: Path, seconds: float, notes: Notes, windows: Sequence[PromptWindow]) -> bool:
    """Whether most notes are found where they stand: enough for a recording too short to tell an offset."""
    stretches = (_stretch(audio, seconds, notes, window) for window in windows)
    matches = [match_notes(samples, _RATE, near) for samples, near in stretches]
    whole = sum(match.notes for match in matches)
    return whole > 0 and sum(match.found * match.notes for match in matches if match.notes) >= _FOUND_HERE * whole


def _stretch(audio: Path, seconds: float, notes: Notes, window: PromptWindow) -> tuple[FloatSamples, Notes]:
    """The audio around a window, and the notes near it on its clock."""
    begin = max(0.0, min(window.start - (STRETCH_SECONDS - PROMPT_SECONDS) / 2, seconds - STRETCH_SECONDS))
    near = (notes.onset > begin - LONGEST_OFFSET) & (notes.onset < begin + STRETCH_SECONDS + LONGEST_OFFSET)
    return read_audio(audio, _RATE, begin, STRETCH_SECONDS), notes.selected(near).shifted(-begin)
