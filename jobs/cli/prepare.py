"""``midi-valle prepare``: its options. What it does is imported when it is done: help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finish

MATERIAL, SOUND, AUGMENTATION, MACHINE = "Material", "Pianos and rooms", "Augmentation (training clips)", "Machine"


def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Folders or .txt lists of MIDI files, or Parquet tables of recordings: midi, audio, condition."
        ),
    ],
    out: Annotated[str, typer.Option(help="The corpus; run the same command again to go on.")],
    share: Annotated[
        list[float], typer.Option(help="Each source's part of the hours, in order.", rich_help_panel=MATERIAL)
    ] = [],  # noqa: B006 - typer copies it.
    hold_out: Annotated[
        Path | None, typer.Option(help="List of MIDI files that are never used.", rich_help_panel=MATERIAL)
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            help="Of music, to which each clip adds a second; by default everything once.", rich_help_panel=MATERIAL
        ),
    ] = None,
    validation: Annotated[float, typer.Option(help="Part of the pieces.", rich_help_panel=MATERIAL)] = 0.05,
    test: Annotated[float, typer.Option(help="Part of the pieces.", rich_help_panel=MATERIAL)] = 0.05,
    shortest: Annotated[float, typer.Option(help="Clips, in seconds.", rich_help_panel=MATERIAL)] = 10.0,
    longest: Annotated[float, typer.Option(help="Clips, in seconds.", rich_help_panel=MATERIAL)] = 30.0,
    pedal: Annotated[
        str, typer.Option(help="Sustain pedal: ignore, or extend (it lengthens notes).", rich_help_panel=MATERIAL)
    ] = "extend",
    seed: Annotated[int, typer.Option(help="Decides all that is drawn.", rich_help_panel=MATERIAL)] = 0,
    piano: Annotated[
        list[str],
        typer.Option(
            help="NAME=FOLDER of recordings like D#4v7.ogg, NAME=FILE.sfz, or NAME=FILE.sf2#BANK:PRESET; repeatable.",
            rich_help_panel=SOUND,
        ),
    ] = [],  # noqa: B006
    room: Annotated[
        list[str], typer.Option(help="close, chamber or hall; repeatable; all by default.", rich_help_panel=SOUND)
    ] = [],  # noqa: B006
    room_variants: Annotated[int, typer.Option(help="Variants of every room.", rich_help_panel=SOUND)] = 4,
    conditions: Annotated[
        int | None,
        typer.Option(
            help="Draw so many in place of --room: rooms, microphones, noise, tuning, voicing and touch.",
            rich_help_panel=SOUND,
        ),
    ] = None,
    hold_out_piano: Annotated[
        list[str],
        typer.Option(help="A piano that no training clip is played on; repeatable.", rich_help_panel=SOUND),
    ] = [],  # noqa: B006
    hold_out_rooms: Annotated[
        float, typer.Option(help="Share of rooms that no training clip is recorded in.", rich_help_panel=SOUND)
    ] = 0.0,
    codec: Annotated[
        str | None, typer.Option(help="Keep this model's codes as well: a name or directory.", rich_help_panel=SOUND)
    ] = None,
    format: Annotated[str, typer.Option(help="flac, flac24, wav, wav24, wav-float.", rich_help_panel=SOUND)] = "flac",
    transpose: Annotated[int, typer.Option(help="Semitones, at most.", rich_help_panel=AUGMENTATION)] = 2,
    velocity_scale: Annotated[
        tuple[float, float], typer.Option(help="Lowest and highest factor.", rich_help_panel=AUGMENTATION)
    ] = (0.8, 1.15),
    tempo_scale: Annotated[
        tuple[float, float], typer.Option(help="Lowest and highest factor.", rich_help_panel=AUGMENTATION)
    ] = (0.9, 1.1),
    actors: Annotated[
        int | None, typer.Option(help="Actors; by default as many as fit.", rich_help_panel=MACHINE)
    ] = None,
    cpus_per_actor: Annotated[int, typer.Option(help="Threads of each actor.", rich_help_panel=MACHINE)] = 1,
    shard_items: Annotated[
        int, typer.Option(help="Clips that are finished and resumed together.", rich_help_panel=MACHINE)
    ] = 50,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster to use; else this machine.", rich_help_panel=MACHINE)
    ] = None,
    s3_endpoint_url: Annotated[
        str | None, typer.Option(help="S3 server, where it is not Amazon's.", rich_help_panel=MACHINE)
    ] = None,
    item_timeout: Annotated[
        float, typer.Option(help="Seconds without progress until a worker is replaced.", rich_help_panel=MACHINE)
    ] = 600.0,
    max_failures: Annotated[
        int | None, typer.Option(help="Stop after so many failed clips.", rich_help_panel=MACHINE)
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed clips again.", rich_help_panel=MACHINE)
    ] = False,
) -> None:
    """Make a training corpus: clips with audio, notes and codes, from MIDI and sampled pianos or from recordings.

    Exit codes are those of render-corpus.
    """
    # Every parameter is an option of the same name.
    chosen = dict(locals())

    def work() -> int:
        from jobs.corpora.prepare import prepare_corpus
        from jobs.corpora.prepare_options import DEFAULT_ROOMS, PrepareOptions

        return prepare_corpus(PrepareOptions(**(chosen | {"room": chosen["room"] or DEFAULT_ROOMS})))

    finish(work)
