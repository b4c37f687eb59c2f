"""A piano in a soundfont, played by the program ``fluidsynth``."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from renderer.audio.audio_file import FloatSamples
from renderer.errors import AudioError
from renderer.file_hash import file_hash
from renderer.midi.midi_file import midi_bytes
from renderer.midi.notes import Notes
from renderer.pianos.piano import SAMPLE_RATE, reference_gain
from renderer.pianos.voicing import AS_RECORDED, Voicing

PROGRAM = "fluidsynth"
INSTALL = "apt-get install fluidsynth fluid-soundfont-gm"
_USUAL = tuple(
    Path(folder, name)
    for folder in ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/opt/homebrew/share/soundfonts")
    for name in ("FluidR3_GM.sf2", "default-GM.sf2", "default.sf2")
)
_OPTIONS = ("-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(SAMPLE_RATE), "-T", "raw", "-O", "float")
_SETTINGS = ("synth.dynamic-sample-loading=1", "synth.polyphony=512", "synth.cpu-cores=1")
TIMEOUT_SECONDS = 300.0


def installed_soundfont() -> Path | None:
    """The soundfont that systems install beside the program, FluidR3 first; None where either is not there."""
    if shutil.which(PROGRAM) is None:
        return None
    return next((path for path in _USUAL if path.is_file()), None)


class SoundfontPiano:
    """One preset of a soundfont, dry: without the synthesizer's own reverberation and chorus."""

    def __init__(self, path: Path, bank: int = 0, preset: int = 0) -> None:
        """AudioError if there is no such soundfont, or the program that plays it is not installed."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise AudioError(f"{path}: soundfonts are played by the program {PROGRAM}, which is not installed")
        if not path.is_file():
            raise AudioError(f"{path}: there is no such soundfont")
        self._path, self._program, self._bank, self._preset = path, program, bank, preset
        self._gain = 1.0
        self._gain = reference_gain(self.play)

    def play(self, notes: Notes, samples: int, voicing: Voicing = AS_RECORDED) -> FloatSamples:
        """The notes as float32 (samples,); onsets are rounded to 1/960 s, and then to 2 ms by the synthesizer.

        Of the voicing only the tuning is heard.
        """
        with tempfile.TemporaryDirectory(prefix="soundfont-piano-") as name:
            midi, commands, raw = (Path(name) / part for part in ("notes.mid", "commands", "audio.raw"))
            midi.write_bytes(midi_bytes(notes))
            said = [f"select 0 1 {self._bank} {self._preset}"]
            if (cents := voicing.cents()).any():
                said += [
                    "tuning keys 0 0",
                    *(f"tune 0 0 {key} {100 * key + raised:.3f}" for key, raised in enumerate(cents)),
                ]
                said.append("settuning 0 0 0")
            commands.write_text("\n".join([*said, ""]), "utf-8")
            options = [*_OPTIONS, *(f"-o{setting}" for setting in _SETTINGS)]
            self._run([*options, "-f", str(commands), "-F", str(raw), str(self._path), str(midi)])
            stereo = np.fromfile(raw, "<f4").reshape(-1, 2)
        mono = stereo[:samples].mean(axis=1, dtype=np.float32) * np.float32(self._gain)
        return np.pad(mono, (0, samples - len(mono)))

    def _run(self, arguments: list[str]) -> None:
        command = [self._program, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise AudioError(f"{self._path}: {PROGRAM} did not finish within {TIMEOUT_SECONDS:g} s") from None
        said = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode or "error" in said.lower():
            raise AudioError(f"{self._path}: {PROGRAM} failed ({done.returncode}): {said[-300:]}")


def soundfont_fingerprint(path: Path, bank: int, preset: int) -> str:
    """SHA-256 over the soundfont and the preset."""
    if not path.is_file():
        raise AudioError(f"{path}: there is no such soundfont")
    return hashlib.sha256(repr((file_hash(path), bank, preset)).encode()).hexdigest()
