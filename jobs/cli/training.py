"""From pianos and MIDI to a judged model: ``prepare``, ``pack``, ``train-codec``, ``train``, ``evaluate``."""

import sys

from jobs.cli.from_options import takes
from jobs.corpora.pack_options import PackOptions
from jobs.corpora.prepare_options import PrepareOptions
from jobs.evaluation.evaluation_options import EvaluationOptions
from jobs.training.codec_recipes import RECIPES
from jobs.training.train_codec_options import TrainCodecOptions
from jobs.training.train_options import TrainOptions


@takes(PrepareOptions)
def prepare(options: PrepareOptions) -> int:
    """Make a training corpus: clips with audio, notes and maybe codes, from MIDI and sampled pianos or from recordings.

    Exit codes are those of render-corpus.
    """
    from jobs.corpora.prepare import prepare_corpus

    return prepare_corpus(options)


@takes(PackOptions)
def pack(options: PackOptions) -> int:
    """Write a corpus as codes alone: one file, to train elsewhere without Ray, Parquet or audio.

    60 hours are about 90 MB.
    """
    from jobs.corpora.pack_corpus import pack_corpus

    return pack_corpus(options)


@takes(TrainCodecOptions, RECIPES, "recipe")
def train_codec(options: TrainCodecOptions) -> int:
    """Train a codec on a corpus, from random weights or those of a codec; run it again to go on."""
    from jobs.training.train_codec import train_codec

    return train_codec(options)


@takes(TrainOptions)
def train(options: TrainOptions) -> int:
    """Train the language model on a corpus, from random weights or those of a model; run it again to go on."""
    from jobs.training.train_model import train_model

    return train_model(options)


@takes(EvaluationOptions)
def evaluate(options: EvaluationOptions) -> int:
    """Judge a model, a codec or a finished run: distances, notes, joints, lengths, and baselines beside them."""
    from jobs.console import say
    from jobs.evaluation.evaluate import evaluate

    say(evaluate(options), sys.stdout)
    return 0
