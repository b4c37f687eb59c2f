"""What is evaluated: clips with their notes, and the recordings that they are compared with."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow.parquet as pq
import soundfile

from jobs.console import say
from jobs.corpora.corpus import Corpus
from jobs.errors import JobError
from jobs.output.audio_reader import AudioReader
from jobs.run.file_check import some
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import S3Access, open_storage
from renderer.audio.audio_file import FloatSamples, read_audio
from renderer.errors import AudioError
from renderer.file_hash import file_hash
from renderer.midi.notes import Notes
from renderer.prompt import PROMPT_SECONDS

_Subject = TypeVar("_Subject")

SHORTEST_SECONDS = 1.0
"""A clip must be longer than its prompt by so much to be evaluated."""

LENGTH_TOLERANCE = 1.0
"""A recording may be so many seconds longer or shorter than what it is compared with before that is said."""

EXAMPLES, _LEAST_EXAMPLES, _MOST_EXAMPLES, _EXAMPLE_SECONDS = 1000, 2, 50, 10.0
"""So many recordings in all are what sounds are named by, if each condition has between two and fifty."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One clip: its notes, and the recording of them, if there is one; both begin at 0 s and last ``seconds``.

    Measures are taken from ``start`` seconds on: before it lies what a system may have been shown. ``rendered`` is
    what a run made of the notes, where a run is evaluated. ``held_out``: whether no training clip has its condition,
    where that is known. ``fault`` says why there is no recording, where there should be one.
    """

    index: int
    item_id: str
    condition: str
    notes: Notes
    seconds: float
    sample_rate: int
    start: float = 0.0
    recording: FloatSamples | None = None
    rendered: FloatSamples | None = None
    prompt_id: str | None = None
    held_out: bool | None = None
    fault: str | None = None


@dataclass(frozen=True, eq=False)
class PromptSource:
    """3 s of audio and the notes that sound in it, which may become a prompt."""

    prompt_id: str
    samples: FloatSamples
    sample_rate: int
    notes: Notes


class Subjects(Protocol):
    """All that is evaluated; picklable, and read one at a time."""

    fingerprint: str
    known: Sequence[str]
    """The conditions of ``examples``."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, index: int) -> Subject:
        """One of them."""
        ...

    def prompts(self, index: int, protocol: str) -> Iterator[PromptSource]:
        """What may prompt a subject, the best first: its own beginning (``self``), or another's (``cross``)."""
        ...

    def examples(self) -> Iterator[tuple[str, FloatSamples, int]]:
        """Recordings that are not evaluated, as (condition, samples, sample rate); there may be none."""
        ...


