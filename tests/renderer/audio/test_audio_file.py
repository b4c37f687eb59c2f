import io
import os
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from renderer.audio.audio_file import AudioFormat, FloatSamples, audio_suffix, read_audio, resample, write_audio
from renderer.errors import AudioError

FIXTURES = Path(__file__).parents[2] / "fixtures"
FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
LOSSY: tuple[AudioFormat, ...] = ("ogg", "opus", "mp3")


def rate_of(audio_format: AudioFormat) -> int:
    """A rate that the format knows; a model's own, but for Opus."""
    return 48000 if audio_format == "opus" else 32000


def tone(seconds: float, rate: int, frequency: float = 440.0) -> FloatSamples:
    time_axis = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time_axis)).astype(np.float32)


def noise(samples: int) -> FloatSamples:
    return (np.random.default_rng(0).standard_normal(samples) * 0.1).astype(np.float32)


@pytest.mark.parametrize("audio_format", FORMATS)
@pytest.mark.parametrize("samples", [1, 639, 65_536, 100_001])
def test_the_sample_count_is_exact_in_every_format(tmp_path: Path, audio_format: AudioFormat, samples: int) -> None:
    path = tmp_path / f"noise{audio_suffix(audio_format)}"
    rate = rate_of(audio_format)
    assert write_audio(path, noise(samples), rate, audio_format) == 0
    assert soundfile.info(path).frames == samples and soundfile.info(path).samplerate == rate
    assert read_audio(path, rate).shape == (samples,)


@pytest.mark.parametrize(
    ("audio_format", "step"),
    [("flac", 2**-15), ("wav", 2**-15), ("flac24", 2**-23), ("wav24", 2**-23), ("wav-float", 0.0)],
)
def test_lossless_formats_round_to_the_nearest_step(tmp_path: Path, audio_format: AudioFormat, step: float) -> None:
    path = tmp_path / "noise"
    samples = noise(50_000)
    write_audio(path, samples, 32000, audio_format)
    error = np.abs(read_audio(path, 32000).astype(np.float64) - samples)
    assert error.max() <= step / 2


@pytest.mark.parametrize("audio_format", LOSSY)
def test_lossy_formats_sound_like_what_was_written_and_when(tmp_path: Path, audio_format: AudioFormat) -> None:
    rate = rate_of(audio_format)
    samples = tone(2, rate)
    write_audio(tmp_path / "a", samples, rate, audio_format)
    error = read_audio(tmp_path / "a", rate) - samples
    assert 10 * np.log10(np.square(samples).sum() / np.square(error).sum()) > 25


def test_long_ogg_is_written_whole(tmp_path: Path) -> None:
    """In one call, libvorbis overflows its stack at this length."""
    write_audio(tmp_path / "long.ogg", noise(300 * 32000), 32000, "ogg")
    assert soundfile.info(tmp_path / "long.ogg").frames == 300 * 32000


def test_rates_that_a_format_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'opus' cannot hold 32000 Hz: it knows 8000, 12000, 16000, 24000, 48000"):
        write_audio(tmp_path / "a.opus", noise(10), 32000, "opus")
    with pytest.raises(ValueError, match="'mp3' cannot hold 96000 Hz"):
        write_audio(tmp_path / "a.mp3", noise(10), 96000, "mp3")
    with pytest.raises(ValueError, match="sample rate is 4000 Hz; it must be 8000 to 192000"):
        write_audio(tmp_path / "a.flac", noise(10), 4000)
    for audio_format in FORMATS:
        for rate in (8000, 24000, 48000):
            assert write_audio(tmp_path / "a", noise(10), rate, audio_format) == 0


def test_equal_samples_give_equal_bytes_at_another_time() -> None:
    def content(audio_format: AudioFormat) -> bytes:
        buffer = io.BytesIO()
        write_audio(buffer, noise(70_000), rate_of(audio_format), audio_format)
        return buffer.getvalue()

    first = {audio_format: content(audio_format) for audio_format in FORMATS}
    time.sleep(1.1)
    for audio_format in FORMATS:
        assert content(audio_format) == first[audio_format], audio_format


@pytest.mark.parametrize("audio_format", FORMATS)
def test_bytes_are_the_same_where_there_are_no_files_in_memory(
    audio_format: AudioFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).normal(0, 0.3, 70_000).astype(np.float32)
    rate = 48_000
    written = io.BytesIO(), io.BytesIO()
    write_audio(written[0], samples, rate, audio_format)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    write_audio(written[1], samples, rate, audio_format)
    assert written[0].getvalue() == written[1].getvalue() and len(written[0].getvalue()) > 1000


