"""How good the language model is on windows that it does not learn from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

import torch
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples, write_audio
from renderer.codecs.codec import Codec
from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners import make_runner
from renderer.decoding.sampling import Sampling, noise_key
from renderer.device import choose_dtype
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from renderer.model.midi_valle import MidiValle
from renderer.training.model_loss import ar_logits, nar_logits
from renderer.training.model_training import Stages
from renderer.training.packing import Lesson, PackedWindows
from renderer.training.window_attention import Within, attend_one_by_one
from renderer.training.windows import Window, Windows

Scorer = Callable[[FloatSamples, int, Notes], Mapping[str, float]]
"""Figures by name of audio, given its sample rate and the notes that should sound in it."""


@dataclass(frozen=True, eq=False)
class ModelValidation:
    """The first ``count`` windows of a series, always the same. Their figures' names begin with ``name``."""

    windows: Windows
    count: int
    stages: Stages = "both"
    precision: str = "bf16"
    micro_batch: int = 4
    name: str = "valid"
    within: Within = attend_one_by_one

    @torch.no_grad()
    def figures(self, model: MidiValle) -> dict[str, float]:
        """Nats a code and accuracy by codebook, on the segments' frames, with the prompt given, as in inference.

        ``valid_nats`` is the mean over the codebooks whose decoder is trained: what a training is to bring down.
        """
        model.eval()
        device = model.ar_predict_layer.weight.device
        is_bf16 = choose_dtype(self.precision) == torch.bfloat16
        sums: dict[int, torch.Tensor] = {}
        for pack in self._packs:
            pack = pack.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
                for codebook, logits, codes in self._predictions(model, pack):
                    nats = functional.cross_entropy(logits.float(), codes, reduction="sum").double()
                    correct = (logits.argmax(-1) == codes).sum()
                    found = torch.stack([nats, correct.double(), nats.new_tensor(len(codes))])
                    sums[codebook] = sums[codebook] + found if codebook in sums else found
        read = {book: total.tolist() for book, total in sums.items()}
        by_book = {f"{self.name}_nats_{book}": total / codes for book, (total, _, codes) in read.items()}
        accuracy = {f"{self.name}_accuracy_{book}": correct / codes for book, (_, correct, codes) in read.items()}
        return {f"{self.name}_nats": fmean(by_book.values()), **by_book, **accuracy}

    def window(self, number: int) -> Window:
        """One of the windows."""
        return self.windows.window(self.windows.plan(number))

    @cached_property
    def _packs(self) -> list[PackedWindows]:
        """Drawn once."""
        packs = []
        for begin in range(0, self.count, self.micro_batch):
            windows = [self.window(number) for number in range(begin, min(begin + self.micro_batch, self.count))]
            prefixes = [window.prompt_frames for window in windows]
            lesson = Lesson(prefixes=prefixes, first=prefixes[0], end_code=self.windows.config.end_code)
            packs.append(PackedWindows.of(windows, lesson))
        return packs

    def _predictions(self, model: MidiValle, pack: PackedWindows) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Logits and codes, codebook by codebook."""
        if self.stages != "nar":
            yield 0, ar_logits(model, pack, self.within), pack.ar_targets
        if self.stages != "ar":
            for stage in range(model.config.codebooks - 1):
                yield stage + 1, nar_logits(model, pack, stage, self.within), pack.codes[0, pack.nar_places, stage + 1]


@dataclass(frozen=True)
class ModelSamples:
    """Segments that the model renders now and then, to listen to and to judge.

    They are the first windows of a validation. Each becomes a WAV file, the prompt before the segment, and a MIDI
    file of the segment's notes 3 s later; what the codec makes of the true codes lies in the folder ``reference``.
    """

    validation: ModelValidation
    count: int
    codec: Codec
    folder: Path
    judge: Scorer | None = None
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen.

    @torch.no_grad()
    def render(self, model: MidiValle, name: str) -> dict[str, float]:
        """Render into the folder ``name``; the mean of the judge's figures, those of the codec with a prefix."""
        model.eval()
        windows = [self.validation.window(number) for number in range(self.count)]
        work = {_model_input(window, number): number for number, window in enumerate(windows)}
        figures: list[Mapping[str, float]] = []
        for segment, codes in Engine(make_runner(model, max(1, len(work)))).generate(work, self.sampling):
            number = work[segment]
            figures.append(self._keep(windows[number], codes.cpu(), self.folder / name / f"{number:02}.wav"))
        reference: list[Mapping[str, float]] = []
        if not (self.folder / "reference").exists():
            for number, window in enumerate(windows):
                own = window.codes[window.prompt_frames :]
                reference.append(self._keep(window, own, self.folder / "reference" / f"{number:02}.wav"))
        return {**_means(figures, ""), **_means(reference, "codec_")}

    def _keep(self, window: Window, codes: torch.Tensor, path: Path) -> Mapping[str, float]:
        path.parent.mkdir(parents=True, exist_ok=True)
        rate, prompt = self.codec.sample_rate, window.codes[: window.prompt_frames]
        prompt_audio = self.codec.decode(prompt.T[None])[0].float().cpu().numpy()
        audio = self.codec.decode(codes.T[None], notes=[window.notes])[0].float().cpu().numpy()
        write_audio(path, torch.cat([torch.from_numpy(prompt_audio), torch.from_numpy(audio)]).numpy(), rate, "wav")
        write_midi(window.notes.shifted(len(prompt_audio) / rate), path.with_suffix(".mid"))
        return self.judge(audio, rate, window.notes) if self.judge else {}


def _model_input(window: Window, number: int) -> ModelInput:
    frames, prompt = len(window.codes) - window.prompt_frames, window.codes[: window.prompt_frames]
    return ModelInput(window.rows, window.positions, prompt, frames, noise_key(number, 0))


def _means(figures: Sequence[Mapping[str, float]], prefix: str) -> dict[str, float]:
    names = figures[0].keys() if figures else ()
    return {f"{prefix}{name}": fmean(each[name] for each in figures) for name in names}
