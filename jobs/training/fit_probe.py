"""A directory's probe, by which verdicts judge codes, fitted to a corpus."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.corpora.corpus import Corpus
from jobs.corpora.encoded_clips import EncodedClips
from jobs.errors import JobError
from jobs.training.probe_options import ProbeOptions
from renderer.codecs.neural_codec import NeuralCodec
from renderer.file_hash import file_hash
from renderer.midi.notes import IntArray
from renderer.training.probe_fitting import ProbeFitting
from renderer.weights.checkpoint import find_codec, load_codec
from renderer.weights.probe_file import codebook_rows, write_probe


def fit_probe(options: ProbeOptions) -> float:
    """Write the probe into the directory; of how many seconds of audio it was made.

    Codes that the corpus lacks are made on the way. JobError if there are no clips to fit it to, or another rate.
    """
    description, corpus = find_codec(str(options.model)), Corpus.open(options.corpus)
    if corpus.sample_rate != description.sample_rate:
        raise JobError(f"{options.corpus} has {corpus.sample_rate} Hz, the codec {description.sample_rate} Hz")
    codec = load_codec(description).for_inference()
    fitting = ProbeFitting(codebook_rows(codec), codec.frame_rate)
    chosen = _chosen(corpus, options.minutes)
    if not chosen:
        raise JobError(f"{options.corpus} has no clips of the split train")
    with ExitStack() as stack:
        codes = _codes(corpus, codec, file_hash(description.folder / "codec.safetensors"), stack)
        for index in chosen:
            fitting.add(codes(index), corpus.notes(index))
    write_probe(description.folder, fitting.probe())
    return fitting.frames / codec.frame_rate


def _chosen(corpus: Corpus, minutes: float) -> list[int]:
    """Training clips of about so many minutes, evenly spread."""
    clips = [index for index, clip in enumerate(corpus.clips) if clip.split == "train"]
    seconds = sum(corpus.clips[index].samples for index in clips) / corpus.sample_rate
    wanted = len(clips) if seconds <= 60 * minutes else max(1, round(len(clips) * 60 * minutes / seconds))
    return [clips[place * len(clips) // wanted] for place in range(wanted)] if clips else []


def _codes(corpus: Corpus, codec: NeuralCodec, own: str, stack: ExitStack) -> Callable[[int], IntArray]:
    if corpus.codec == own:
        return corpus.codes
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="codes-")))
    return EncodedClips(corpus, codec, folder).codes
