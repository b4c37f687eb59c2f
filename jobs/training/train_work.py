"""What every process of a training does: read the corpus, go on from the last checkpoint, step by step."""

from dataclasses import asdict, replace
from pathlib import Path

from jobs.console import say
from jobs.errors import JobError
from jobs.training.loop import Figures, LoopSettings, TrainingLoop
from jobs.training.timetable import ENDLESS, Timetable, TimetableOfMinutes
from jobs.training.train_options import TrainOptions
from jobs.training.training_data import TRAIN, UNSEEN, VALIDATION, TrainingData, open_training_data
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
from renderer.training.model_steps import choose_readers
from renderer.training.model_training import ModelTraining, ModelTrainingSettings
from renderer.training.model_validation import ModelSamples, ModelValidation, Scorer
from renderer.training.model_writing import ModelMetadata, write_model
from renderer.training.randomness import seed_torch
from renderer.training.team import Team
from renderer.training.windows import Windows, WindowSettings
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
    "Unseen conditions, nats a code": ("unseen_nats_0", "unseen_nats_1", "unseen_nats_2", "unseen_nats_3"),
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
        self.start = find_model(options.init) if options.init else None
        codec = find_codec(options.codec) if options.codec else self.start
        assert codec is not None  # The options see to it.
        self.origin = codec
        self.data = open_training_data(options.corpus, codec, self.out, options.s3)
        self.model = _model(options, self.origin, self.start).to(choose_device(device))
        settings = _settings(options, choose_readers(options.readers, self.model.ar_predict_layer.weight.device))
        if not self.data.is_memory and settings.readers:
            settings = replace(settings, readers=0)
        windows = self._windows(self.data)
        self.training = ModelTraining(self.model, windows[TRAIN], settings, team, from_model=self.start is not None)
        self.validations = self._validations(windows)
        self.samples = self._samples() if team.rank == 0 else None
        self.course = {
            **options.course,
            "corpus": self.data.fingerprint,
            "codec": file_hash(self.origin.folder / "codec.safetensors"),
            "init": self.start and file_hash(self.start.folder / "model.safetensors"),
            "model": asdict(self.model.config),
        }
        self.timetable = _timetable(options, self.training)
        self.loop = TrainingLoop(
            self.training,
            Checkpoints(self.out, self.course, self.training.parts),
            self.timetable,
            LoopSettings(panels=PANELS, score=self._score),
            self._measure,
            self._keep,
            self._pace,
        )
        self._counted = (0.0, 0, 0)
        self._peak = gemm_gflops(self.training.device, choose_dtype(options.precision)) if team.rank == 0 else 0.0
        if team.rank == 0:
            self._greet(team)

    def _windows(self, data: TrainingData) -> dict[str, Windows]:
        """The windows of what the data has clips for; there is always something to learn from."""
        options, origin = self.options, self.origin
        try:
            settings = WindowSettings(
                longest=options.longest,
                shortest=options.shortest,
                longest_share=options.longest_share,
                cross_prompt=options.cross_prompt,
                drop_prompt=options.drop_prompt,
            )
            SegmentLimits(round(options.longest * origin.frame_rate))  # As the trained model will have them.
        except ValueError as error:
            raise JobError(str(error)) from None
        grid = self.start.time_grid if self.start else "direct"
        windows = {}
        for name, chosen in data.clips.items():
            if chosen or name == TRAIN:
                its = settings if name == TRAIN else replace(settings, drop_prompt=0.0)
                seed = options.seed if name == TRAIN else 0
                windows[name] = Windows(
                    data.source, data.frames, chosen, its, self.model.config, origin.frame_rate, grid, seed
                )
        return windows

    def _validations(self, windows: dict[str, Windows]) -> list[ModelValidation]:
        options = self.options
        if not options.validation_windows or not (options.validate_every or options.minutes):
            return []
        return [
            ModelValidation(
                windows[name],
                options.validation_windows,
                self.training.settings.stages,
                options.precision,
                options.micro_batch,
                prefix,
                self.training.kernel.within,
            )
            for name, prefix in ((VALIDATION, "valid"), (UNSEEN, "unseen"))
            if name in windows
        ]

    @property
    def _score(self) -> str:
        return f"{self.validations[0].name if self.validations else 'valid'}_nats"

    def _samples(self) -> ModelSamples | None:
        options = self.options
        if not self.validations or not options.samples or not options.sample_every:
            return None
        codec = load_codec(self.origin).for_inference().to(self.training.device)
        judge = _judge(options.transcriber) if options.transcriber else None
        return ModelSamples(self.validations[0], options.samples, codec, self.out / "samples", judge)

    def _measure(self, step: int) -> Figures:
        timetable = self.timetable
        validations = self.validations if timetable.is_due(timetable.validate_every, step) else []
        samples = self.samples if timetable.is_due(timetable.sample_every, step) else None
        figures: Figures = {}
        if validations or samples:
            with self.training.average.applied(self.model):
                for validation in validations:
                    figures |= validation.figures(self.model)
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
        training = self.training
        counts = (training.flops, training.positions, training.count)
        flops, positions, windows = (new - old for new, old in zip(counts, self._counted, strict=True))
        self._counted = counts
        speed = flops / seconds / 1e9
        return (
            f"{seconds / steps:.3g} s a step, {windows / seconds:.4g} windows/s, "
            f"{positions / seconds:,.0f} positions/s, {speed:,.0f} GFLOP/s, "
            f"{speed / self._peak:.0%} of a matrix product's"
        )

    def _greet(self, team: Team) -> None:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        training, minutes = self.training, self.options.minutes
        aim = f"for {minutes:g} minutes" if minutes else f"to {self.timetable.last:,}"
        say(
            f"training {parameters / 1e6:.1f} million parameters on {len(training.windows.clips):,} clips, "
            f"from step {self.loop.step:,} {aim}; {team.size} processes, {training.settings.readers} readers; "
            f"attention: {training.kernel.name}; a matrix product reaches {self._peak:,.0f} GFLOP/s in "
            f"{self.options.precision}"
        )
        if not self.validations:
            say("warning: nothing tells the best checkpoint: the corpus has no split validation, or it is not used")


