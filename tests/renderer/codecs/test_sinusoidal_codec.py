import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from renderer.codecs.oscillators import Oscillators, oscillator_frequencies
from renderer.codecs.sinusoidal_codec import SinusoidalCodec, SinusoidalCodecConfig, centred, slow
from renderer.codecs.touch import HAS_NOTES, NOTE_FEATURES, note_roll
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes
from renderer.weights.checkpoint import find_model, load_codec
from tests.renderer.tones import melody, played

HOP = 320
GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "golden.npz"


@pytest.fixture(scope="module")
def codec() -> SinusoidalCodec:
    torch.manual_seed(0)
    codec = SinusoidalCodec(SinusoidalCodecConfig(encoder_width=32, decoder_width=32, decoder_blocks=1, fine_blocks=1))
    return codec.for_inference()


@torch.inference_mode()
def test_audio_of_the_bundled_codec_equals_the_golden() -> None:
    bundled = load_codec(find_model("mini")).for_inference()
    notes = read_midi(GOLDEN.with_suffix(".mid"), "extend").notes
    with np.load(GOLDEN) as golden:
        codes = torch.from_numpy(golden["greedy_codes"]).T[None]
        audio, conditioned = (torch.from_numpy(golden[name]) for name in ("audio", "told_audio"))
    assert audio.abs().max() > 0.01 and (audio - conditioned).abs().max() > 0.01
    torch.testing.assert_close(bundled.decode(codes)[0], audio, rtol=0, atol=1e-5)
    torch.testing.assert_close(bundled.decode(codes, notes=[notes])[0], conditioned, rtol=0, atol=1e-5)


def tone(index: int, frames: int, start: int = 0) -> torch.Tensor:
    """One oscillator at amplitude 1 as audio (samples,)."""
    amplitude = torch.zeros(1, frames, len(oscillator_frequencies()))
    amplitude[..., index] = 1.0
    return centred(Oscillators(32000, HOP)(amplitude, torch.tensor([start])), HOP)[0]


@pytest.mark.parametrize("hertz", [55.0, 261.63, 1046.5, 3520.0])
def test_a_tone_that_lasts_does_not_flutter(hertz: float) -> None:
    frequencies = np.array(oscillator_frequencies())
    index = int(np.abs(frequencies - hertz).argmin())
    audio = tone(index, 200)[HOP:-HOP].double().numpy()
    time = np.arange(len(audio)) / 32000
    # What is left beside the best sine of that frequency: nothing.
    sine = np.stack([np.cos(2 * np.pi * frequencies[index] * time), np.sin(2 * np.pi * frequencies[index] * time)])
    fit = np.linalg.lstsq(sine.T, audio, rcond=None)[0]
    assert np.abs(audio - sine.T @ fit).max() < 1e-4
    assert np.hypot(*fit) == pytest.approx(1.0, abs=1e-4)


def test_every_partial_of_a_piano_has_an_oscillator_within_a_sixth_of_a_semitone() -> None:
    frequencies = np.array(oscillator_frequencies())
    partials = [440 * 2 ** ((key - 69) / 12) * n for key in range(21, 109) for n in range(1, 9)]
    audible = np.array([hertz for hertz in partials if 110 < hertz < 7000])
    cents = 1200 * np.abs(np.log2(frequencies[:, None] / audible)).min(axis=0)
    assert cents.max() <= 16


def test_a_clip_that_begins_later_continues_the_tones_of_one_that_began_before() -> None:
    whole, later = tone(200, 50), tone(200, 30, start=20)
    assert torch.allclose(whole[21 * HOP : -HOP], later[HOP:-HOP], atol=1e-5)


def test_phases_are_still_exact_after_an_hour() -> None:
    hour = 100 * 3600
    early, late = tone(300, 40), tone(300, 40, start=hour)
    frequency = oscillator_frequencies()[300]
    turned = 2 * np.pi * ((frequency * HOP / 32000 * hour) % 1)
    middle = slice(10 * HOP, 30 * HOP)
    time = np.arange(10 * HOP, 30 * HOP) / 32000

    def phase(audio: torch.Tensor) -> float:
        return float(np.angle(np.sum(audio[middle].numpy() * np.exp(-2j * np.pi * frequency * time))))

    assert abs(np.angle(np.exp(1j * (phase(late) - phase(early) - turned)))) < 2e-3


