"""Pictures by numbers: what sounds is bright where its key and its moment are."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from jobs.pictures.note_picture import note_picture
from jobs.pictures.spectrogram import Spectrogram, spectrogram
from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes

RATE = 32_000


def tone(key: int, begin: float, end: float, seconds: float, rate: int = RATE) -> FloatSamples:
    time = np.arange(round(seconds * rate)) / rate
    sounds = (time >= begin) & (time < end)
    return (0.3 * sounds * np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 32_000, 44_100])
@pytest.mark.parametrize("key", [33, 45, 57, 69, 81, 93, 105, 108])
def test_a_tone_is_brightest_in_the_rows_of_its_key_and_dark_elsewhere(key: int, rate: int) -> None:
    levels = spectrogram(tone(key, 0, 3, 3, rate), rate).levels
    assert levels.shape == (192, 600)
    own = 2 * (116 - key)
    assert (levels.argmax(axis=0)[50:-50] // 2 == 116 - key).all()
    assert levels[own : own + 2, 50:-50].min() >= 43
    far = np.abs(np.arange(192) - own) > 24
    assert levels[far, 50:-50].max() == 0


def test_a_440_hz_tone_has_row_94_and_95() -> None:
    assert set(spectrogram(tone(69, 0, 1, 1), RATE).levels.argmax(axis=0)[40:-40]) <= {94, 95}


@pytest.mark.parametrize("seconds", [3.0, 40.0, 100.0])
def test_a_strike_is_seen_at_its_moment_however_long_the_piece(seconds: float) -> None:
    begin, end = 0.5 * seconds, 0.5 * seconds + 0.15
    picture = spectrogram(tone(84, begin, end, seconds), RATE)
    assert picture.seconds == seconds
    width = seconds / 600
    bright = np.flatnonzero(picture.levels[64:66].max(axis=0) > 40) * width
    assert begin - 0.07 - width <= bright.min() <= begin + 0.07
    assert end - 0.07 - width <= bright.max() <= end + 0.07


def test_noise_below_hearing_and_silence_are_dark() -> None:
    assert spectrogram(np.zeros(RATE, np.float32), RATE).levels.max() == 0
    faint = np.random.default_rng(0).normal(0, 1e-5, RATE).astype(np.float32)
    assert spectrogram(faint, RATE).levels.max() < 12


def test_short_audio_has_fewer_columns_and_wrong_input_is_refused() -> None:
    assert spectrogram(np.ones(1, np.float32), RATE).levels.shape == (192, 1)
    assert spectrogram(tone(69, 0, 1, 0.1), RATE).levels.shape == (192, 20)
    for samples, columns in ((np.zeros(0, np.float32), 9), (np.zeros((2, 9), np.float32), 9), (tone(69, 0, 1, 1), 0)):
        with pytest.raises(ValueError, match="needs mono samples"):
            spectrogram(samples, RATE, columns)


def test_the_png_has_a_pixel_for_each_level_and_equal_bytes() -> None:
    picture = spectrogram(tone(69, 0, 1, 1), RATE)
    image = Image.open(io.BytesIO(picture.png()))
    assert (image.format, image.size) == ("PNG", picture.levels.shape[::-1])
    light = np.asarray(image.convert("L"), np.int64)
    assert (light.argmax(axis=0)[20:-20] // 2 == 47).all()
    assert picture.png() == Spectrogram(picture.levels.copy(), 1.0).png()


def test_notes_lie_over_their_keys_and_moments() -> None:
    picture = spectrogram(tone(69, 0, 1, 2), RATE)
    notes = Notes.of([-0.5, 0.25, 1.5, 2.5], [0.125, 0.75, 9.0, 3.0], [60, 69, 108, 70], [80, 80, 80, 80])
    svg = ElementTree.fromstring(note_picture(picture, notes))
    assert svg.attrib["viewBox"] == "0 0 2.0000 96"
    found = [tuple(float(each.attrib[name]) for name in ("x", "y", "width", "height")) for each in svg.iter("rect")]
    assert found == [(0.0, 56, 0.125, 1.0), (0.25, 47, 0.5, 1.0), (1.5, 8, 0.5, 1.0)]
    (image,) = svg.iter("image")
    assert base64.b64decode(image.attrib["href"].partition(",")[2]) == picture.png()
    assert [line.attrib["class"] for line in svg.iter("line")] == ["playhead"]


def test_the_address_of_a_picture_elsewhere_is_escaped() -> None:
    picture = spectrogram(tone(69, 0, 1, 1), RATE)
    (image,) = ElementTree.fromstring(note_picture(picture, Notes.none(), 'a"><script>&.png')).iter("image")
    assert image.attrib["href"] == 'a"><script>&.png'
