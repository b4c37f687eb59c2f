"""Segments cover a performance exactly, lose no note, strike none twice, and join without being heard."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray, Notes
from renderer.segments import Joiner, Segment, SegmentLimits, plan_segments, sounding

RATE, FRAME = 32_000, 640
LIMITS = SegmentLimits(longest=250)

performances = st.lists(
    st.tuples(st.floats(0, 60), st.floats(0.01, 8), st.integers(21, 108), st.integers(1, 127)),
    min_size=1,
    max_size=120,
).map(lambda rows: Notes.of(*np.array([(on, on + long, key, loud) for on, long, key, loud in rows]).T))


def frames_of(notes: Notes, tail: float) -> int:
    return int(np.ceil(round((notes.end + tail) * RATE) / FRAME))


def synthesize(segment: Segment, random: np.random.Generator) -> FloatSamples:
    """A stand-in for the model: decaying tones, their phases random, as no two renderings agree on them."""
    time = np.arange(segment.frames * FRAME) / RATE
    audio = np.zeros(len(time))
    notes = segment.notes
    for on, off, key, loud in zip(notes.onset, notes.offset, notes.pitch, notes.velocity, strict=True):
        envelope = np.where(time >= on, np.exp(-(time - on) / 1.5), 0) * np.exp(-np.maximum(time - off, 0) / 0.05)
        tone = 2 * np.pi * 440 * 2 ** ((key - 69) / 12) * time + random.uniform(0, 2 * np.pi)
        audio += 0.1 * (loud / 80) ** 2 * envelope * np.minimum((time - on).clip(0) / 0.005, 1) * np.sin(tone)
    return audio.astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(performances, st.floats(0, 3))
def test_own_frames_cover_the_performance_exactly_once_and_no_segment_is_too_long(notes: Notes, tail: float) -> None:
    frames = frames_of(notes, tail)
    segments = list(plan_segments(notes, frames, 50, LIMITS))
    assert [s.index for s in segments] == list(range(len(segments)))
    assert [s.keep for s in segments] == [0, *(s.end for s in segments[:-1])]
    assert segments[-1].end == segments[-1].stop == frames
    for segment in segments:
        assert segment.start <= segment.keep < segment.end <= segment.stop
        assert segment.frames <= LIMITS.longest
        assert segment.keep == 0 or segment.keep - segment.start >= LIMITS.crossfade


@settings(max_examples=150, deadline=None)
@given(performances)
def test_every_onset_is_heard_in_exactly_one_segment_at_its_own_time(notes: Notes) -> None:
    heard = []
    for segment in plan_segments(notes, frames_of(notes, 1.0), 50, LIMITS):
        onset = segment.notes.onset + segment.start / 50
        own = (onset >= segment.keep / 50) & (onset < segment.end / 50)
        heard += list(zip(onset[own].round(9), segment.notes.pitch[own], segment.notes.velocity[own], strict=True))
    assert sorted(heard) == sorted(zip(notes.onset.round(9), notes.pitch, notes.velocity, strict=True))


def test_a_note_held_over_a_cut_is_struck_unheard_and_sounds_on() -> None:
    notes = Notes.of([0.0, 1.0], [14.0, 1.2], [40, 60], [80, 80])
    first, *later = plan_segments(notes, 750, 50, LIMITS)
    assert first.notes.pitch.tolist() == [40, 60]
    for segment in later[:-1]:
        assert segment.notes.pitch.tolist() == [40]
        assert segment.notes.onset[0] == 0.0
        assert LIMITS.preroll <= segment.keep - segment.start <= 2 * LIMITS.preroll
        assert segment.notes.velocity[0] < 80


def test_cuts_prefer_silence_and_never_fall_just_after_an_onset() -> None:
    onset = np.arange(0, 20, 0.4)
    notes = Notes.of(onset, onset + 0.2, np.full(50, 60), np.full(50, 90))
    cuts = [segment.keep / 50 for segment in plan_segments(notes, 1050, 50, LIMITS)][1:]
    assert len(cuts) >= 4
    for cut in cuts:
        assert cut > 19.8 or cut % 0.4 > 0.2 - 1e-9 or cut % 0.4 < 1e-9


def test_loudness_falls_while_a_note_is_held_and_ends_with_it() -> None:
    level = sounding(Notes.of([1.0], [2.0], [60], [100]), 150, 50)
    assert level[50] == 0 and level[51] == pytest.approx(100, rel=0.05)
    assert 30 < level[100] < 50 or level[100] == pytest.approx(0, abs=1e-9)
    assert level[101] == pytest.approx(0, abs=1e-9)


def test_dense_music_is_cut_shorter_to_bound_the_number_of_notes() -> None:
    onset = np.arange(2000) * 0.005
    notes = Notes.of(onset, onset + 0.004, 21 + np.arange(2000) % 88, np.full(2000, 60))
    limits = SegmentLimits(longest=250, notes=60)
    segments = list(plan_segments(notes, 550, 50, limits))
    own = [np.sum((onset * 50 >= s.keep) & (onset * 50 < s.end)) for s in segments]
    assert max(own) <= 60 and sum(own) == 2000
    assert max(len(s.notes) for s in segments) <= 2 * 60 + 12 + 88


@pytest.mark.parametrize("seconds", [0.2, 4.99, 5.01, 61.7])
def test_joined_audio_has_exactly_the_samples_asked_for(seconds: float) -> None:
    samples = round(seconds * RATE)
    notes = Notes.of([0.0], [seconds], [60], [80])
    joiner = Joiner(samples, FRAME, LIMITS.crossfade)
    for segment in plan_segments(notes, -(-samples // FRAME), 50, LIMITS):
        joiner.add(segment, np.ones(segment.frames * FRAME, dtype=np.float32))
    assert joiner.samples.shape == (samples,)
    assert joiner.samples.min() >= 0.999
    assert joiner.samples.max() <= 1.4143


def test_order_of_arrival_does_not_change_a_single_bit() -> None:
    random = np.random.default_rng(1)
    notes = Notes.of(onset := random.uniform(0, 20, 60), onset + 1, random.integers(30, 90, 60), [70] * 60)
    segments = list(plan_segments(notes, 1100, 50, LIMITS))
    audio = [synthesize(segment, random) for segment in segments]
    forward, backward = (Joiner(1100 * FRAME, FRAME, LIMITS.crossfade) for _ in range(2))
    for index in range(len(segments)):
        forward.add(segments[index], audio[index])
        backward.add(segments[-1 - index], audio[-1 - index])
    assert forward.samples.tobytes() == backward.samples.tobytes()


def test_a_joint_is_not_audible_beside_the_music_around_it() -> None:
    random = np.random.default_rng(2)
    onset = np.sort(random.uniform(0, 58, 200))
    notes = Notes.of(onset, onset + random.uniform(0.3, 4, 200), random.integers(36, 90, 200), [80] * 200)
    frames = frames_of(notes, 1.0)
    segments = list(plan_segments(notes, frames, 50, LIMITS))
    joiner = Joiner(frames * FRAME, FRAME, LIMITS.crossfade)
    for segment in segments:
        joiner.add(segment, synthesize(segment, random))
    whole = Segment(0, 0, 0, frames, frames, notes)
    joined, uncut = spectral_flux(joiner.samples), spectral_flux(synthesize(whole, random))
    struck = np.array([uncut[int(second * 50) - 3 : int(second * 50) + 1].max() for second in onset[onset > 1]])
    added = np.array([(joined - uncut)[s.keep - LIMITS.crossfade - 3 : s.keep + 1].max() for s in segments[1:]])
    assert np.median(added) < 0.2 * np.median(struck)
    assert added.max() < np.percentile(struck, 10)


def spectral_flux(samples: FloatSamples) -> FloatArray:
    """Rise of the log spectrum from frame to frame, (frames,)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, 1408)), 2048)[::FRAME]
    spectrum = np.log1p(1000 * np.abs(np.fft.rfft(windows * np.hanning(2048))) / 512)
    return np.maximum(np.diff(spectrum, axis=0, prepend=spectrum[:1]), 0).sum(axis=1)


def test_limits_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        SegmentLimits(longest=40)
    with pytest.raises(ValueError, match="crossfade"):
        SegmentLimits(longest=250, crossfade=40)
