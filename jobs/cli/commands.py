"""The commands ``render-corpus`` and ``midi-valle``. What they do is imported when it is done: help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finish
from jobs.run.options import RenderOptions

INPUT, SOUND, QUALITY = "Input and output", "Sound", "Quality"
MACHINE, RUN = "Machine and pace", "Failures, resuming and replacing"

render_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@render_app.command()
def render(
    context: typer.Context,
    manifest: Annotated[str, typer.Argument(help="Parquet file with one row for every item to render.")],
    out: Annotated[
        str, typer.Option(help="The run's folder; run the same command again to go on.", rich_help_panel=INPUT)
    ] = RenderOptions.out,
    model: Annotated[
        str, typer.Option(help="mini, midi-valle, or a model directory.", rich_help_panel=INPUT)
    ] = RenderOptions.model,
    model_file: Annotated[
        Path | None, typer.Option(help="Published language model, for midi-valle.", rich_help_panel=INPUT)
    ] = RenderOptions.model_file,
    codec_file: Annotated[
        Path | None, typer.Option(help="Published codec, for midi-valle.", rich_help_panel=INPUT)
    ] = RenderOptions.codec_file,
    prompts: Annotated[
        str | None, typer.Option(help="Prompt bank: Parquet with prompt_id, audio, midi.", rich_help_panel=INPUT)
    ] = RenderOptions.prompts,
    allow_root: Annotated[
        list[str],
        typer.Option(help="A folder beside the manifest's that its rows may name; repeatable.", rich_help_panel=INPUT),
    ] = [],  # noqa: B006 - typer copies it.
    s3_endpoint_url: Annotated[
        str | None, typer.Option(help="S3 server, where it is not Amazon's.", rich_help_panel=INPUT)
    ] = RenderOptions.s3_endpoint_url,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N rows.", rich_help_panel=INPUT)
    ] = RenderOptions.limit,
    id_separator: Annotated[
        str | None,
        typer.Option(help="Stands for the / of item ids in names of files, as _ or --.", rich_help_panel=INPUT),
    ] = RenderOptions.id_separator,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much it is and how long it takes.", rich_help_panel=INPUT)
    ] = RenderOptions.dry_run,
    layout: Annotated[
        str, typer.Option(help="files, webdataset, parquet, or none: only measure.", rich_help_panel=INPUT)
    ] = RenderOptions.layout,
    save_codes: Annotated[
        bool, typer.Option("--save-codes", help="Keep the codec's codes as well.", rich_help_panel=INPUT)
    ] = RenderOptions.save_codes,
    format: Annotated[
        str,
        typer.Option(help="flac, flac24, wav, wav24, wav-float, ogg, opus or mp3.", rich_help_panel=SOUND),
    ] = RenderOptions.format,
    sample_rate: Annotated[
        int | None, typer.Option(help="In Hz; the model's own by default.", rich_help_panel=SOUND)
    ] = RenderOptions.sample_rate,
    loudness: Annotated[
        str, typer.Option(help="Bring every item to this loudness, in LUFS, as -23; or off.", rich_help_panel=SOUND)
    ] = RenderOptions.loudness,
    peak: Annotated[
        str,
        typer.Option(
            help="Bring every item to this peak, in dBFS, as -1; or off. With --loudness: at most.",
            rich_help_panel=SOUND,
        ),
    ] = RenderOptions.peak,
    tail: Annotated[
        float, typer.Option(help="Seconds of audio after the last note ends.", rich_help_panel=SOUND)
    ] = RenderOptions.tail,
    pedal: Annotated[
        str,
        typer.Option(help="Sustain pedal: ignore, extend (it lengthens notes), or model.", rich_help_panel=SOUND),
    ] = RenderOptions.pedal,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", rich_help_panel=SOUND)] = RenderOptions.temperature,
    top_k: Annotated[int, typer.Option(help="0 is off.", rich_help_panel=SOUND)] = RenderOptions.top_k,
    top_p: Annotated[float, typer.Option(help="1 is off.", rich_help_panel=SOUND)] = RenderOptions.top_p,
    seed: Annotated[
        int, typer.Option(help="Decides the seeds of rows that have none.", rich_help_panel=SOUND)
    ] = RenderOptions.seed,
    attempts: Annotated[
        int,
        typer.Option(help="Render a poor segment up to so often and keep the best.", rich_help_panel=QUALITY),
    ] = RenderOptions.attempts,
    quality_threshold: Annotated[
        list[str],
        typer.Option(
            help="NAME=VALUE: what makes an item poor. At most: clipped (share of samples), silence (s), joints, "
            "length_error (samples). At least: notes_found, attacks_explained, level (dBFS). Repeatable.",
            rich_help_panel=QUALITY,
        ),
    ] = [],  # noqa: B006
    gpus: Annotated[
        int | None, typer.Option(help="GPUs to use, one actor each; all by default.", rich_help_panel=MACHINE)
    ] = RenderOptions.gpus,
    actors: Annotated[
        int | None, typer.Option(help="Actors on the CPU; by default as many as fit.", rich_help_panel=MACHINE)
    ] = RenderOptions.actors,
    cpus_per_actor: Annotated[
        int, typer.Option(help="Threads of each actor.", rich_help_panel=MACHINE)
    ] = RenderOptions.cpus_per_actor,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MACHINE)] = RenderOptions.device,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16, or auto: the fastest.", rich_help_panel=MACHINE)
    ] = RenderOptions.precision,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Segments rendered side by side; by default what suits.", rich_help_panel=MACHINE),
    ] = RenderOptions.batch_size,
    shard_items: Annotated[
        int | None, typer.Option(help="Items that are finished and resumed together.", rich_help_panel=MACHINE)
    ] = RenderOptions.shard_items,
    ray_address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster to use, auto on its head; else this machine.", rich_help_panel=MACHINE),
    ] = RenderOptions.ray_address,
    item_timeout: Annotated[
        float,
        typer.Option(help="Seconds without progress after which a worker is taken for hung.", rich_help_panel=RUN),
    ] = RenderOptions.item_timeout,
    max_failures: Annotated[
        int | None, typer.Option(help="Stop after so many failed items; the same command goes on.", rich_help_panel=RUN)
    ] = RenderOptions.max_failures,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Render the failed items of finished shards again.", rich_help_panel=RUN),
    ] = RenderOptions.retry_failed,
    extend: Annotated[
        bool, typer.Option("--extend", help="Go on with a manifest to which rows were appended.", rich_help_panel=RUN)
    ] = RenderOptions.extend,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Delete the run that is in the folder and begin anew.", rich_help_panel=RUN),
    ] = RenderOptions.overwrite,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before deleting.", rich_help_panel=RUN)
    ] = RenderOptions.yes,
) -> None:
    """Render a corpus of performance MIDI to piano audio.

    Exit codes: 0 all rendered, 3 finished with failed items, 130 interrupted, 1 anything else.
    """
    # Every parameter but the context is an option of the same name.
    chosen = {name: value for name, value in locals().items() if name != "context"}

    def work() -> int:
        from jobs.run.render import render_corpus

        options = RenderOptions(**chosen)
        make_backend = context.obj
        return render_corpus(options, make_backend(options) if make_backend else None)

    finish(work)


manifest_app = typer.Typer(help="Make manifests.", no_args_is_help=True)
prompts_app = typer.Typer(help="Show prompts.", no_args_is_help=True)


@manifest_app.command("build")
def build_manifest(
    folder: Annotated[Path, typer.Argument(help="Folder of MIDI files, searched with all folders in it.")],
    prompt: Annotated[str, typer.Option(help="The prompt of every row; see midi-valle prompts list.")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("manifest.parquet"),
) -> None:
    """Make a manifest with one row for every .mid and .midi file of a folder."""

    def work() -> int:
        from jobs.manifests.build_manifest import build_manifest

        typer.echo(f"{build_manifest(folder, prompt, out):,} rows: {out}")
        return 0

    finish(work)


@prompts_app.command("list")
def list_prompts(
    model: Annotated[str, typer.Option(help="mini, midi-valle, or a model directory.")] = "mini",
    prompts: Annotated[Path | None, typer.Option(help="Prompt bank to show as well.")] = None,
) -> None:
    """List the ids that a manifest's prompt column may hold: the model's own, and a bank's."""

    def work() -> int:
        from renderer.weights.checkpoint import find_model
        from schemas.prompts import read_prompt_bank

        for prompt_id in (*find_model(model).prompt_ids, *(read_prompt_bank(prompts) if prompts else ())):
            typer.echo(prompt_id)
        return 0

    finish(work)


