"""What every process of a training does: read the corpus, go on from the last checkpoint, step by step."""

from dataclasses import asdict
from pathlib import Path

from jobs.console import say
from jobs.corpora.corpus import Corpus
from jobs.corpora.encoded_clips import EncodedClips
from jobs.errors import JobError
from jobs.training.loop import Figures, LoopSettings, TrainingLoop
from jobs.training.train_options import TrainOptions
from renderer.audio.audio_file import FloatSamples
from renderer.device import choose_device, choose_dtype
from renderer.device_speed import gemm_gflops
from renderer.file_hash import file_hash
from renderer.midi.notes import Notes
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.segments import SegmentLimits
from renderer.training.checkpoints import Checkpoints
from renderer.training.history import History
from renderer.training.initial_weights import embed_codebooks, initialise
from renderer.training.learning_rate import LearningRate
from renderer.training.model_training import ModelTraining, ModelTrainingSettings
from renderer.training.model_validation import ModelSamples, ModelValidation, Scorer
from renderer.training.model_writing import ModelMetadata, write_model
from renderer.training.randomness import seed_torch
from renderer.training.team import Team
from renderer.training.windows import ClipSource, Windows, WindowSettings
from renderer.weights.checkpoint import (
    CodecDescription,
    ModelDescription,
    find_codec,
    find_model,
    load_codec,
    load_model,
)

PANELS = {
    "Training, nats a code": ("ar", "nar"),
    "Validation, nats a code": ("valid_nats_0", "valid_nats_1", "valid_nats_2", "valid_nats_3"),
    "Validation, accuracy": ("valid_accuracy_0", "valid_accuracy_1", "valid_accuracy_2", "valid_accuracy_3"),
    "Notes of rendered samples": ("onset_f1", "onset_precision", "onset_recall", "codec_onset_f1"),
    "Gradient's norm": ("gradient_norm",),
    "Learning rate": ("rate",),
}


