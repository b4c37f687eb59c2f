"""What a user may ask of an export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jobs.option import Option, check_choice

LICENCES = "Licences"

FormatName = Literal["huggingface", "maestro", "lhotse", "nemo"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of ``midi-valle export``; JobError for a value that makes no sense."""

    run: Annotated[str, Option("The run's folder, or s3://bucket/prefix: what --out was.", is_argument=True)]
    out: Annotated[Path, Option("The folder to make; the same command goes on where it stopped.", is_argument=True)]
    as_: Annotated[FormatName, Option("huggingface, maestro, lhotse or nemo.")]
    only: Annotated[Literal["all", "good"], Option("all, or good: what the run's verdict calls poor is left out.")] = (
        "all"
    )
    title: Annotated[str | None, Option("The data set's name in its card; the folder's by default.")] = None
    midi_licence: Annotated[
        str | None, Option("Of MIDI files whose row has none in the column midi_licence or licence.", LICENCES)
    ] = None
    prompt_licence: Annotated[
        str | None, Option("Of prompts that neither come with the model nor have one in their bank or row.", LICENCES)
    ] = None
    model_licence: Annotated[str | None, Option("Of the weights, where the model is not at hand.", LICENCES)] = None
    model: Annotated[str | None, Option("The run's model directory, where it is not found by itself.", LICENCES)] = None
    licence_unknown: Annotated[bool, Option("Export without a licence, and say so in the card.", LICENCES)] = False
    s3_endpoint_url: Annotated[str | None, Option("S3 server, where it is not Amazon's.")] = None

    def __post_init__(self) -> None:
        check_choice(self, "as_", "only")