@torch.inference_mode()
def test_a_clip_does_not_depend_on_its_company(codec: SinusoidalCodec) -> None:
    clips = torch.from_numpy(np.stack([played(melody(seed, 2.0), 2.0) for seed in range(3)]))
    codes = codec.encode(clips)
    audio = codec.decode(codes)
    assert codes.shape == (3, 4, 100) and audio.shape == (3, 64000)
    for row in range(3):
        assert torch.equal(codec.encode(clips[row : row + 1])[0], codes[row])
        assert torch.equal(codec.decode(codes[row : row + 1])[0], audio[row])


@pytest.fixture(scope="module")
def listening() -> SinusoidalCodec:
    """A codec whose decoder does something, whatever it is, with the notes that it is given."""
    torch.manual_seed(0)
    config = SinusoidalCodecConfig(encoder_width=32, decoder_width=32, decoder_blocks=1, fine_blocks=1)
    codec = SinusoidalCodec(config)
    assert codec.decoder.told is not None and codec.decoder.touch is not None
    torch.nn.init.normal_(codec.decoder.told.weight, std=0.1)
    torch.nn.init.normal_(codec.decoder.touch.output.weight, std=0.5)
    return codec.for_inference()


@torch.inference_mode()
def test_a_clip_is_conditioned_on_its_own_notes_whatever_its_company(listening: SinusoidalCodec) -> None:
    notes = [melody(seed, 2.0) for seed in range(3)]
    codes = listening.encode(torch.from_numpy(np.stack([played(of_clip, 2.0) for of_clip in notes])))
    audio = listening.decode(codes, notes=notes)
    for row in range(3):
        assert torch.equal(listening.decode(codes[row : row + 1], notes=[notes[row]])[0], audio[row])
        assert not torch.allclose(listening.decode(codes[row : row + 1], notes=[notes[row - 1]])[0], audio[row])
    short = listening.decode(codes, torch.tensor([100, 0, 40]), notes)
    assert torch.equal(short[2, : 40 * 640], listening.decode(codes[2:, :, :40], notes=notes[2:])[0])
    with pytest.raises(ValueError, match="notes of 2 clips, and codes of 3"):
        listening.decode(codes, notes=notes[:2])
    with pytest.raises(ValueError, match="pitch 12; a piano's keys are 21 to 108"):
        listening.decode(codes[:1], notes=[Notes.of([0.0], [1.0], [12], [64])])