class TrainWork:
    """One process of a training, which is the only one or number ``team.rank`` of several on one folder.

    JobError or RendererError if corpus, codec, model and options do not fit together, or do not fit the folder.
    """

    def __init__(self, options: TrainOptions, team: Team, device: str) -> None:
        self.options, self.out = options, Path(options.out)
        corpus = Corpus.open(options.corpus, options.s3_endpoint_url)
        self.start = find_model(options.init) if options.init else None
        codec = find_codec(options.codec) if options.codec else self.start
        assert codec is not None  # The options see to it.
        self.origin = codec
        self.model = _model(options, self.origin, self.start).to(choose_device(device))
        windows = self._windows(corpus)
        settings = _settings(options)
        self.training = ModelTraining(self.model, windows["train"], settings, team, from_model=self.start is not None)
        self.validation = self._validation(windows.get("validation"))
        self.samples = self._samples() if team.rank == 0 else None
        self.course = {
            **options.course,
            "corpus": corpus.fingerprint,
            "codec": file_hash(self.origin.folder / "codec.safetensors"),
            "init": self.start and file_hash(self.start.folder / "model.safetensors"),
            "model": asdict(self.model.config),
        }
        self.loop = TrainingLoop(
            self.training,
            Checkpoints(self.out, self.course, self.training.parts),
            LoopSettings(
                steps=options.steps,
                stop_at=options.stop_at,
                log_every=options.log_every,
                checkpoint_every=options.checkpoint_every,
                panels=PANELS,
                score="valid_nats",
            ),
            self._measure,
            self._keep,
            self._pace,
        )
        self._counted = (0.0, 0)
        self._peak = gemm_gflops(self.training.device, choose_dtype(options.precision)) if team.rank == 0 else 0.0
        if team.rank == 0:
            self._greet(team)

    def _windows(self, corpus: Corpus) -> dict[str, Windows]:
        """The windows of the splits train and validation, as far as the corpus has clips of them."""
        options, origin = self.options, self.origin
        if corpus.sample_rate != origin.sample_rate:
            raise JobError(f"{options.corpus} has {corpus.sample_rate} Hz, the codec {origin.sample_rate} Hz")
        frame_samples = origin.sample_rate // origin.frame_rate
        frames = [-(-clip.samples // frame_samples) for clip in corpus.clips]
        try:
            settings = WindowSettings(options.longest, options.shortest, options.longest_share, options.cross_prompt)
            SegmentLimits(round(options.longest * origin.frame_rate))  # As the trained model will have them.
        except ValueError as error:
            raise JobError(str(error)) from None
        source, windows = self._clips(corpus), {}
        grid = self.start.time_grid if self.start else "direct"
        for split, seed in (("train", options.seed), ("validation", 0)):
            chosen = [index for index, clip in enumerate(corpus.clips) if clip.split == split]
            if chosen or split == "train":
                windows[split] = Windows(
                    source, frames, chosen, settings, self.model.config, origin.frame_rate, grid, seed
                )
        return windows

    def _clips(self, corpus: Corpus) -> ClipSource:
        """The corpus itself where its codes are those of the codec, or with such codes."""
        own = file_hash(self.origin.folder / "codec.safetensors")
        if corpus.codec == own:
            return corpus
        folder = self.out / "codes" / f"{corpus.fingerprint[:16]}-{own[:16]}"
        say(f"{corpus.uri} has no codes of {self.origin.name}'s codec: they are made on the way and kept in {folder}")
        return EncodedClips(corpus, load_codec(self.origin).for_inference(), folder)

    def _validation(self, windows: Windows | None) -> ModelValidation | None:
        options = self.options
        if windows is None or not options.validation_windows or not options.validate_every:
            return None
        stages = self.training.settings.stages
        return ModelValidation(windows, options.validation_windows, stages, options.precision, options.micro_batch)

    def _samples(self) -> ModelSamples | None:
        options = self.options
        if self.validation is None or not options.samples or not options.sample_every:
            return None
        codec = load_codec(self.origin).for_inference().to(self.training.device)
        judge = _judge(options.transcriber) if options.transcriber else None
        return ModelSamples(self.validation, options.samples, codec, self.out / "samples", judge)

    def _measure(self, step: int, is_last: bool) -> Figures:
        def is_due(every: int) -> bool:
            return is_last or step % every == 0

        validation = self.validation if is_due(self.options.validate_every or 1) else None
        samples = self.samples if is_due(self.options.sample_every or 1) else None
        figures: Figures = {}
        if validation or samples:
            with self.training.average.applied(self.model):
                figures |= validation.figures(self.model) if validation else {}
                figures |= samples.render(self.model, f"step-{step:07}") if samples else {}
        return figures

    def _keep(self, step: int, history: History, figures: Figures) -> None:
        options, start = self.options, self.start
        facts = ModelMetadata(
            name=options.name,
            config=self.model.config,
            max_segment_seconds=options.longest,
            pedal=start.pedal if start else "extend",
            time_grid=start.time_grid if start else "direct",
            card={
                "licence": options.licence,
                "parameters": {"language_model": sum(parameter.numel() for parameter in self.model.parameters())},
                "training": {"steps": step, "seconds": round(history.seconds), "course": self.course, **figures},
            },
        )
        write_model(self.out / "model", self.training.average.weights, facts, self.origin)

    def _pace(self, steps: int, seconds: float) -> str:
        flops, positions = self.training.flops - self._counted[0], self.training.positions - self._counted[1]
        self._counted = (self.training.flops, self.training.positions)
        speed = flops / seconds / 1e9
        return (
            f"{seconds / steps:.2f} s a step, {positions / seconds:,.0f} positions/s, {speed:,.0f} GFLOP/s, "
            f"{speed / self._peak:.0%} of a matrix product's"
        )

    def _greet(self, team: Team) -> None:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        say(
            f"training {parameters / 1e6:.1f} million parameters on {len(self.training.windows.clips):,} clips, "
            f"from step {self.loop.step:,} to {self.options.steps:,}; {team.size} processes; "
            f"a matrix product reaches {self._peak:,.0f} GFLOP/s in {self.options.precision}"
        )
        if self.validation is None:
            say("warning: nothing tells the best checkpoint: the corpus has no split validation, or it is not used")


def _settings(options: TrainOptions) -> ModelTrainingSettings:
    try:
        return ModelTrainingSettings(
            rate=LearningRate(options.rate, options.warmup, options.steps, options.decay, options.floor),
            batch=options.batch,
            micro_batch=options.micro_batch,
            stages=options.stages,
            all_nar_stages=options.all_nar_stages,
            train_end=options.train_end,
            dropout=options.dropout,
            weight_decay=options.weight_decay,
            clip_norm=options.clip_norm,
            average_decay=options.average_decay,
            precision=options.precision,
            seed=options.seed,
        )
    except ValueError as error:
        raise JobError(str(error)) from None


def _model(options: TrainOptions, origin: CodecDescription, start: ModelDescription | None) -> MidiValle:
    if start is not None:
        if (start.model.codebooks, start.model.codebook_size) != (origin.codec.codebooks, origin.codec.codebook_size):
            raise JobError(f"--init {options.init} has other codebooks than the codec of {origin.folder}")
        return load_model(start)
    codebooks = {"codebooks": origin.codec.codebooks, "codebook_size": origin.codec.codebook_size}
    try:
        config = ModelConfig(
            **options.sizes,
            **codebooks,
            note_position="onset",
            roll_frame_rate=origin.frame_rate if options.piano_roll else 0,
        )
    except ValueError as error:
        raise JobError(str(error)) from None
    seed_torch(options.seed, "initial weights")
    model = MidiValle(config)
    initialise(model)
    embed_codebooks(model, load_codec(origin).codebook_tables())
    return model


def _judge(name: str) -> Scorer:
    from renderer.evaluation.note_score import NoteScore
    from renderer.evaluation.transcriber import TRANSCRIBERS

    if name not in TRANSCRIBERS:
        raise JobError(f"--transcriber is {name!r}; it must be one of {', '.join(TRANSCRIBERS)}")
    transcriber = TRANSCRIBERS[name]()

    def judge(samples: FloatSamples, sample_rate: int, notes: Notes) -> dict[str, float]:
        score = NoteScore.of(notes, transcriber.transcribe(samples, sample_rate))
        return {
            "onset_f1": score.onset_f1,
            "onset_precision": score.onset_precision,
            "onset_recall": score.onset_recall,
        }

    return judge
