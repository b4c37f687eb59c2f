"""The piano roll of the notes for audio frames, and that a model with one renders what it would without a cache."""

import numpy as np
import pytest
import torch

from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput, model_input
from renderer.decoding.runners import make_runner
from renderer.decoding.sampling import Sampling
from renderer.midi.notes import KEYS, Notes
from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.model.piano_roll import FEATURES, notes_near, piano_roll, roll_of_notes
from renderer.model.tokens import rows_of, with_markers
from renderer.prompt import Prompt
from renderer.segments import Segment
from renderer.training.initial_weights import initialise

RATE = 50
CONFIG = ModelConfig(
    d_model=32, heads=2, layers=2, codebooks=3, codebook_size=16, note_position="onset", roll_frame_rate=RATE
)


def rows(*notes: tuple[float, float, int, int]) -> torch.Tensor:
    """Rows of notes (onset, offset, pitch, velocity), markers included."""
    onset, offset, pitch, velocity = (np.array(column) for column in zip(*notes, strict=True))
    return torch.from_numpy(with_markers(rows_of(Notes.of(onset, offset, pitch, velocity), "direct")))


def key(roll: torch.Tensor, pitch: int) -> torch.Tensor:
    """A key's features, (frames, FEATURES)."""
    return roll.unflatten(1, (KEYS, FEATURES))[:, pitch - 21]


def test_a_note_is_struck_in_its_frame_held_until_its_offset_and_decays_with_its_velocity() -> None:
    roll = piano_roll(rows((0.5, 1.0, 60, 100), (0.5, 1.0, 64, 50)), 100, RATE)
    loud, soft = key(roll, 60), key(roll, 64)
    held = [0.0] * 25 + [1.0] * 26 + [0.0] * 49
    assert loud[:, 3].tolist() == held and soft[:, 3].tolist() == held
    assert (loud[:, 4] > 1e-3).nonzero().flatten().tolist() == [25]
    assert torch.allclose(soft[:, :3], loud[:, :3] / 2)
    assert loud[24:26, 2].tolist() == [0, pytest.approx(50 / 64)]
    assert (loud[26:50, :3].diff(dim=0) < 0).all() and loud[70, 2] < 0.01
    others = roll.unflatten(1, (KEYS, FEATURES)).abs().sum((0, 2)).nonzero().flatten() + 21
    assert others.tolist() == [60, 64]


def test_an_onset_within_a_frame_lies_between_two() -> None:
    struck = key(piano_roll(rows((0.505, 1.0, 60, 100)), 50, RATE), 60)[:, 4]
    assert struck.nonzero().flatten().tolist() == [25, 26]
    assert float(struck @ torch.arange(50.0)) == pytest.approx(0.505 * RATE, abs=0.15)


def test_markers_are_no_notes() -> None:
    assert not piano_roll(rows((0.1, 0.2, 60, 64))[[0, 2]], 20, RATE).any()


def test_the_roll_of_notes_is_that_of_their_rows_wherever_the_clip_begins() -> None:
    onset = np.array([0.5, 1.25, 3.0, 5.0])
    notes = Notes.of(onset, onset + 0.5, [40, 60, 60, 90], [20, 64, 100, 126])
    of_rows = piano_roll(torch.from_numpy(rows_of(notes, "direct")), 400, RATE)
    assert torch.allclose(roll_of_notes(notes, 400, RATE), of_rows, atol=1e-6)
    # 0.6 s into the second note, a later note is not in the roll and an earlier one still is.
    later = notes_near(notes, 1.84, 4.84)
    assert later.pitch.tolist() == [40, 60, 60] and later.onset.tolist() == pytest.approx([-1.34, -0.59, 1.16])
    assert torch.allclose(roll_of_notes(later, 150, RATE), of_rows[92:242], atol=1e-4)
    assert not roll_of_notes(Notes.none(), 5, RATE).any()


@pytest.fixture(scope="module")
def model() -> MidiValle:
    torch.manual_seed(3)
    made = MidiValle(CONFIG)
    initialise(made)
    return made.eval()


def segments() -> list[ModelInput]:
    random = np.random.default_rng(2)
    made = []
    for index, frames in enumerate((40, 7, 63, 25, 40)):
        onset = np.sort(random.uniform(0, frames / RATE, 8))
        notes = Notes.of(onset, onset + 0.3, random.integers(30, 90, 8), random.integers(20, 120, 8))
        prompt = Prompt("", torch.from_numpy(random.integers(0, 16, (150, 3))), notes)
        segment = Segment(index, 0, 0, frames, frames, notes)
        made.append(model_input(segment, prompt, 1, CONFIG, RATE, "direct"))
    return made


@torch.inference_mode()
def test_codes_are_those_of_the_whole_sequence(model: MidiValle) -> None:
    segment = segments()[0]
    assert model.ar_roll is not None and model.nar_roll is not None
    frames = len(segment.prompt) + segment.frames
    drawn = dict(Engine(make_runner(model, 3)).generate([segment], Sampling(temperature=0)))[segment]

    roll = model.ar_roll(segment.rows, frames)[None]
    codes = torch.cat([segment.prompt[:, 0], drawn[:, 0]])[None]
    midi = model.ar_midi(segment.rows[None], segment.positions[None])
    x = torch.cat([midi, model.ar_audio(codes, torch.arange(frames)[None].float(), roll)], dim=1)
    hidden = model.ar_decoder(x, model.ar_decoder.affines(), PrefixAttention(len(segment.rows)))
    expected = model.ar_logits(hidden[0, -segment.frames - 1 : -1])[:, : CONFIG.end_code].argmax(-1)
    assert torch.equal(drawn[:, 0], expected)

    roll = model.nar_roll(segment.rows, frames)[None]
    codes = torch.cat([segment.prompt, drawn])[None]
    for stage, affines in enumerate(model.nar_affines()):
        audio = model.nar_audio(codes, len(segment.prompt), stage, roll)
        audio = model.nar_audio_position(audio, torch.arange(frames)[None].float())
        x = torch.cat([model.nar_midi(segment.rows[None], segment.positions[None]), audio], dim=1)
        hidden = model.nar_decoder(x, affines, FullAttention())[0, -segment.frames :]
        assert torch.equal(drawn[:, stage + 1], model.nar_logits(hidden, stage).argmax(-1))


def test_codes_do_not_depend_on_company(model: MidiValle) -> None:
    alone = [dict(Engine(make_runner(model, 1)).generate([segment], Sampling())) for segment in segments()]
    generated = Engine(make_runner(model, 2)).generate(segments()[::-1], Sampling())
    together = {segment.key: codes for segment, codes in generated}
    for of_one in alone:
        for segment, codes in of_one.items():
            assert torch.equal(codes, together[segment.key])


def test_what_is_played_decides_the_codes_from_then_on(model: MidiValle) -> None:
    """The roll reaches every decoder: one more key struck within a segment changes what follows."""
    assert model.ar_roll is not None
    few, more = rows((0.2, 0.4, 60, 80)), rows((0.2, 0.4, 60, 80), (1.0, 1.2, 72, 80))
    change = (model.ar_roll(more, 100) - model.ar_roll(few, 100)).abs().sum(1)
    assert not change[:47].any() and change[48:60].all()
