"""The transcribers hear what a piano plays; each is tested where it is installed."""

from importlib.util import find_spec

import pytest

from renderer.audio.audio_file import read_audio, resample
from renderer.errors import RendererError
from renderer.evaluation.note_score import NoteScore
from renderer.evaluation.transcriber import TRANSCRIBERS
from renderer.midi.midi_file import read_midi
from renderer.weights.checkpoint import BUNDLED

PROMPTS = BUNDLED / "mini" / "prompts"
INSTALLED = {"transkun": find_spec("transkun"), "basic-pitch": find_spec("basic_pitch")}


@pytest.mark.parametrize(("name", "at_least"), [("transkun", 0.9), ("basic-pitch", 0.6)])
def test_the_notes_of_a_recording_are_heard_at_any_rate(name: str, at_least: float) -> None:
    if INSTALLED[name] is None:
        pytest.skip(f"{name} is not installed")
    pytest.importorskip("mir_eval")
    transcriber = TRANSCRIBERS[name]()
    path = sorted(PROMPTS.glob("*.wav"))[0]
    samples = read_audio(path, 32000)
    played = read_midi(path.with_suffix(".mid"), "ignore").notes
    played = played.selected(played.onset < len(samples) / 32000 - 0.1)
    for rate in (32000, 24000):
        heard = transcriber.transcribe(resample(samples, 32000, rate), rate)
        assert NoteScore.of(played, heard).onset_f1 >= at_least


@pytest.mark.parametrize("name", ["transkun", "basic-pitch"])
def test_a_transcriber_that_is_not_installed_says_how_to_install_it(name: str) -> None:
    if INSTALLED[name] is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(RendererError, match="pip install"):
        TRANSCRIBERS[name]()
