"""A model directory put together: a trained language model, a codec of the same codes, prompts from a corpus."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from jobs.corpora.corpus import Corpus
from jobs.errors import JobError
from jobs.training.assemble_options import AssembleOptions
from renderer.prompt import PROMPT_SECONDS, prompt_notes
from renderer.training.model_writing import ModelMetadata, RecordedPrompt, write_model
from renderer.weights.checkpoint import CodecDescription, ModelDescription, find_codec, find_model
from renderer.weights.probe_file import PROBE_FILE

_ENCODING = ("encoder.", "quantizer.")


def assemble_model(options: AssembleOptions) -> None:
    """Write a model directory, with the probe that lies beside the codec or the model.

    The prompts are the first 3 s of a corpus' item, each under a name. JobError if the codec's codes are not the
    model's, or a prompt cannot be had.
    """
    trained, decoder = find_model(options.model), find_codec(options.codec)
    _check_same_codes(trained, decoder)
    probe = next((p for f in (decoder, trained) if (p := f.folder / PROBE_FILE).is_file()), None)
    cards = {"language_model": _card(trained.folder), "codec": _card(decoder.folder)}
    facts = ModelMetadata(
        name=options.name,
        config=trained.model,
        max_segment_seconds=trained.max_segment_seconds,
        pedal=trained.pedal,
        time_grid=trained.time_grid,
        match_prompt=options.match_prompt,
        card={"licence": options.licence, **_judged(decoder, probe), **cards},
    )
    source = Corpus.open(options.corpus)
    if source.sample_rate != decoder.sample_rate:
        raise JobError(f"{options.corpus} has {source.sample_rate} Hz, the codec {decoder.sample_rate} Hz")
    recorded = dict(_recorded(text, source) for text in options.prompt)
    write_model(options.out, load_file(trained.folder / "model.safetensors"), facts, decoder, recorded, probe)


def _judged(decoder: CodecDescription, probe: Path | None) -> dict[str, str]:
    """What a run's verdicts are worth, for the card of a model whose decoder plays the notes whatever the codes say."""
    if not getattr(decoder.codec, "told_notes", False):
        return {}
    return {
        "verdicts": "The codec is told the notes, so notes_found and attacks_explained judge its decoder. "
        + ("codes_match judges the language model." if probe else "Nothing judges what the language model adds.")
    }


def _check_same_codes(model: ModelDescription, codec: CodecDescription) -> None:
    """A language model knows the codes of one encoder and its codebooks; decoders may differ."""
    theirs, ours = (load_file(folder / "codec.safetensors") for folder in (model.folder, codec.folder))
    names = sorted({name for name in {*theirs, *ours} if name.startswith(_ENCODING)})
    for name in names:
        if name not in theirs or name not in ours or not torch.equal(theirs[name], ours[name]):
            raise JobError(
                f"{codec.folder} makes other codes than the codec of {model.folder}: {name} differs. Train the decoder "
                "alone (train-codec --init --keep-codes), or the language model on this codec's codes"
            )


def _recorded(text: str, corpus: Corpus) -> tuple[str, RecordedPrompt]:
    name, _, item = text.partition("=")
    index = next((index for index, clip in enumerate(corpus.clips) if clip.item_id == item), None)
    if not name or index is None:
        raise JobError(f"--prompt {text}: give ID=ITEM, where the corpus {corpus.uri} has the item")
    samples, notes = round(PROMPT_SECONDS * corpus.sample_rate), prompt_notes(corpus.notes(index))
    if corpus.clips[index].samples < samples or not len(notes):
        raise JobError(f"--prompt {text}: it has no {PROMPT_SECONDS:g} s in which a note begins")
    return name, RecordedPrompt(corpus.audio(index, 0, samples), notes)


def _card(folder: Path) -> object:
    path = folder / "card.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