def bench(
    size: Annotated[str, typer.Option(help="mini, or published: its size with random weights.")] = "mini",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16, or auto: the fastest.")] = "auto",
    batch: Annotated[
        str, typer.Option(help="Segments rendered side by side; with commas: one size after another, as 1,4,16,64.")
    ] = "16",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all cores.", min=0)] = 0,
    seconds: Annotated[
        float | None, typer.Option(help="Length of a segment; by default what the model renders at most.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Also the published way: no cache, batch 1, fp32. Slow.")
    ] = True,
) -> None:
    """Measure how fast segments become audio, stage by stage, and what the machine allows; the last line is JSON."""

    def work() -> int:
        from jobs.bench.report import run_bench
        from jobs.bench.settings import BenchSettings, batch_sizes
        from jobs.errors import JobError

        try:
            settings = BenchSettings(size, device, precision, batch_sizes(batch), threads, seconds, published)
        except ValueError as error:
            raise JobError(str(error)) from None
        run_bench(settings)
        return 0

    finish(work)


def render_corpus() -> None:
    """The command ``render-corpus``."""
    _main(render_app)


def midi_valle() -> None:
    """The command ``midi-valle``."""
    _main(midi_valle_app())


def midi_valle_app() -> typer.Typer:
    """The verbs of ``midi-valle``."""
    from jobs.cli.evaluate import evaluate
    from jobs.cli.inspect import gc, report, status, verify
    from jobs.cli.models import models_app
    from jobs.cli.prepare import prepare
    from jobs.cli.train import train
    from jobs.cli.train_codec import train_codec

    app = typer.Typer(
        help="Everything around render-corpus.",
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )
    app.add_typer(models_app, name="models")
    app.add_typer(manifest_app, name="manifest")
    app.add_typer(prompts_app, name="prompts")
    app.command()(bench)
    for command in (status, report, verify, gc, prepare, train_codec, train, evaluate):
        app.command()(command)
    return app


def _main(app: typer.Typer) -> None:
    """Run a command. Typer's 2 for a wrong option becomes 1, like every other mistake."""
    try:
        app()
    except SystemExit as end:
        raise SystemExit(1 if end.code == 2 else end.code) from None
