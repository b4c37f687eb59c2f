"""What a user may ask of ``midi-valle models assemble``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jobs.option import Option


@dataclass(frozen=True, kw_only=True)
class AssembleOptions:
    """The options of ``midi-valle models assemble``."""

    out: Annotated[Path, Option("The model directory to make; give it to --model afterwards.")]
    model: Annotated[str, Option("A trained language model's directory.")]
    codec: Annotated[str, Option("A codec of the same codes: its own, or one with a new decoder.")]
    corpus: Annotated[str, Option("Where prompts are taken from.")]
    prompt: Annotated[Sequence[str], Option("ID=ITEM: the first 3 s of the corpus' item; repeat.")]
    name: Annotated[str, Option("The model's name.")]
    licence: Annotated[str, Option("Its licence, for its card.")] = "not stated"
    match_prompt: Annotated[
        bool, Option("Bring what is rendered to the spectrum of its prompt's recording, band by band.")
    ] = False
