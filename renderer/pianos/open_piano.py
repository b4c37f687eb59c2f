"""Pianos by where their files are."""

from dataclasses import dataclass
from pathlib import Path

from renderer.errors import AudioError
from renderer.pianos.bank import open_bank, samples_fingerprint
from renderer.pianos.piano import Piano
from renderer.pianos.sampled_piano import SampledPiano
from renderer.pianos.samples import Sample, find_samples
from renderer.pianos.sfz import read_sfz
from renderer.pianos.soundfont import SoundfontPiano, soundfont_fingerprint
from renderer.weights.published import cache_directory

SOUNDFONTS = (".sf2", ".sf3")


@dataclass(frozen=True)
class PianoFiles:
    """A piano to be had from ``path``: a folder of recordings, an SFZ file, or a preset of a soundfont."""

    path: Path
    bank: int = 0
    preset: int = 0

    def open(self) -> Piano:
        """The piano; AudioError if it cannot be had. Of recordings a bank is made the first time: a minute."""
        if self.path.suffix.lower() in SOUNDFONTS:
            return SoundfontPiano(self.path, self.bank, self.preset)
        try:
            return SampledPiano(open_bank(self._samples(), cache_directory() / "pianos"))
        except (OSError, ValueError) as error:
            raise AudioError(f"{self.path}: cannot be played: {error}") from None

    def fingerprint(self) -> str:
        """SHA-256 over all that decides how it sounds; AudioError if it cannot be read."""
        if self.path.suffix.lower() in SOUNDFONTS:
            return soundfont_fingerprint(self.path, self.bank, self.preset)
        try:
            return samples_fingerprint(self._samples())
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be read: {error}") from None

    def _samples(self) -> list[Sample]:
        if self.path.suffix.lower() == ".sfz":
            return read_sfz(self.path)
        if not self.path.is_dir():
            raise AudioError(f"{self.path}: neither a folder of recordings, nor an .sfz, .sf2 or .sf3 file")
        return find_samples(self.path)
