"""What a user may ask of ``midi-valle evaluate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jobs.errors import JobError
from jobs.option import Option, check_at_least, check_choice
from jobs.storage.s3_options import S3Options


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(S3Options):
    """The options of ``midi-valle evaluate``; JobError for a value that makes no sense.

    ``None`` stands for: where it is installed (``musicnn``, ``fluidsynth``), all clips (``limit``), no
    such thing (the others).
    """

    out: Annotated[str, Option("Where rows, table and plots go; run the same command again to go on.")]
    corpus: Annotated[str | None, Option("Prepared corpus on which to evaluate --model.")] = None
    run: Annotated[str | None, Option("Finished run to evaluate: what its --out was.")] = None
    references: Annotated[Path | None, Option("With --run: folder of recordings, named as the items are.")] = None
    model: Annotated[
        str | None, Option("mini, midi-valle, or a model directory; with --run: what it was rendered by.")
    ] = None
    codec: Annotated[
        str | None, Option("In place of --model: a codec directory, or a model whose codec alone counts.")
    ] = None
    protocol: Annotated[
        Sequence[Literal["self", "cross"]],
        Option("Prompts: self (a clip's own start), cross (another piece); repeatable."),
    ] = ("self", "cross")
    split: Annotated[str, Option("The corpus's split to evaluate on.")] = "test"
    piano: Annotated[
        Sequence[str],
        Option("To compare with: NAME=FOLDER, NAME=FILE.sfz or NAME=FILE.sf2#BANK:PRESET; repeatable."),
    ] = ()
    fluidsynth: Annotated[
        bool | None, Option("Compare with FluidSynth and its soundfont; by default if they are installed.")
    ] = None
    transcriber: Annotated[str | None, Option("Score notes as heard by transkun or basic-pitch; off by default.")] = (
        None
    )
    musicnn: Annotated[
        bool | None, Option("Frechet distances in an independent embedding; by default if it is installed.")
    ] = None
    published: Annotated[bool, Option("Put the published figures into the table.")] = True
    limit: Annotated[int | None, Option("At most so many clips, evenly spread.")] = None
    seed: Annotated[int, Option("Decides the noise of renderings.")] = 0
    actors: Annotated[int, Option("Processes that evaluate side by side.")] = 1
    gpus: Annotated[int, Option("GPUs that the actors share; 0: the CPU.", least=0)] = 0
    precision: Annotated[str, Option("fp32, bf16, fp16, or auto: the fastest.")] = "auto"
    batch_size: Annotated[int, Option("Clips that are rendered side by side.")] = 16

    def __post_init__(self) -> None:
        from jobs.corpora.piano_options import read_pianos
        from renderer.device import choose_precision
        from renderer.evaluation.transcriber import TRANSCRIBERS

        if (self.corpus is None) == (self.run is None):
            raise JobError("give --corpus, to evaluate a model on it, or --run, to evaluate what a run rendered")
        if self.references is not None and self.run is None:
            raise JobError("--references goes with --run; a corpus holds its recordings")
        if self.model is not None and self.codec is not None:
            raise JobError("--model brings its own codec; give --codec without it, to evaluate a codec alone")
        if self.corpus is not None and self.model is None and self.codec is None:
            raise JobError("--corpus needs --model, or --codec to evaluate a codec alone")
        read_pianos(self.piano)
        if self.transcriber is not None and self.transcriber not in TRANSCRIBERS:
            known = ", ".join(TRANSCRIBERS)
            raise JobError(f"--transcriber is {self.transcriber!r}; it must be one of {known}")
        check_choice(self, "protocol")
        check_at_least(self, 1, "limit", "actors", "batch_size")
        try:
            choose_precision(self.precision, "cpu")
        except ValueError as error:
            raise JobError(str(error)) from None
