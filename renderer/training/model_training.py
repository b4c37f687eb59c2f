"""The training of the language model, step by step, in one process or in several that share the work."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from renderer.device import choose_dtype
from renderer.errors import TrainingError
from renderer.model.midi_valle import MidiValle, TokenEmbedding
from renderer.training.checkpoints import Stateful
from renderer.training.dropout import add_dropout
from renderer.training.learning_rate import LearningRate, set_rate
from renderer.training.model_loss import CodeLoss, ar_loss, nar_loss
from renderer.training.model_work import training_flops
from renderer.training.moving_average import MovingAverage
from renderer.training.packing import Pack
from renderer.training.randomness import random_at, seed_torch
from renderer.training.team import Team
from renderer.training.windows import Window, Windows

Stages = Literal["both", "ar", "nar"]
NAR_PREFIX = (0.25, 0.5)
"""The share of a window that the NAR decoder is given in training, as published; at most the prompt's length."""


@dataclass(frozen=True)
class ModelTrainingSettings:
    """How the language model is trained.

    A step learns from ``batch`` windows, of which each process computes ``micro_batch`` at a time. ``stages`` is
    both decoders, or one alone. Each window trains one random NAR stage, or, with ``all_nar_stages``, all.
    """

    rate: LearningRate
    batch: int = 16
    micro_batch: int = 4
    stages: Stages = "both"
    all_nar_stages: bool = False
    train_end: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.999
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.stages not in get_args(Stages):
            raise ValueError(f"stages is {self.stages!r}; it must be one of {', '.join(get_args(Stages))}")
        for name in ("batch", "micro_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        choose_dtype(self.precision)


@dataclass
class _Example:
    """A window's number, its frames, its NAR stages, and how many frames the NAR decoder is given."""

    number: int
    frames: int
    stages: Sequence[int]
    prefix: int
    window: "Future[Window]"


class ModelTraining:
    """A model on its device, and all that changes while it is trained.

    What step s does is a function of the weights, of s, and of the settings: not of the number of processes, but for
    rounding and dropout. ``from_model`` says that the weights are trained ones: then a decoder that is trained alone
    leaves the MIDI embeddings, which it shares with the other, as they are.
    """

    def __init__(
        self,
        model: MidiValle,
        windows: Windows,
        settings: ModelTrainingSettings,
        team: Team,
        from_model: bool = False,
    ) -> None:
        self.model, self.windows, self.settings, self.team = model, windows, settings, team
        self.device = model.ar_predict_layer.weight.device
        add_dropout(model, settings.dropout)
        _choose_trained(model, settings.stages, from_model)
        for parameter in self._trained():
            # Never None: what nothing in a step has drawn, as a NAR stage, still goes on with its momentum, whichever
            # process drew nothing.
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.rate.peak, fused=True)
        self.average = MovingAverage(model, settings.average_decay)
        self.flops = 0.0
        self.positions = 0
        """Floating-point operations, and MIDI rows and frames through a decoder, of this process so far."""
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._ahead: dict[int, list[_Example]] = {}

    @property
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps."""
        return {"model": self.model, "average": self.average, "optimizer": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from the windows of a step; the mean losses in nats a code, and the gradient's norm."""
        examples = self._ahead.pop(number, None) or self._examples(number)
        self._ahead = {number + 1: self._examples(number + 1)}
        self.model.train()
        self.optimizer.zero_grad(set_to_none=False)
        shares = self._shares(examples)
        sums = dict.fromkeys(shares, 0.0)
        for chunk in self._chunks(examples):
            seed_torch(self.settings.seed, "dropout", chunk[0].number)
            for name, loss in self._losses(chunk):
                (loss.nats.sum() * shares[name]).backward()
                sums[name] += float(loss.nats.detach().sum())
        self.team.add_up(self._trained(), sums)
        norm = float(nn.utils.clip_grad_norm_(self._trained(), self.settings.clip_norm))
        if not norm < float("inf"):
            raise TrainingError(f"step {number}: the gradient's norm is {norm}; a lower learning rate may help")
        set_rate(self.optimizer, self.settings.rate.at(number))
        self.optimizer.step()
        self.average.update(self.model)
        figures = {name: total * shares[name] for name, total in sums.items()}
        return {**figures, "gradient_norm": norm, "rate": self.settings.rate.at(number)}

    def _examples(self, step: int) -> list[_Example]:
        """All windows of a step, of which this process reads its own in the background."""
        examples = []
        for index in range(self.settings.batch):
            plan = self.windows.plan(step * self.settings.batch + index)
            random = random_at(self.settings.seed, "nar", plan.number)
            count = self.model.config.codebooks - 1
            stages = range(count) if self.settings.all_nar_stages else [int(random.integers(count))]
            frames = self.windows.prompt_frames + plan.frames
            prefix = min(int(frames * random.uniform(*NAR_PREFIX)), self.windows.prompt_frames)
            is_own = index % self.team.size == self.team.rank
            window = self._pool.submit(self.windows.window, plan) if is_own else Future[Window]()
            examples.append(_Example(plan.number, frames, stages, prefix, window))
        return examples

    def _shares(self, examples: list[_Example]) -> dict[str, float]:
        """One over the number of codes that each decoder predicts in a step, in all processes."""
        shares = {}
        if self.settings.stages != "nar":
            shares["ar"] = 1 / sum(example.frames - 1 + self.settings.train_end for example in examples)
        if self.settings.stages != "ar":
            shares["nar"] = 1 / sum((example.frames - example.prefix) * len(example.stages) for example in examples)
        return shares

    def _chunks(self, examples: list[_Example]) -> Iterator[list[_Example]]:
        own = examples[self.team.rank :: self.team.size]
        for begin in range(0, len(own), self.settings.micro_batch):
            yield own[begin : begin + self.settings.micro_batch]

    def _losses(self, chunk: list[_Example]) -> Iterator[tuple[str, CodeLoss]]:
        """The losses of some windows, one graph at a time."""
        is_bf16 = choose_dtype(self.settings.precision) == torch.bfloat16
        cast = torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16)
        if self.settings.stages != "nar":
            pack = Pack([example.window.result() for example in chunk], self.device)
            with cast:
                loss = ar_loss(self.model, pack, 1, self.settings.train_end)
            yield "ar", loss
            self._count(pack, is_ar=True)
        if self.settings.stages != "ar":
            by_stage = defaultdict(list)
            for example in chunk:
                for stage in example.stages:
                    by_stage[stage].append(example)
            for stage, alike in sorted(by_stage.items()):
                pack = Pack([example.window.result() for example in alike], self.device)
                with cast:
                    loss = nar_loss(self.model, pack, stage, [example.prefix for example in alike])
                yield "nar", loss
                self._count(pack, is_ar=False)

    def _count(self, pack: Pack, is_ar: bool) -> None:
        self.flops += training_flops(self.model.config, pack.spans, is_ar)
        self.positions += sum(rows + frames for rows, frames in pack.spans)

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]


def _choose_trained(model: MidiValle, stages: Stages, from_model: bool) -> None:
    for name, parameter in model.named_parameters():
        if name.startswith("feat_emb"):
            is_trained = stages == "both" or not from_model
        else:
            is_trained = stages == "both" or name.startswith(stages)
        # The NAR positions' weights are frozen at 1 in the published network.
        parameter.requires_grad_(is_trained and not name.startswith(("nar_text_position", "nar_audio_position")))


def _groups(model: MidiValle, weight_decay: float) -> list[dict[str, object]]:
    """Parameters with and without weight decay: it is for matrices, not for embeddings, norms and biases."""
    embeddings = {id(module.word_embeddings.weight) for module in model.modules() if isinstance(module, TokenEmbedding)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [p for p in trained if p.ndim > 1 and id(p) not in embeddings]
    others = [p for p in trained if p.ndim <= 1 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
