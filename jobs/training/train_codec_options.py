"""What a user may ask of a training of a codec."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from jobs.errors import JobError
from jobs.option import Option, check_at_least, check_choice
from jobs.training.training_options import MACHINE, TrainingOptions

DATA, COURSE = "Data and codec", "Course of the training"


@dataclass(frozen=True, kw_only=True)
class TrainCodecOptions(TrainingOptions):
    """The options of ``midi-valle train-codec``.

    ``init`` None begins with random weights, of the codec ``type``; else it is a codec or model directory, or a file
    of audiocraft or encodec. ``losses`` names a ``LossRecipe``. ``adversary_from`` is the first step with an adversary,
    None for none at all. JobError for a value that makes no sense.
    """

    corpus: Annotated[str, Option("The folder or s3:// address of a prepared corpus.", is_argument=True)]
    out: Annotated[str, Option("The training's folder; the same command goes on there.", DATA)] = "codec-training"
    init: Annotated[str | None, Option("Fine-tune: a codec or model directory, or audiocraft's file.", DATA)] = None
    type: Annotated[
        Literal["sinusoidal", "encodec", "frame"], Option("Without --init: sinusoidal, encodec or frame.", DATA)
    ] = "sinusoidal"
    name: Annotated[str, Option("The trained codec's name.", DATA)] = "codec-trained"
    licence: Annotated[str, Option("Its licence, for its card.", DATA)] = "not stated"
    crop_seconds: Annotated[float, Option("What is learned at a time.", DATA)] = 1.28
    losses: Annotated[Literal["own", "encodec"], Option("own, or encodec: as it was trained.", COURSE)] = "own"
    steps: Annotated[int, Option("Until the rate is down.", COURSE)] = 20_000
    stop_at: Annotated[int | None, Option("Stop earlier, at this step.", COURSE)] = None
    batch: Annotated[int, Option("Crops a step.", COURSE)] = 16
    unquantized: Annotated[int, Option("First steps, without codebooks.", COURSE)] = 1000
    shallow: Annotated[float, Option("Share of crops with fewer codebooks.", COURSE)] = 0.25
    resolutions: Annotated[int, Option("Of five, in each step's loss.", COURSE)] = 2
    waveform: Annotated[float, Option("Weight of the samples' differences.", COURSE)] = 0.0
    notes: Annotated[float, Option("Weight of the notes that the codes must tell.", COURSE)] = 0.1
    commitment: Annotated[float, Option("Weight of what the codes cannot hold.", COURSE)] = 0.25
    told: Annotated[float, Option("Share of crops whose notes the decoder is told; sinusoidal.", COURSE)] = 0.8
    keep_codes: Annotated[bool, Option("With --init: train the decoder alone.", COURSE, negatable=True)] = False
    rate: Annotated[float, Option("The highest learning rate.", COURSE)] = 8e-4
    warmup: Annotated[int, Option("Steps up to it.", COURSE)] = 200
    decay: Annotated[
        Literal["cosine", "inverse-sqrt", "constant"], Option("cosine, inverse-sqrt or constant.", COURSE)
    ] = "cosine"
    floor: Annotated[float, Option("Lowest share of the rate.", COURSE)] = 0.05
    weight_decay: Annotated[float, Option(None, COURSE)] = 0.01
    clip_norm: Annotated[float, Option("The gradient's largest norm; 0: any.", COURSE)] = 1.0
    average_decay: Annotated[float, Option("Of the weights' moving average.", COURSE)] = 0.999
    adversary_from: Annotated[int | None, Option("First step with discriminators.", COURSE)] = None
    adversary_filters: Annotated[int, Option("Their width; published: 32.", COURSE)] = 32
    precision: Annotated[str, Option("fp32, or bf16 for matrix products.", COURSE)] = "bf16"
    seed: Annotated[int, Option("Decides all that is drawn.", COURSE)] = 0
    log_every: Annotated[int, Option("Steps.", MACHINE)] = 20
    checkpoint_every: Annotated[int, Option("Steps.", MACHINE)] = 200
    validate_every: Annotated[int, Option("Steps; 0: never.", MACHINE)] = 500
    validation_crops: Annotated[int, Option("Crops of a validation.", MACHINE)] = 64
    workers: Annotated[int, Option("Processes of Ray Train that share each step.", MACHINE)] = 1
    threads: Annotated[int, Option("0: as torch has it.", MACHINE)] = 0
    device: Annotated[str, Option("auto, cpu or cuda.", MACHINE)] = "auto"
    ray_address: Annotated[str | None, Option("A Ray cluster's, as auto.", MACHINE)] = None

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "workers", "cpus_per_worker", "log_every", "checkpoint_every", "resolutions")
        check_at_least(self, 1, *counts)
        check_at_least(self, 0, "validate_every", "validation_crops", "threads", "unquantized")
        if self.crop_seconds < 0.5:
            raise JobError(f"--crop-seconds is {self.crop_seconds}; half a second is the least that makes sense")
        if self.batch % self.workers:
            raise JobError(f"--batch is {self.batch}; {self.workers} workers cannot share it evenly")
        if self.keep_codes and self.init is None:
            raise JobError("--keep-codes needs --init: random weights have no codes that could be kept")
        check_choice(self, "type", "losses")

    @property
    def course(self) -> dict[str, Any]:
        """See the class above, without what folders of before these options do not say and mean."""
        unsaid = {"losses": "own", "commitment": 0.25}
        return {name: value for name, value in super().course.items() if unsaid.get(name) != value}