def spread(subjects: Sequence[_Subject], limit: int | None, kinds: Sequence[str]) -> list[_Subject]:
    """At most so many, in their order, and of each kind about its share; where kinds take turns, every n-th is not."""
    if limit is None or limit >= len(subjects):
        return list(subjects)
    by_kind = sorted(range(len(subjects)), key=kinds.__getitem__)
    chosen = sorted(by_kind[place * len(subjects) // limit] for place in range(limit))
    return [subjects[place] for place in chosen]


class CorpusSubjects:
    """The clips of one split of a prepared corpus, spread over its conditions if there are more than ``limit``."""

    def __init__(self, corpus: Corpus, split: str, limit: int | None) -> None:
        self.corpus = corpus
        shortest = (PROMPT_SECONDS + SHORTEST_SECONDS) * corpus.sample_rate
        clips = [i for i, clip in enumerate(corpus.clips) if clip.split == split and clip.samples >= shortest]
        if not clips:
            known = sorted({clip.split for clip in corpus.clips})
            raise JobError(f"{corpus.uri}: no clip of split {split!r} is long enough; its splits: {', '.join(known)}")
        self._clips = spread(clips, limit, [corpus.clips[place].condition for place in clips])
        evaluated = set(self._clips)
        self._others: dict[str, list[int]] = {}
        for place, clip in enumerate(corpus.clips):
            if place not in evaluated:
                self._others.setdefault(clip.condition, []).append(place)
        self.known: Sequence[str] = tuple(self._others)
        self._trained = {clip.condition for clip in corpus.clips if clip.split == "train"}
        chosen = json.dumps([corpus.fingerprint, [corpus.clips[i].item_id for i in self._clips]])
        self.fingerprint = hashlib.sha256(chosen.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._clips)

    def read(self, index: int) -> Subject:
        """A clip; it is measured behind its first 3 s, which may be its own prompt."""
        place = self._clips[index]
        clip, rate = self.corpus.clips[place], self.corpus.sample_rate
        return Subject(
            index=index,
            item_id=clip.item_id,
            condition=clip.condition,
            notes=self.corpus.notes(place),
            seconds=clip.samples / rate,
            sample_rate=rate,
            start=PROMPT_SECONDS,
            recording=self.corpus.audio(place),
            held_out=clip.condition not in self._trained if self._trained else None,
        )

    def prompts(self, index: int, protocol: str) -> Iterator[PromptSource]:
        """Its own first 3 s; or the first 3 s of other pieces in its condition, in an order drawn by its name."""
        place = self._clips[index]
        places: Sequence[int] = [place]
        if protocol == "cross":
            seed = hashlib.blake2b(self.corpus.clips[place].item_id.encode(), digest_size=8).digest()
            others = self.corpus.prompts_for(place)
            places = [int(other) for other in np.random.default_rng(list(seed)).permutation(others)]
        rate = self.corpus.sample_rate
        for chosen in places:
            clip = self.corpus.clips[chosen]
            wanted = round(PROMPT_SECONDS * rate)
            if clip.samples >= wanted:
                yield PromptSource(clip.item_id, self.corpus.audio(chosen, 0, wanted), rate, self.corpus.notes(chosen))

    def examples(self) -> Iterator[tuple[str, FloatSamples, int]]:
        """Of every condition 10 s of some clips, evenly spread over all splits."""
        most = round(_EXAMPLE_SECONDS * self.corpus.sample_rate)
        each = min(_MOST_EXAMPLES, max(_LEAST_EXAMPLES, EXAMPLES // max(1, len(self.known))))
        for condition, places in self._others.items():
            for place in places[:: -(-len(places) // each)]:
                samples = min(most, self.corpus.clips[place].samples)
                yield condition, self.corpus.audio(place, 0, samples), self.corpus.sample_rate


class RunSubjects:
    """The rendered items of a finished run, with the recordings of the same name in a folder, if one is given."""

    known: Sequence[str] = ()

    def __init__(self, uri: str, references: Path | None, s3: S3Access | None, limit: int | None) -> None:
        self._uri, self._s3 = uri, s3
        directory = RunDirectory(open_storage(uri, self._s3))
        layout = directory.begun().settings.layout
        columns = ["item_id", "status", "audio_path", "samples", "sample_rate", "duration_s", "prompt_id", "shard"]
        rows: list[dict[str, Any]] = []
        self._metadata: dict[int, str] = {}
        for marker in directory.summaries():
            rows += directory.result_rows(marker).select(columns).to_pylist()
            self._metadata[marker.shard] = marker.metadata.key
        self._recordings = _by_name(references) if references is not None else None
        found = [row for row in rows if row["status"] == "ok" and row["audio_path"] is not None]
        if self._recordings is not None:
            found = [row for row in found if row["item_id"] in self._recordings]
        if not found:
            where = f" of which {references} has a recording" if references else ""
            raise JobError(f"{uri}: there is no rendered item{where}")
        self._rows = spread(found, limit, [row["prompt_id"] or "" for row in found])
        chosen = [(row["item_id"], row["audio_path"], row["samples"]) for row in self._rows]
        self.fingerprint = hashlib.sha256(json.dumps(chosen).encode()).hexdigest()
        self.recordings_sha256 = "" if self._recordings is None else self._hash_of_recordings()
        self._tell_lengths()
        self._audio = AudioReader(directory.storage, layout)
        self._notes: tuple[int, dict[str, Any]] = (-1, {})
        """Of the shard that was read last, as items are read in their order."""

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int) -> Subject:
        """An item as it was rendered, measured from its beginning."""
        row = self._rows[index]
        rate, notes = row["sample_rate"], self._notes_of(row)
        with soundfile.SoundFile(io.BytesIO(self._audio.read(row["audio_path"]))) as file:
            rendered = np.asarray(file.read(dtype="float32"))
        recording = fault = None
        if self._recordings is not None:
            try:
                recording = read_audio(self._recordings[row["item_id"]], rate)
            except AudioError as error:
                fault = str(error)
        return Subject(
            index=index,
            item_id=row["item_id"],
            condition=row["prompt_id"] or "",
            notes=Notes.of(*([note[name] for note in notes] for name in ("onset", "offset", "pitch", "velocity"))),
            seconds=row["duration_s"],
            sample_rate=rate,
            recording=recording,
            rendered=rendered,
            prompt_id=row["prompt_id"],
            fault=fault,
        )

    def _hash_of_recordings(self) -> str:
        """Of the content of all recordings that are compared with."""
        assert self._recordings is not None
        hashes = [file_hash(Path(self._recordings[row["item_id"]])) for row in self._rows]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    def _tell_lengths(self) -> None:
        """Warn of recordings that end long before or after what they are compared with."""
        other = []
        for row in self._rows if self._recordings is not None else ():
            assert self._recordings is not None
            with suppress(soundfile.SoundFileError, OSError, TypeError):  # Unreadable: its row says so.
                seconds = soundfile.info(self._recordings[row["item_id"]]).duration
                if abs(seconds - row["duration_s"]) > LENGTH_TOLERANCE:
                    other.append(f"{row['item_id']} {seconds:.2f} s for {row['duration_s']:.2f} s")
        if other:
            say(
                f"warning: {len(other):,} of {len(self._rows):,} recordings are more than {LENGTH_TOLERANCE:g} s "
                f"longer or shorter than what was rendered, and are compared as far as both go: {some(other)}"
            )

    def prompts(self, index: int, protocol: str) -> Iterator[PromptSource]:
        """None: a run has been rendered already."""
        return iter(())

    def examples(self) -> Iterator[tuple[str, FloatSamples, int]]:
        """None: nothing is known of the conditions of a run."""
        return iter(())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_notes": (-1, {})}

    def _notes_of(self, row: dict[str, Any]) -> Any:
        shard = row["shard"]
        if self._notes[0] != shard:
            content = open_storage(self._uri, self._s3).read(self._metadata[shard])
            table = pq.read_table(io.BytesIO(content), columns=["item_id", "notes"])
            self._notes = (shard, dict(zip(*(column.to_pylist() for column in table.columns), strict=True)))
        return self._notes[1][row["item_id"]]


def _by_name(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise JobError(f"--references {folder}: there is no such folder")
    known: dict[str, Any] = {f".{suffix.lower()}": suffix for suffix in soundfile.available_formats()}
    known |= {".aif": "AIFF", ".opus": "OGG"}
    return {path.stem: str(path.absolute()) for path in sorted(folder.rglob("*")) if path.suffix.lower() in known}
