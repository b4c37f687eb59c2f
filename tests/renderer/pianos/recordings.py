"""Recordings of a piano that needs none: decaying tones, as files, in layers."""

from pathlib import Path

import numpy as np
import soundfile

from renderer.audio.audio_file import FloatSamples

RATE = 44_100
NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
LAYER_PEAKS = (0.05, 0.2, 0.6)


def tone(key: int, peak: float, seconds: float = 3.0, silence: float = 0.02) -> FloatSamples:
    """A tone that begins at once after some silence, as recordings do."""
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((key - 69) / 12)
    sound = peak * np.exp(-1.5 * time) * np.cos(2 * np.pi * frequency * time)
    return np.concatenate([np.zeros(round(silence * RATE)), sound]).astype(np.float32)


def write_recordings(folder: Path, keys: range = range(21, 109, 12), releases: bool = False) -> Path:
    """Every twelfth key in three layers, in a folder for each layer, named as the Salamander Grand names them."""
    for layer, peak in enumerate(LAYER_PEAKS, 1):
        (folder / f"layer{layer}").mkdir(parents=True, exist_ok=True)
        for key in keys:
            name = f"{NAMES[key % 12]}{key // 12 - 1}v{layer}.wav"
            soundfile.write(folder / f"layer{layer}" / name, tone(key, peak), RATE, "FLOAT")
    if releases:
        for key in range(21, 109):
            click = np.zeros(2000, np.float32)
            click[100] = 0.5
            soundfile.write(folder / f"rel{key - 20}.wav", click, RATE, "FLOAT")
    return folder