def _settings(options: TrainOptions, readers: int) -> ModelTrainingSettings:
    steps = ENDLESS if options.minutes else options.steps
    try:
        return ModelTrainingSettings(
            rate=LearningRate(options.rate, options.warmup, steps, options.decay, options.floor),
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
            readers=readers,
            is_compiled=options.compile,
        )
    except ValueError as error:
        raise JobError(str(error)) from None


def _timetable(options: TrainOptions, training: ModelTraining) -> Timetable:
    if options.minutes:
        return TimetableOfMinutes(options.minutes, training)
    return Timetable(
        steps=options.steps,
        stop_at=options.stop_at,
        log_every=options.log_every,
        checkpoint_every=options.checkpoint_every,
        validate_every=options.validate_every,
        sample_every=options.sample_every,
    )


def _model(options: TrainOptions, origin: CodecDescription, start: ModelDescription | None) -> MidiValle:
    if start is not None:
        if (start.model.codebooks, start.model.codebook_size) != (origin.codec.codebooks, origin.codec.codebook_size):
            raise JobError(f"--init {options.init} has other codebooks than the codec of {origin.folder}")
        model = load_model(start)
        model.config = replace(start.model, absent_prompt=start.model.absent_prompt or options.drop_prompt > 0)
        return model
    codebooks = {"codebooks": origin.codec.codebooks, "codebook_size": origin.codec.codebook_size}
    try:
        config = ModelConfig(
            **options.sizes,
            **codebooks,
            note_position="onset",
            roll_frame_rate=origin.frame_rate if options.piano_roll else 0,
            summary_width=options.summary_width,
            absent_prompt=options.drop_prompt > 0,
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
