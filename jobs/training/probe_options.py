"""What a user may ask of ``midi-valle models probe``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jobs.option import Option


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """The options of ``midi-valle models probe``."""

    model: Annotated[Path, Option("The directory of a model or a codec, which gets the probe.")]
    corpus: Annotated[str, Option("A corpus of recordings; best of pianos and music like those to be rendered.")]
    minutes: Annotated[float, Option("So much of its training clips is used, evenly drawn.", least=1)] = 600.0