@torch.inference_mode()
def test_a_note_has_notes_at_its_time_and_on_its_key_alone(listening: SinusoidalCodec) -> None:
    codes = torch.zeros(1, 4, 150, dtype=torch.int64)
    note = Notes.of([2.0], [2.5], [69], [90])
    silence, played = (listening.synthesize(listening.dequantize(codes), notes=[n]) for n in (Notes.none(), note))
    # What is known of the sound is a mean over a second to either side, of what sees .3 s ahead in this small decoder.
    assert torch.allclose(silence[0, : 32000 * 7 // 10], played[0, : 32000 * 7 // 10], rtol=0, atol=1e-3)
    assert (silence[0, 64000:80000] - played[0, 64000:80000]).abs().max() > 0.1
    roll = note_roll(note, 300, 100)
    assert roll.shape == (300, 88, NOTE_FEATURES) and roll[..., HAS_NOTES].eq(1).all()
    assert roll[..., :HAS_NOTES].abs().sum((0, 2)).nonzero().flatten().tolist() == [69 - 21]
    assert roll[:, 48, 4].argmax() == 200
    assert not note_roll(None, 200, 100).any()


def test_what_has_notes_of_a_key_falls_slower_after_its_release_in_its_tails() -> None:
    roll = note_roll(Notes.of([0.0], [1.0], [60], [64]), 200, 100)[:, 60 - 21]
    quick, tail, long_tail = (float((roll[100, place] / roll[150, place]).log()) for place in (2, 5, 6))
    assert abs(quick - (0.5 / 0.08 + 0.25)) < 1e-3
    assert abs(tail - (0.5 / 0.25 + 0.25)) < 1e-3 and abs(long_tail - (0.5 / 0.8 + 0.25)) < 1e-3
    assert torch.allclose(roll[:101, 5], roll[:101, 2]) and torch.allclose(roll[:101, 6], roll[:101, 2])


@torch.inference_mode()
def test_a_codec_that_begins_to_listen_decodes_codes_alone_as_before() -> None:
    torch.manual_seed(0)
    config = SinusoidalCodecConfig(
        encoder_width=32, decoder_width=32, decoder_blocks=1, fine_blocks=1, told_notes=False
    )
    deaf, notes = SinusoidalCodec(config).for_inference(), melody(0, 2.0)
    listening = deaf.note_conditioned().for_inference()
    codes = deaf.encode(torch.from_numpy(played(notes, 2.0))[None])
    assert torch.equal(listening.decode(codes), deaf.decode(codes))
    assert torch.equal(deaf.decode(codes, notes=[notes]), deaf.decode(codes))
    latent = deaf.dequantize(codes).expand(2, -1, -1)
    beside = listening.synthesize(latent, notes=[notes, None])
    assert torch.allclose(beside[1], deaf.decode(codes)[0], atol=1e-5)
    assert not torch.allclose(beside[0], beside[1], atol=1e-2)


def test_means_are_of_a_second_to_either_side() -> None:
    x = torch.zeros(1, 400, 2)
    x[:, 150] = 201.0
    assert torch.allclose(slow(x)[0, :, 0], torch.tensor([0.0] * 50 + [1.0] * 201 + [0.0] * 149))
    assert torch.allclose(slow(torch.ones(1, 7, 2)), torch.ones(1, 7, 2))


@torch.inference_mode()
def test_with_the_notes_no_code_makes_a_tone_begin() -> None:
    torch.manual_seed(0)
    config = SinusoidalCodecConfig(encoder_width=32, decoder_width=32, decoder_blocks=1, fine_blocks=1)
    decoder = SinusoidalCodec(config).for_inference().decoder
    latent = 5 * torch.randn(1, 100, 64)
    roll = note_roll(Notes.of([0.5], [1.0], [60], [64]), 200, 100)[None]
    conditioned, _ = decoder(latent, roll)
    free, _ = decoder(latent)

    def swell(tones: torch.Tensor) -> torch.Tensor:
        """How much each oscillator rises from frame to frame, in nats, before the note begins."""
        return tones[0, :48].log().diff(dim=0).clamp_min(0).amax(dim=0)

    assert swell(free).mean() > 3 * swell(conditioned).mean()
    # The note's own fundamental rises with it.
    fundamental = int(np.abs(np.array(oscillator_frequencies()) - 261.63).argmin())
    rise = conditioned[0, :, fundamental].log().diff()
    assert int(rise.argmax()) == 49 and rise.max() > 0.3


@torch.inference_mode()
def test_what_the_encoder_sees_hardly_depends_on_the_bits_that_a_recording_is_stored_in(codec: SinusoidalCodec) -> None:
    audio = played(melody(5, 4.0), 4.0)
    file = io.BytesIO()
    soundfile.write(file, audio, 32000, format="FLAC", subtype="PCM_16")
    stored, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    seen, again = (codec.analysis(torch.from_numpy(x)[None]) for x in (audio, stored))
    assert seen.std() > 0.3
    assert (seen - again).abs().max() < 0.2 and (seen - again).abs().mean() < 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 639, 640, 641])
def test_the_shortest_clips_have_a_frame(codec: SinusoidalCodec, samples: int) -> None:
    codes = codec.encode(torch.zeros(1, samples))
    frames = -(-samples // 640)
    assert codes.shape == (1, 4, frames)
    assert codec.decode(codes).shape == (1, frames * 640)


@torch.inference_mode()
def test_bf16_changes_the_decoder_alone() -> None:
    torch.manual_seed(0)
    config = SinusoidalCodecConfig(encoder_width=32, decoder_width=32, decoder_blocks=1, fine_blocks=1)
    exact = SinusoidalCodec(config).for_inference()
    rounded = SinusoidalCodec(config)
    rounded.load_state_dict(exact.state_dict())
    rounded = rounded.for_inference().to(torch.bfloat16)
    audio = torch.from_numpy(played(melody(1, 2.0), 2.0))[None]
    codes = exact.encode(audio)
    assert torch.equal(rounded.encode(audio), codes)
    for notes in (None, [melody(1, 2.0)]):
        theirs, ours = exact.decode(codes, notes=notes), rounded.decode(codes, notes=notes)
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.05 * theirs.norm()
