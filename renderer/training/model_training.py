"""The training of the language model, step by step, in one process or in several that share the work."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from renderer.device import choose_dtype
from renderer.model.midi_valle import MidiValle
from renderer.training.checkpoints import Stateful
from renderer.training.dropout import add_dropout
from renderer.training.figures import StepFigures
from renderer.training.learning_rate import LearningRate, set_rate
from renderer.training.model_loss import ar_loss, nar_loss
from renderer.training.model_steps import ModelSteps, Share, StepsAhead, StepSettings
from renderer.training.model_work import training_flops
from renderer.training.moving_average import MovingAverage
from renderer.training.packing import PackedWindows
from renderer.training.randomness import seed_torch
from renderer.training.team import Team
from renderer.training.window_attention import choose_kernel
from renderer.training.windows import Windows

Stages = Literal["both", "ar", "nar"]


@dataclass(frozen=True)
class ModelTrainingSettings:
    """How the language model is trained.

    A step learns from ``batch`` windows, of which each process computes ``micro_batch`` at a time. ``stages`` is
    both decoders, or one alone. Each window trains one random NAR stage, or, with ``all_nar_stages``, all. So many
    ``readers`` are processes that prepare steps ahead. ``is_compiled`` has torch compile the decoders first.
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
    readers: int = 0
    is_compiled: bool = False

    def __post_init__(self) -> None:
        if self.stages not in get_args(Stages):
            raise ValueError(f"stages is {self.stages!r}; it must be one of {', '.join(get_args(Stages))}")
        for name in ("batch", "micro_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        choose_dtype(self.precision)


class ModelTraining:
    """A model on its device, and all that changes while it is trained.

    What step s does is a function of the weights, of s, and of the settings: not of the number of processes, but for
    rounding and dropout. A step only tells the device what to do; nothing waits for it but who reads a figure.
    ``rate`` may be changed on the way. ``from_model`` says that the weights are trained ones: then a decoder that is
    trained alone leaves the MIDI embeddings, which it shares with the other, as they are.
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
        self.rate = settings.rate
        self.device = model.ar_predict_layer.weight.device
        self.dtype = choose_dtype(settings.precision)
        self.kernel = choose_kernel(self.device, self.dtype, model.config.d_model // model.config.heads)
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
        self.count = 0
        """Floating-point operations, MIDI rows and frames through a decoder, and windows, of this process so far."""
        steps = ModelSteps(windows, _step_settings(settings), team.rank, team.size)
        self._ahead = StepsAhead(steps, settings.readers, is_pinned=self.device.type == "cuda")
        if settings.is_compiled:
            for decoder in (model.ar_decoder, model.nar_decoder):
                decoder.compile(dynamic=True)

    @property
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps."""
        return {"model": self.model, "average": self.average, "optimizer": self.optimizer}

    def step(self, number: int) -> StepFigures:
        """Learn from the windows of a step; the mean losses in nats a code, the gradient's norm, and the rate."""
        work = self._ahead(number)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=False)
        sums = {name: torch.zeros((), device=self.device) for name in work.codes}
        for share in work.shares:
            seed_torch(self.settings.seed, "dropout", share.number)
            for name, nats in self._losses(share):
                total = nats.sum()
                (total / work.codes[name]).backward()
                sums[name] += total.detach()
        self.team.add_up(self._trained(), sums)
        norm = nn.utils.clip_grad_norm_(self._trained(), self.settings.clip_norm)
        set_rate(self.optimizer, self.rate.at(number))
        self.optimizer.step()
        self.average.update(self.model)
        self.count += self.settings.batch // self.team.size
        losses = {name: total / work.codes[name] for name, total in sums.items()}
        return {**losses, "gradient_norm": norm, "rate": self.rate.at(number)}

    def _losses(self, share: Share) -> Iterator[tuple[str, torch.Tensor]]:
        """Nats of a share's codes, one graph at a time."""
        pack = share.pack.to(self.device)
        within = self.kernel.within
        cast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)
        if share.stages is None:
            with cast:
                nats = ar_loss(self.model, pack, within)
            yield "ar", nats
            self._count(pack, is_ar=True)
        for stage in share.stages or ():
            with cast:
                nats = nar_loss(self.model, pack, stage, within)
            yield "nar", nats
            self._count(pack, is_ar=False)

    def _count(self, pack: PackedWindows, is_ar: bool) -> None:
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
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [p for p in trained if p.ndim > 1 and id(p) not in embeddings]
    others = [p for p in trained if p.ndim <= 1 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _step_settings(settings: ModelTrainingSettings) -> StepSettings:
    return StepSettings(
        batch=settings.batch,
        micro_batch=settings.micro_batch,
        trains_ar=settings.stages != "nar",
        trains_nar=settings.stages != "ar",
        all_stages=settings.all_nar_stages,
        train_end=settings.train_end,
        seed=settings.seed,
    )
