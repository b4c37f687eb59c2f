"""The training of a codec: in this process, or in several of Ray Train's."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from jobs.console import say
from jobs.corpora.corpus import Corpus
from jobs.errors import JobError
from jobs.training.loop import Figures, LoopSettings, TrainingLoop
from jobs.training.processes import train_in_processes
from jobs.training.timetable import Timetable
from jobs.training.train_codec_options import TrainCodecOptions
from renderer.codecs.encodec_codec import EncodecCodec, read_audiocraft_export
from renderer.codecs.layers import Block
from renderer.codecs.neural_codec import NeuralCodec
from renderer.codecs.sinusoidal_codec import SinusoidalCodec, SinusoidalCodecConfig
from renderer.device import choose_device
from renderer.training.adversary import AdversarySettings
from renderer.training.checkpoints import Checkpoints
from renderer.training.codec_training import CodecTraining, CodecTrainingSettings
from renderer.training.codec_validation import CodecValidation
from renderer.training.codec_writing import write_codec
from renderer.training.crops import Crops, CropSettings
from renderer.training.history import History
from renderer.training.learning_rate import LearningRate
from renderer.training.loss_recipe import LOSSES
from renderer.training.randomness import seed_torch
from renderer.training.team import Team
from renderer.weights.checkpoint import CODEC_TYPES, CodecConfig, find_codec, load_codec, make_codec
from renderer.weights.weight_files import read_weights

PANELS = {
    "Training": ("spectral", "features", "adversarial"),
    "Training: notes": ("notes",),
    "Validation: spectral loss": ("valid_spectral",),
    "Validation: spectrogram distortion": ("valid_distortion",),
    "Codebooks, perplexity": ("perplexity_0", "perplexity_1", "perplexity_2", "perplexity_3"),
    "Commitment": ("commitment",),
    "Gradient's norm": ("gradient_norm",),
    "Learning rate": ("rate",),
}
INITIAL_BLOCK_SCALE = 0.3


def train_codec(options: TrainCodecOptions) -> int:
    """Train, or go on where an earlier call stopped. Returns the exit code of ``midi-valle train-codec``.

    JobError or RendererError say what is wrong with what was given.
    """
    return train_in_processes(options, _work)


def _work(options: TrainCodecOptions, team: Team, device: str, is_stopped: Callable[[], bool]) -> bool:
    """What every process of a training does; whether all steps are done."""
    return TrainCodecWork(options, team, device).loop.run(team, is_stopped)


class TrainCodecWork:
    """One process of a training of a codec.

    JobError or RendererError if corpus, codec and options do not fit together, or do not fit the folder.
    """

    def __init__(self, options: TrainCodecOptions, team: Team, device: str) -> None:
        self.options = options
        corpus = Corpus.open(options.corpus, options.s3)
        self.codec = _codec(options).to(choose_device(device))
        self.config: CodecConfig = self.codec.config  # type: ignore[assignment]
        if corpus.sample_rate != self.codec.sample_rate:
            raise JobError(f"{options.corpus} has {corpus.sample_rate} Hz, the codec {self.codec.sample_rate} Hz")
        settings = _settings(options)
        crops = self._crops(corpus, "train")
        if crops is None:
            raise JobError(f"{options.corpus} has no clips of the split train")
        self.training = CodecTraining(self.codec, crops, settings, team, options.init is not None)
        valid = self._crops(corpus, "validation") if options.validate_every and options.validation_crops else None
        self.validation = CodecValidation(valid, options.validation_crops) if valid is not None else None
        if self.validation is None:
            say("warning: nothing tells the best checkpoint: the corpus has no split validation, or it is not used")
        self.course = {**options.course, "corpus": corpus.fingerprint, "codec": asdict(self.config)}
        self.timetable = Timetable(
            steps=options.steps,
            stop_at=options.stop_at,
            log_every=options.log_every,
            checkpoint_every=options.checkpoint_every,
            validate_every=options.validate_every,
        )
        self.loop = TrainingLoop(
            self.training,
            Checkpoints(Path(options.out), self.course, self.training.parts),
            self.timetable,
            LoopSettings(panels=PANELS, score="valid_spectral"),
            self._measure,
            self._keep,
            self._pace,
        )

    def _crops(self, corpus: Corpus, split: str) -> Crops | None:
        options = self.options
        chosen = [index for index, clip in enumerate(corpus.clips) if clip.split == split]
        lengths = [clip.samples for clip in corpus.clips]
        codec = self.codec
        frames = round(options.crop_seconds * codec.frame_rate)
        settings = CropSettings(frames, codec.frame_samples, codec.sample_rate)
        return Crops(corpus, lengths, chosen, settings, options.seed) if chosen else None

    def _measure(self, step: int) -> Figures:
        if self.validation is None or not self.timetable.is_due(self.options.validate_every, step):
            return {}
        with self.training.average.applied(self.codec):
            return self.validation.figures(self.codec)

    def _keep(self, step: int, history: History, figures: Figures) -> None:
        card = {
            "licence": self.options.licence,
            "parameters": sum(parameter.numel() for parameter in self.codec.parameters()),
            "training": {"steps": step, "seconds": round(history.seconds), "course": self.course, **figures},
        }
        folder = Path(self.options.out) / "codec"
        uses = self.training.codebooks.counts
        write_codec(folder, self.options.name, self.config, self.training.average.weights, card, uses)

    def _pace(self, steps: int, seconds: float) -> str:
        audio = self.options.batch * self.options.crop_seconds * steps / seconds
        return f"{seconds / steps:.2f} s a step, {audio:.1f} s of audio a second"


def _settings(options: TrainCodecOptions) -> CodecTrainingSettings:
    try:
        return CodecTrainingSettings(
            rate=LearningRate(options.rate, options.warmup, options.steps, options.decay, options.floor),
            losses=LOSSES[options.losses],
            batch=options.batch,
            unquantized=options.unquantized,
            shallow=options.shallow,
            resolutions=options.resolutions,
            waveform=options.waveform,
            notes=options.notes,
            told=options.told,
            commitment=options.commitment,
            keep_codes=options.keep_codes,
            adversary=_adversary(options),
            weight_decay=options.weight_decay,
            clip_norm=options.clip_norm,
            average_decay=options.average_decay,
            precision=options.precision,
            seed=options.seed,
        )
    except ValueError as error:
        raise JobError(str(error)) from None


def _adversary(options: TrainCodecOptions) -> AdversarySettings | None:
    if options.adversary_from is None:
        return None
    losses = LOSSES[options.losses]
    return AdversarySettings(
        begin=options.adversary_from,
        filters=options.adversary_filters,
        hinge=losses.hinge,
        relative_features=losses.relative_features,
    )


def _codec(options: TrainCodecOptions) -> NeuralCodec:
    """The codec to begin with, ready to be trained."""
    if options.init is not None:
        codec = _trained_codec(options.init)
        if isinstance(codec, SinusoidalCodec) and options.told:
            seed_torch(options.seed, "initial weights")
            codec = codec.note_conditioned()
        if isinstance(codec, EncodecCodec) and options.losses == "own":
            say(
                "this project's own recipe is used; --recipe encodec is the one of EnCodec, "
                "with discriminators (renderer/training/README.md)"
            )
        codec.train().requires_grad_(True)
        return codec
    seed_torch(options.seed, "initial weights")
    config = CODEC_TYPES[options.type]()
    if isinstance(config, SinusoidalCodecConfig):
        config = replace(config, told_notes=options.told > 0)
    codec = make_codec(config)
    for module in codec.modules():
        if isinstance(module, Block):
            torch.nn.init.constant_(module.scale, INITIAL_BLOCK_SCALE)
    if isinstance(codec, SinusoidalCodec):
        codec.decoder.begin_quietly()
    return codec


def _trained_codec(source: str) -> NeuralCodec:
    if not Path(source).is_file():
        return load_codec(find_codec(source))
    config, weights = read_audiocraft_export(read_weights(Path(source), "an audiocraft export of an EnCodec model"))
    codec = EncodecCodec(config)
    codec.load_state_dict(weights)
    return codec
