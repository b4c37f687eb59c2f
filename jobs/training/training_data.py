"""What a language model is trained on: a pack, or a corpus, whose codes are made on the way where it has none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.console import say
from jobs.errors import JobError
from renderer.file_hash import file_hash
from renderer.training.pack import Pack
from renderer.training.windows import ClipSource
from renderer.weights.checkpoint import CodecDescription, load_codec

if TYPE_CHECKING:
    from jobs.storage import S3Access

TRAIN, VALIDATION, UNSEEN = "train", "validation", "unseen"
"""Clips to learn from; pieces to be judged by; and pieces of conditions that nothing is learned from."""


@dataclass(frozen=True)
class TrainingData:
    """Clips of ``source``, of ``frames`` each, by what they are for; ``is_memory`` says that it reads no files."""

    source: ClipSource
    frames: Sequence[int]
    clips: dict[str, list[int]]
    fingerprint: str
    is_memory: bool


def open_training_data(place: str, origin: CodecDescription, out: Path, s3: "S3Access | None" = None) -> TrainingData:
    """The pack in a file, or the corpus in a folder or at an s3:// address, with the codes of a codec.

    JobError or TrainingError if it cannot be read, or is not of this codec.
    """
    if Path(place).is_file():
        return _of_pack(Pack.load(Path(place)), place, origin)
    return _of_corpus(place, origin, out, s3)


def _of_pack(pack: Pack, place: str, origin: CodecDescription) -> TrainingData:
    own = file_hash(origin.folder / "codec.safetensors")
    if pack.codec != own or pack.frame_rate != origin.frame_rate:
        raise JobError(
            f"{place} has codes of another codec than that of {origin.folder}: {pack.codec[:12]}, not {own[:12]}"
        )
    clips = list(pack)
    chosen = _chosen([clip.split for clip in clips], [clip.condition for clip in clips])
    return TrainingData(pack, pack.frames.tolist(), chosen, pack.fingerprint, is_memory=True)


def _of_corpus(place: str, origin: CodecDescription, out: Path, s3: "S3Access | None") -> TrainingData:
    # With readers of audio and of Parquet, which a training from a pack does without.
    from jobs.corpora.corpus import Corpus
    from jobs.corpora.encoded_clips import EncodedClips

    corpus = Corpus.open(place, s3)
    if corpus.sample_rate != origin.sample_rate:
        raise JobError(f"{place} has {corpus.sample_rate} Hz, the codec {origin.sample_rate} Hz")
    frame_samples = origin.sample_rate // origin.frame_rate
    frames = [-(-clip.samples // frame_samples) for clip in corpus.clips]
    chosen = _chosen([clip.split for clip in corpus.clips], [clip.condition for clip in corpus.clips])
    own = file_hash(origin.folder / "codec.safetensors")
    source: ClipSource = corpus
    if corpus.codec != own:
        folder = out / "codes" / f"{corpus.fingerprint[:16]}-{own[:16]}"
        say(f"{corpus.uri} has no codes of {origin.name}'s codec: they are made on the way and kept in {folder}")
        source = EncodedClips(corpus, load_codec(origin).for_inference(), folder)
    return TrainingData(source, frames, chosen, corpus.fingerprint, is_memory=False)


def _chosen(splits: Sequence[str], conditions: Sequence[str]) -> dict[str, list[int]]:
    known = {condition for split, condition in zip(splits, conditions, strict=True) if split == TRAIN}
    chosen: dict[str, list[int]] = {TRAIN: [], VALIDATION: [], UNSEEN: []}
    for index, (split, condition) in enumerate(zip(splits, conditions, strict=True)):
        if split == TRAIN:
            chosen[TRAIN].append(index)
        elif split == VALIDATION:
            chosen[VALIDATION if condition in known else UNSEEN].append(index)
    return chosen
