"""``midi-valle prompts make``: from recordings to a prompt bank."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.errors import InputError, JobError, StorageError
from jobs.inputs.inputs import Inputs
from jobs.prompts.candidates import Candidates, OffsetError, places_by_ear, places_by_midi
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.prompt_clip import PromptClip, reason_of
from jobs.prompts.recordings import Recording, find_recordings
from jobs.storage import S3Access
from renderer.audio.audio_file import audio_length
from renderer.errors import PromptError, RendererError
from renderer.evaluation.transcriber import TRANSCRIBERS, Transcriber

_TEXTS = ("prompt_id", "audio", "midi", "licence", "source", "transcriber", "recording")
_COUNTS = ("notes", "keys", "sounding_at_start", "cut_at_end")
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(_TEXTS, pa.string()),
    **dict.fromkeys(("start_s", "late_s"), pa.float64()),
    **dict.fromkeys(_COUNTS, pa.int64()),
    **dict.fromkeys(("peak_dbfs", "rms_dbfs", "noise_dbfs"), pa.float64()),
}
COLUMNS = pa.schema(_TYPES)
"""Of a bank. ``late_s`` is by how much the recording was found to be late, mended or not."""

_REFUSED_TYPES: dict[str, pa.DataType] = {
    "recording": pa.string(),
    "start_s": pa.float64(),
    "late_s": pa.float64(),
    "reason": pa.string(),
}
REFUSED = pa.schema(_REFUSED_TYPES)


@dataclass(frozen=True)
class Made:
    """What came of it: rows of the bank, rows of what was refused, and those of recordings that gave no prompt."""

    prompts: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    without: list[dict[str, Any]] = field(default_factory=list)


def make_prompts(options: MakeOptions, advance: Callable[[int, int], None]) -> Made:
    """Make a bank; ``advance`` is told of recordings done and in all.

    The bank appears last, when all its clips are there. JobError if it exists, or no recording gives a prompt.
    """
    for path in (options.out, options.clips):
        if path.exists():
            raise JobError(f"{path} exists already; choose another --out, or remove it")
    inputs = Inputs(s3=S3Access(options.s3_endpoint_url))
    recordings = find_recordings(options, inputs)
    made = Made()
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{options.out.stem}-", dir=options.out.parent) as temporary:
            clips = Path(temporary) / "clips"
            clips.mkdir()
            for done, recording in enumerate(recordings, 1):
                _add(made, recording, options, inputs, clips)
                advance(done, len(recordings))
            _publish(made, options, Path(temporary))
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or options.out}: {error.strerror or error}") from None
    return made


def _publish(made: Made, options: MakeOptions, temporary: Path) -> None:
    """Move what was made to where it was asked for: the bank last."""
    if made.refused:
        pa_csv.write_csv(pa.Table.from_pylist(made.refused, REFUSED), temporary / "refused")
        (temporary / "refused").rename(options.refused)
    if not made.prompts:
        first = made.refused[0]
        raise JobError(f"no recording gives a prompt; {first['recording']}: {first['reason']}; see {options.refused}")
    pq.write_table(pa.Table.from_pylist(made.prompts, COLUMNS), temporary / "bank")
    (temporary / "clips").rename(options.clips)
    (temporary / "bank").rename(options.out)


def _add(made: Made, recording: Recording, options: MakeOptions, inputs: Inputs, folder: Path) -> None:
    """Cut a recording's prompts, and write their clips; what is wrong with it goes into the table of refusals."""
    count = 0

    def refuse(reason: Exception, start: float | None = None) -> None:
        late = reason.late if isinstance(reason, OffsetError) else None
        row = {"recording": recording.audio, "start_s": start, "late_s": late, "reason": reason_of(reason)}
        made.refused.append(row)

    try:
        audio = inputs.local(recording.audio)
        rate, seconds = audio_length(audio)
        found = _places(recording, audio, rate, seconds, options, inputs)
        for place in found.places:
            if count == options.per_recording:
                break
            prompt_id = recording.name if options.per_recording == 1 else f"{recording.name}-{count + 1}"
            try:
                clip = PromptClip.cut(prompt_id, audio, rate, place)
            except PromptError as error:
                refuse(error, place.start)
                continue
            clip.write(folder)
            made.prompts.append(_row(clip, recording, options, found))
            count += 1
    except (RendererError, InputError) as error:
        refuse(error)
    if not count:
        made.without.append(made.refused[-1])


def _places(
    recording: Recording, audio: Path, rate: int, seconds: float, options: MakeOptions, inputs: Inputs
) -> Candidates:
    if recording.lacks:
        raise PromptError(recording.lacks)
    if recording.midi:
        return places_by_midi(audio, seconds, inputs.local(recording.midi), options.per_recording, options.align)
    if options.transcriber == "none":
        raise PromptError("it has no MIDI of its name beside it; give --midi FOLDER, or a --transcriber")
    return places_by_ear(audio, seconds, rate, options.per_recording, _transcriber(options.transcriber))


@cache
def _transcriber(name: str) -> Transcriber:
    return TRANSCRIBERS[name]()


def _row(clip: PromptClip, recording: Recording, options: MakeOptions, found: Candidates) -> dict[str, Any]:
    folder = options.clips.name
    return {
        "prompt_id": clip.prompt_id,
        "audio": f"{folder}/{clip.prompt_id}.flac",
        "midi": f"{folder}/{clip.prompt_id}.mid",
        "licence": recording.licence,
        "source": recording.source,
        "transcriber": None if recording.midi else options.transcriber,
        "recording": recording.audio,
        "late_s": None if found.late is None else round(found.late, 3),
        **clip.facts(),
    }


def told(made: Made, options: MakeOptions) -> Iterator[str]:
    """What a person is told of it in the end."""
    yield f"{len(made.prompts):,} prompts: {options.out}"
    lacking = sum(row["licence"] is None for row in made.prompts)
    if lacking:
        yield f"warning: {lacking:,} of them have no licence; give --licence, or a table with that column"
    if made.refused:
        yield f"{len(made.without):,} recordings give none; what was refused, and why: {options.refused}"
