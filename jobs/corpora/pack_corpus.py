"""``midi-valle pack``: a corpus as codes alone, in one file, for a training that has neither Ray nor Parquet."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from jobs.console import say
from jobs.corpora.corpus import Corpus
from jobs.corpora.encoded_clips import EncodedClips
from jobs.corpora.pack_options import PackOptions
from jobs.errors import JobError
from jobs.worker_processes import worker_processes
from renderer.file_hash import file_hash
from renderer.training.pack import Pack, PackedClip
from renderer.training.windows import ClipSource
from renderer.weights.checkpoint import find_codec, load_codec

_CLIPS_A_TASK = 100


@dataclass(frozen=True)
class _Reader:
    """Reads clips of a corpus whole; ``codec``, if there is one, makes their codes, which are kept in ``folder``."""

    corpus: Corpus
    codec: str | None
    folder: Path

    def __call__(self, indices: range) -> list[PackedClip]:
        source: ClipSource = self.corpus
        if self.codec is not None:
            source = EncodedClips(self.corpus, load_codec(find_codec(self.codec)).for_inference(), self.folder)
        return [self._clip(source, index) for index in indices]

    def _clip(self, source: ClipSource, index: int) -> PackedClip:
        clip = self.corpus.clips[index]
        codes = source.codes(index).T.astype(np.int16)
        return PackedClip(clip.item_id, clip.piece, clip.condition, clip.split, codes, source.notes(index))


def pack_corpus(options: PackOptions) -> int:
    """Write the pack of what is finished of a corpus. Returns 0.

    Codes that the corpus does not have are kept in a folder beside ``out`` until the pack is written, so that the same
    command goes on where it was interrupted. JobError or RendererError if there is no corpus, or no codes.
    """
    corpus = Corpus.open(options.corpus, options.s3)
    own = corpus.codec
    codec = None
    if options.codec is not None:
        found = find_codec(options.codec)
        if found.sample_rate != corpus.sample_rate:
            raise JobError(f"{options.corpus} has {corpus.sample_rate} Hz, the codec {found.sample_rate} Hz")
        own = file_hash(found.folder / "codec.safetensors")
        codec = None if own == corpus.codec else str(options.codec)
    if own is None:
        raise JobError(f"{options.corpus} has no codes of one codec: give --codec")
    folder = options.out.with_name(f"{options.out.name}.codes") / f"{corpus.fingerprint[:16]}-{own[:16]}"
    clips = list(_read(_Reader(corpus, codec, folder), options.processes or os.cpu_count() or 1))
    pack = Pack.of(clips, own, _frame_rate(corpus, clips), corpus.conditions)
    pack.save(options.out)
    shutil.rmtree(folder.parent, ignore_errors=True)
    say(
        f"{options.out}: {len(pack):,} clips, {pack.hours:.2f} hours, {len(pack.pieces):,} pieces, "
        f"{len(pack.conditions):,} conditions, {options.out.stat().st_size / 1e6:.1f} MB"
    )
    return 0


def _read(reader: _Reader, processes: int) -> Iterator[PackedClip]:
    """All clips in order, read by so many processes."""
    count = len(reader.corpus)
    tasks = [range(start, min(start + _CLIPS_A_TASK, count)) for start in range(0, count, _CLIPS_A_TASK)]
    with tqdm(total=count, unit=" clips", disable=None) as bar, _parallel(min(processes, len(tasks))) as run:
        for clips in run(reader, tasks):
            yield from clips
            bar.update(len(clips))


@contextmanager
def _parallel(processes: int) -> Iterator[Callable[..., Iterator[list[PackedClip]]]]:
    """``map``, by so many processes of one thread each."""
    if processes == 1:
        yield map
        return
    with worker_processes(processes, torch.set_num_threads, 1) as pool:
        yield pool.map


def _frame_rate(corpus: Corpus, clips: list[PackedClip]) -> int:
    """Frames a second: a clip's last frame may be begun, no more."""
    samples = sum(clip.samples for clip in corpus.clips)
    return round(sum(clip.codes.shape[1] for clip in clips) * corpus.sample_rate / samples)