@pytest.mark.parametrize("audio_format", [f for f in FORMATS if f not in LOSSY])
def test_loud_samples_are_clipped_and_counted_never_wrapped(tmp_path: Path, audio_format: AudioFormat) -> None:
    samples = np.array([0.0, 1.5, -1.5, 0.5, 1.0, -1.0, -3.0, 0.999999], np.float32)
    path = tmp_path / "loud"
    assert write_audio(path, samples, 32000, audio_format) == 3
    np.testing.assert_allclose(read_audio(path, 32000), np.clip(samples, -1, 1), atol=2**-15)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nowhere/a\.flac: cannot be written: No such file"):
        write_audio(tmp_path / "nowhere" / "a.flac", noise(10), 32000)
    with pytest.raises(AudioError, match="not numbers"):
        write_audio(tmp_path / "a.flac", np.array([0, np.nan], np.float32), 32000)
    with pytest.raises(ValueError, match=r"mono \(N,\)"):
        write_audio(tmp_path / "a.flac", np.zeros((2, 10), np.float32), 32000)
    with pytest.raises(ValueError, match="'aac' is unknown; use one of flac, flac24"):
        write_audio(tmp_path / "a.flac", noise(10), 32000, "aac")  # type: ignore[arg-type]
    assert not (tmp_path / "a.flac").exists()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_24"), ("aiff", "PCM_16")])
def test_any_rate_and_channels_become_the_same_tone(tmp_path: Path, rate: int, suffix: str, subtype: str) -> None:
    path = tmp_path / f"tone.{suffix}"
    left = tone(3, rate)
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), rate, subtype=subtype)
    samples = read_audio(path, 32000)
    assert samples.dtype == np.float32 and samples.shape == (96_000,)
    error = (samples - tone(3, 32000) / 2)[500:-500]
    assert np.abs(error).max() < 2e-4


def test_a_part_of_a_file_lies_where_it_should(tmp_path: Path) -> None:
    samples = np.zeros(5 * 44100, np.float32)
    samples[2 * 44100 : 2 * 44100 + 50] = 0.5
    soundfile.write(tmp_path / "click.wav", samples, 44100)
    part = read_audio(tmp_path / "click.wav", 32000, start=1.25, duration=3.0)
    assert part.shape == (96_000,)
    assert np.flatnonzero(np.abs(part) > 0.25)[0] == pytest.approx(0.75 * 32000, abs=2)
    assert read_audio(tmp_path / "click.wav", 32000, start=4.0, duration=3.0).shape == (32_000,)


@pytest.mark.parametrize("name", ["44100_2ch", "48000_1ch", "22050_1ch", "24000_2ch"])
def test_resampling_agrees_with_the_published_path_in_band(name: str) -> None:
    """The published one falls off early: compared is the band below 0.7 of the lower Nyquist frequency."""
    rate = int(name.split("_")[0])
    with np.load(FIXTURES / "resample.npz") as arrays:
        ours = resample(arrays[f"in_{name}"].mean(axis=0), rate, 32000)
        published = arrays[f"out_{name}"][0]
    assert ours.shape == published.shape
    window = np.hanning(len(ours))
    band = np.fft.rfftfreq(len(ours), 1 / 32000) < 0.7 * min(rate, 32000) / 2
    error = np.abs(np.fft.rfft((ours - published) * window))[band]
    signal = np.abs(np.fft.rfft(published * window))[band]
    assert 10 * np.log10(np.square(error).sum() / np.square(signal).sum()) < -48


def test_what_cannot_be_read_is_refused_with_path_and_reason(tmp_path: Path) -> None:
    def refused(name: str, reason: str, **options: float) -> None:
        with pytest.raises(AudioError, match=f"{name}: .*{reason}"):
            read_audio(tmp_path / name, 32000, **options)

    refused("absent.wav", "No such file")
    refused("", "Is a directory")
    for name in ("text.wav", "text.raw"):
        (tmp_path / name).write_text("no audio", "utf-8")
        refused(name, "cannot be read as audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 32000)
    refused("empty.wav", "holds no audio")
    for value in (np.nan, np.inf):
        soundfile.write(tmp_path / "broken.wav", np.array([0, value], np.float32), 32000, subtype="FLOAT")
        refused("broken.wav", "not numbers")
    soundfile.write(tmp_path / "short.wav", noise(3200), 32000)
    refused("short.wav", "holds no audio after 2 s", start=2.0)
    soundfile.write(tmp_path / "slow.wav", noise(32), 10)
    refused("slow.wav", "10 Hz is not a rate")
    soundfile.write(tmp_path / "whole.flac", noise(320_000), 32000)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(content[: len(content) // 2])
    refused("half.flac", "cannot be read as audio")
