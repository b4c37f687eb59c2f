"""Whether the background changes where segments were joined: what lies between the partials, before and after."""

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray
from renderer.quality.power_spectrum import power_spectrum

_WINDOW_SECONDS, _HOP_SECONDS = 0.064, 0.016
_SIDE_SECONDS, _LEAST_SECONDS = 1.0, 0.3
_BAND_HZ = (1000.0, 12_000.0)
_QUANTILE = 0.2
_SILENT_POWER = 1e-12


def noise_floor_step(samples: FloatSamples, sample_rate: int, joints: FloatArray, crossfade: float = 0.1) -> float:
    """By how many dB the noise floor changes at a joint, up or down, in the mean over the joints (J,); NaN if none.

    The floor of a side, up to a second of it, is what every frequency between 1 and 12 kHz has in its quietest
    moments; the step is the median over the frequencies. Music that fades changes it as well: compare with the same
    places in a recording. Joints are in seconds, each at the end of its cross-fade.
    """
    ends = np.concatenate([[0.0], np.sort(joints), [len(samples) / sample_rate]])
    steps = []
    for before, joint, after in zip(ends[:-2], ends[1:-1], ends[2:], strict=True):
        fade = joint - crossfade
        left = _floor(samples, sample_rate, max(before, fade - _SIDE_SECONDS), fade)
        right = _floor(samples, sample_rate, joint, min(after - crossfade, joint + _SIDE_SECONDS))
        if left is not None and right is not None:
            steps.append(abs(float(np.median(right - left))))
    return float(np.mean(steps)) if steps else float("nan")


def _floor(samples: FloatSamples, sample_rate: int, start: float, stop: float) -> FloatArray | None:
    """The floor by frequency, in dB, of a stretch in seconds; None if it is too short."""
    if stop - start < _LEAST_SECONDS:
        return None
    window, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    stretch = samples[round(start * sample_rate) : round(stop * sample_rate)]
    if len(stretch) < window:
        return None
    frames = torch.from_numpy(np.ascontiguousarray(stretch, np.float32)).unfold(0, window, hop)
    power = power_spectrum(frames, torch.hann_window(window) * (2 / window))
    frequency = np.fft.rfftfreq(window, 1 / sample_rate)
    inside = torch.from_numpy((frequency >= _BAND_HZ[0]) & (frequency < _BAND_HZ[1]))
    level = 10 * np.log10(power[:, inside].double().numpy() + _SILENT_POWER)
    return np.asarray(np.quantile(level, _QUANTILE, axis=0))
