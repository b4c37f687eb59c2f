"""What a user may ask of a training of the language model."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from jobs.errors import JobError
from jobs.option import Option, check_at_least, check_choice, flag
from jobs.training.training_options import MACHINE, TrainingOptions

DATA, NETWORK, COURSE = "Data", "Network", "Course of the training"

SIZES: dict[str, dict[str, int]] = {
    "mini": {"d_model": 256, "heads": 4, "layers": 4},
    "published": {"d_model": 1024, "heads": 16, "layers": 12},
}


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainingOptions):
    """The options of ``midi-valle train``.

    ``init`` None begins with random weights, of ``size`` or of ``d_model``, ``heads`` and ``layers``, with or without a
    ``piano_roll`` and a summary of the prompt (renderer/model). ``codec`` None stands for that of ``init``. With
    ``minutes``, as many steps are done as fit into them. JobError for a value that makes no sense.
    """

    corpus: Annotated[str, Option("A pack, or the folder or s3:// address of a corpus with codes.", is_argument=True)]
    out: Annotated[str, Option("The training's folder; the same command goes on there.", DATA)] = "training"
    codec: Annotated[str | None, Option("Model whose codec made the codes; that of --init.", DATA)] = None
    init: Annotated[str | None, Option("Begin with these weights: mini, midi-valle, or a directory.", NETWORK)] = None
    size: Annotated[Literal["mini", "published"], Option("Without --init: mini or published.", NETWORK)] = "mini"
    d_model: Annotated[int | None, Option("In place of the size's.", NETWORK)] = None
    heads: Annotated[int | None, Option("In place of the size's.", NETWORK)] = None
    layers: Annotated[int | None, Option("Of each decoder, in place of the size's.", NETWORK)] = None
    piano_roll: Annotated[
        bool,
        Option(
            "Tell each audio frame what is struck and held, unlike the published network: it learns far sooner.",
            NETWORK,
        ),
    ] = True
    summary_width: Annotated[
        int,
        Option("Width of a network that tells each frame what the prompt sounds like; 0: none, as published.", NETWORK),
    ] = 0
    name: Annotated[str, Option("The trained model's name.", NETWORK)] = "midi-valle-trained"
    licence: Annotated[str, Option("The trained model's licence, for its card.", NETWORK)] = "not stated"
    longest: Annotated[float, Option("Seconds of the longest segments, without the prompt.", DATA)] = 10.0
    shortest: Annotated[float, Option("Seconds of the shortest segments.", DATA)] = 2.0
    longest_share: Annotated[float, Option("Share of segments that are as long as can be.", DATA)] = 0.7
    cross_prompt: Annotated[float, Option("Share of segments prompted by another piece.", DATA)] = 0.8
    drop_prompt: Annotated[float, Option("Share of segments without a prompt's codes.", DATA)] = 0.0
    stages: Annotated[Literal["both", "ar", "nar"], Option("both, or ar or nar alone.", COURSE)] = "both"
    all_nar_stages: Annotated[bool, Option("All, not one at random.", COURSE)] = False
    train_end: Annotated[bool, Option("Teach the end code, as published.", COURSE)] = False
    steps: Annotated[int, Option("Until the rate is down.", COURSE)] = 20_000
    minutes: Annotated[float, Option("Do as many steps as fit into them, in place of --steps.", COURSE)] = 0.0
    stop_at: Annotated[int | None, Option("Stop earlier, at this step.", COURSE)] = None
    batch: Annotated[int, Option("Windows a step.", COURSE)] = 16
    micro_batch: Annotated[int, Option("Windows computed at a time.", MACHINE)] = 4
    rate: Annotated[float, Option("The highest learning rate.", COURSE)] = 6e-4
    warmup: Annotated[int, Option("Steps up to it.", COURSE)] = 500
    decay: Annotated[
        Literal["cosine", "inverse-sqrt", "constant"], Option("cosine, inverse-sqrt or constant.", COURSE)
    ] = "cosine"
    floor: Annotated[float, Option("Lowest share of the rate.", COURSE)] = 0.05
    dropout: Annotated[float, Option("Published: 0.1.", COURSE)] = 0.0
    weight_decay: Annotated[float, Option("Matrices alone.", COURSE)] = 0.01
    clip_norm: Annotated[float, Option("The gradient's largest norm.", COURSE)] = 1.0
    average_decay: Annotated[float, Option("Of the weights' moving average.", COURSE)] = 0.999
    precision: Annotated[str, Option("fp32, or bf16 for matrix products.", COURSE)] = "bf16"
    seed: Annotated[int, Option("Decides all that is drawn.", COURSE)] = 0
    log_every: Annotated[int, Option("Steps.", MACHINE)] = 10
    checkpoint_every: Annotated[int, Option("Steps.", MACHINE)] = 200
    validate_every: Annotated[int, Option("Steps; 0: never.", MACHINE)] = 500
    validation_windows: Annotated[int, Option("Windows of a validation.", MACHINE)] = 32
    sample_every: Annotated[int, Option("Steps between samples to listen to; 0: none.", MACHINE)] = 2000
    samples: Annotated[int, Option("How many.", MACHINE)] = 4
    transcriber: Annotated[str | None, Option("Judge the samples' notes: transkun or basic-pitch.", MACHINE)] = None
    workers: Annotated[int, Option("Processes of Ray Train that share each step.", MACHINE)] = 1
    threads: Annotated[int, Option("0: as torch has it.", MACHINE)] = 0
    readers: Annotated[
        int | None,
        Option("Processes that draw windows from a pack ahead; by default all processors beside a GPU.", MACHINE),
    ] = None
    compile: Annotated[bool, Option("Let torch compile the decoders first.", MACHINE)] = False
    device: Annotated[str, Option("auto, cpu or cuda.", MACHINE)] = "auto"
    ray_address: Annotated[str | None, Option("A Ray cluster's, as auto.", MACHINE)] = None

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "micro_batch", "workers", "cpus_per_worker", "log_every", "checkpoint_every")
        check_at_least(self, 1, *counts)
        check_at_least(self, 0, "validate_every", "sample_every", "validation_windows", "samples", "threads")
        check_at_least(self, 0, "minutes", "summary_width")
        if self.minutes and (self.workers > 1 or self.stop_at is not None):
            raise JobError("--minutes is for one process, and has an end of its own: not with --workers or --stop-at")
        if self.batch < self.workers:
            raise JobError(f"--batch is {self.batch}; each of {self.workers} workers needs a window")
        check_choice(self, "size")
        own = [name for name in ("d_model", "heads", "layers", "summary_width") if getattr(self, name)]
        if self.init is not None and own:
            raise JobError(f"{flag(own[0])} does not go with --init, whose size it is")
        if self.init is None and self.codec is None:
            raise JobError("give --codec, the model directory whose codec made the corpus's codes, or --init")

    @property
    def sizes(self) -> dict[str, int]:
        """The network's d_model, heads and layers, where it begins with random weights."""
        return {name: getattr(self, name) or size for name, size in SIZES[self.size].items()}

    @property
    def course(self) -> dict[str, Any]:
        """See the class above; of a training by the clock the steps are no part."""
        return {**super().course, "steps": "as many as there is time for"} if self.minutes else super().course
