"""One prompt as it is cut out of a recording: checked, measured, and written."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.prompts.candidates import Candidate
from renderer.audio.audio_file import FloatSamples, read_audio, write_audio
from renderer.audio.loudness import largest, root_mean_square
from renderer.audio.noise import noise_level
from renderer.errors import PromptError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes
from renderer.prompt import PROMPT_SECONDS, checked_prompt

_LOWEST_RATE, _HIGHEST_RATE = 8_000, 192_000
"""What a FLAC file is written at; a recording of another rate is resampled."""

_FULL_SCALE, _IN_A_ROW = 0.995, 3


@dataclass(frozen=True)
class SoundFacts:
    """How loud 3 s are, in dBFS: ``peak``, ``rms``, and the background's ``noise`` at most (audio/noise.py)."""

    peak: float
    rms: float
    noise: float

    @classmethod
    def of(cls, samples: FloatSamples, rate: int) -> "SoundFacts":
        """Those of mono samples (N,)."""
        return cls(_dbfs(largest(samples)), _dbfs(root_mean_square(samples)), noise_level(samples, rate))


@dataclass(frozen=True, eq=False)
class PromptClip:
    """3.000 s of a recording, mono float32 at ``rate``, with its notes; ``midi`` are these as a file, with pedals."""

    prompt_id: str
    samples: FloatSamples
    rate: int
    notes: Notes
    midi: bytes
    place: Candidate

    @classmethod
    def cut(cls, prompt_id: str, audio: Path, rate: int, place: Candidate) -> "PromptClip":
        """Cut at a place of a recording; PromptError if a renderer would refuse it, or some of it is clipped."""
        rate = min(max(rate, _LOWEST_RATE), _HIGHEST_RATE)
        samples = read_audio(audio, rate, place.start, PROMPT_SECONDS)
        notes = read_midi(place.midi, "extend").notes
        samples, played = checked_prompt(prompt_id, samples, rate, notes)
        if (peak := float(np.abs(samples).max())) > 1:
            raise PromptError(f"its peak is {peak:.2f}, beyond full scale; lower its level")
        if _is_clipped(samples):
            raise PromptError("some of it is clipped: samples in a row lie at full scale")
        return cls(prompt_id, samples, rate, played, place.midi, place)

    def write(self, folder: Path) -> None:
        """Write ``ID.flac`` (24 bits) and ``ID.mid`` into a folder."""
        write_audio(folder / f"{self.prompt_id}.flac", self.samples, self.rate, "flac24")
        (folder / f"{self.prompt_id}.mid").write_bytes(self.midi)

    def facts(self) -> dict[str, Any]:
        """What a bank says of it beside what is said of all."""
        sound = SoundFacts.of(self.samples, self.rate)
        return {
            "start_s": round(self.place.start, 6),
            "notes": len(self.notes),
            "keys": self.place.window.keys,
            "sounding_at_start": self.place.window.sounding_at_start,
            "cut_at_end": self.place.window.cut_at_end,
            "peak_dbfs": round(sound.peak, 2),
            "rms_dbfs": round(sound.rms, 2),
            "noise_dbfs": round(sound.noise, 2),
        }


def reason_of(error: Exception) -> str:
    """What an error says, without the prompt's id before it, which is said elsewhere."""
    return re.sub(r"^prompt '[^']*': ", "", str(error))


def _is_clipped(samples: FloatSamples) -> bool:
    """Whether several samples in a row are one value at full scale."""
    same = (np.diff(samples) == 0) & (np.abs(samples[1:]) >= _FULL_SCALE)
    return bool(np.convolve(same, np.ones(_IN_A_ROW - 1), "valid").max(initial=0) >= _IN_A_ROW - 1)


def _dbfs(value: float) -> float:
    return 20 * math.log10(max(value, 1e-6))
