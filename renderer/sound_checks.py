"""What a model makes of its prompts' own notes, heard before it plays: how far it is from the prompts' sound.

A model that has heard few pianos plays another piano's notes with the spectrum of those it knows. The notes of a
prompt are known, and how they sound: played by the model with that prompt, they tell by how much it errs, band by
band, and an equalizer takes it off whatever else is played with this prompt.
"""

from weakref import WeakKeyDictionary

from renderer.equalizer import Equalizer, band_shares
from renderer.midi.notes import NoteReport, Performance
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest


class SoundChecks:
    """The equalizers of prompts: found by a request for each prompt, which is rendered like any other.

    Where they are not ``wanted``, or nothing is known of a prompt's recording, nothing is asked and nothing changed.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._asked: dict[Prompt, RenderRequest] = {}
        self._equalizers: WeakKeyDictionary[Prompt, Equalizer] = WeakKeyDictionary()

    def request(self, prompt: Prompt) -> RenderRequest | None:
        """What is to be rendered before pieces with a prompt; None if nothing is, or it has been asked for before."""
        if not self._is_checked(prompt) or prompt in self._equalizers or prompt in self._asked:
            return None
        request = RenderRequest(prompt.prompt_id, Performance(prompt.notes, NoteReport()), prompt, tail=0.0)
        self._asked[prompt] = request
        return request

    def has_asked(self, request: RenderRequest) -> bool:
        """Whether a request is one of these, and no piece of anybody's."""
        return self._asked.get(request.prompt) is request

    def hear(self, request: RenderRequest, rendering: Rendering) -> None:
        """Take the rendering of a request, as the model gives it."""
        prompt = request.prompt
        del self._asked[prompt]
        if prompt.band_shares is not None:
            had = band_shares(rendering.samples, rendering.sample_rate)
            self._equalizers[prompt] = Equalizer.between(prompt.band_shares, had)

    def equalizer(self, prompt: Prompt) -> Equalizer | None:
        """What to do to pieces with a prompt; None as long as that is not known."""
        return self._equalizers.get(prompt) if self._is_checked(prompt) else Equalizer()

    def clear(self) -> None:
        """Forget what was asked and not heard."""
        self._asked.clear()

    def _is_checked(self, prompt: Prompt) -> bool:
        return self._wanted and prompt.band_shares is not None
