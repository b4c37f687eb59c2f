"""``midi-valle train``."""

from typing import Annotated

import typer

from jobs.cli.finish import finish
from jobs.training.train_options import TrainOptions

DATA, NETWORK, COURSE, MACHINE = "Data", "Network", "Course of the training", "Machine and pace"


def train(
    corpus: Annotated[str, typer.Argument(help="A pack, or the folder or s3:// address of a corpus with codes.")],
    out: Annotated[
        str, typer.Option(help="The training's folder; the same command goes on there.", rich_help_panel=DATA)
    ] = TrainOptions.out,
    codec: Annotated[
        str | None, typer.Option(help="Model whose codec made the codes; that of --init.", rich_help_panel=DATA)
    ] = TrainOptions.codec,
    longest: Annotated[
        float, typer.Option(help="Seconds of the longest segments, without the prompt.", rich_help_panel=DATA)
    ] = TrainOptions.longest,
    shortest: Annotated[
        float, typer.Option(help="Seconds of the shortest segments.", rich_help_panel=DATA)
    ] = TrainOptions.shortest,
    longest_share: Annotated[
        float, typer.Option(help="Share of segments that are as long as can be.", rich_help_panel=DATA)
    ] = TrainOptions.longest_share,
    cross_prompt: Annotated[
        float, typer.Option(help="Share of segments prompted by another piece.", rich_help_panel=DATA)
    ] = TrainOptions.cross_prompt,
    drop_prompt: Annotated[
        float,
        typer.Option(help="Share of segments without a prompt's codes, for guidance by it.", rich_help_panel=DATA),
    ] = TrainOptions.drop_prompt,
    s3_endpoint_url: Annotated[
        str | None, typer.Option(help="An S3 server other than Amazon's.", rich_help_panel=DATA)
    ] = TrainOptions.s3_endpoint_url,
    init: Annotated[
        str | None,
        typer.Option(help="Begin with these weights: mini, midi-valle, or a directory.", rich_help_panel=NETWORK),
    ] = TrainOptions.init,
    size: Annotated[
        str, typer.Option(help="Without --init: mini or published.", rich_help_panel=NETWORK)
    ] = TrainOptions.size,
    d_model: Annotated[
        int | None, typer.Option(help="In place of the size's.", rich_help_panel=NETWORK)
    ] = TrainOptions.d_model,
    heads: Annotated[
        int | None, typer.Option(help="In place of the size's.", rich_help_panel=NETWORK)
    ] = TrainOptions.heads,
    layers: Annotated[
        int | None, typer.Option(help="Of each decoder, in place of the size's.", rich_help_panel=NETWORK)
    ] = TrainOptions.layers,
    piano_roll: Annotated[
        bool,
        typer.Option(
            "--piano-roll/--no-piano-roll",
            help="Tell each audio frame what is struck and held, unlike the published network: it learns far sooner.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.piano_roll,
    summary_width: Annotated[
        int,
        typer.Option(
            help="Width of a network that tells each frame what the prompt sounds like; 0: none, as published.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.summary_width,
    name: Annotated[str, typer.Option(help="The trained model's name.", rich_help_panel=NETWORK)] = TrainOptions.name,
    licence: Annotated[
        str, typer.Option(help="The trained model's licence, for its card.", rich_help_panel=NETWORK)
    ] = TrainOptions.licence,
    stages: Annotated[
        str, typer.Option(help="both, or ar or nar alone.", rich_help_panel=COURSE)
    ] = TrainOptions.stages,
    all_nar_stages: Annotated[
        bool, typer.Option("--all-nar-stages", help="All, not one at random.", rich_help_panel=COURSE)
    ] = TrainOptions.all_nar_stages,
    train_end: Annotated[
        bool, typer.Option("--train-end", help="Teach the end code, as published.", rich_help_panel=COURSE)
    ] = TrainOptions.train_end,
    steps: Annotated[int, typer.Option(help="Until the rate is down.", rich_help_panel=COURSE)] = TrainOptions.steps,
    minutes: Annotated[
        float,
        typer.Option(help="Do as many steps as fit into them, in place of --steps.", rich_help_panel=COURSE),
    ] = TrainOptions.minutes,
    stop_at: Annotated[
        int | None, typer.Option(help="Stop earlier, at this step.", rich_help_panel=COURSE)
    ] = TrainOptions.stop_at,
    batch: Annotated[int, typer.Option(help="Windows a step.", rich_help_panel=COURSE)] = TrainOptions.batch,
    rate: Annotated[float, typer.Option(help="The highest learning rate.", rich_help_panel=COURSE)] = TrainOptions.rate,
    warmup: Annotated[int, typer.Option(help="Steps up to it.", rich_help_panel=COURSE)] = TrainOptions.warmup,
    decay: Annotated[
        str, typer.Option(help="cosine, inverse-sqrt or constant.", rich_help_panel=COURSE)
    ] = TrainOptions.decay,
    floor: Annotated[
        float, typer.Option(help="Lowest share of the rate.", rich_help_panel=COURSE)
    ] = TrainOptions.floor,
    dropout: Annotated[float, typer.Option(help="Published: 0.1.", rich_help_panel=COURSE)] = TrainOptions.dropout,
    weight_decay: Annotated[
        float, typer.Option(help="Matrices alone.", rich_help_panel=COURSE)
    ] = TrainOptions.weight_decay,
    clip_norm: Annotated[
        float, typer.Option(help="The gradient's largest norm.", rich_help_panel=COURSE)
    ] = TrainOptions.clip_norm,
    average_decay: Annotated[
        float, typer.Option(help="Of the weights' moving average.", rich_help_panel=COURSE)
    ] = TrainOptions.average_decay,
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16 for matrix products.", rich_help_panel=COURSE)
    ] = TrainOptions.precision,
    seed: Annotated[int, typer.Option(help="Decides all that is drawn.", rich_help_panel=COURSE)] = TrainOptions.seed,
    micro_batch: Annotated[
        int, typer.Option(help="Windows computed at a time.", rich_help_panel=MACHINE)
    ] = TrainOptions.micro_batch,
    log_every: Annotated[int, typer.Option(help="Steps.", rich_help_panel=MACHINE)] = TrainOptions.log_every,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps.", rich_help_panel=MACHINE)
    ] = TrainOptions.checkpoint_every,
    validate_every: Annotated[
        int, typer.Option(help="Steps; 0: never.", rich_help_panel=MACHINE)
    ] = TrainOptions.validate_every,
    validation_windows: Annotated[
        int, typer.Option(help="Windows of a validation.", rich_help_panel=MACHINE)
    ] = TrainOptions.validation_windows,
    sample_every: Annotated[
        int, typer.Option(help="Steps between samples to listen to; 0: none.", rich_help_panel=MACHINE)
    ] = TrainOptions.sample_every,
    samples: Annotated[int, typer.Option(help="How many.", rich_help_panel=MACHINE)] = TrainOptions.samples,
    transcriber: Annotated[
        str | None, typer.Option(help="Judge the samples' notes: transkun or basic-pitch.", rich_help_panel=MACHINE)
    ] = TrainOptions.transcriber,
    workers: Annotated[
        int, typer.Option(help="Processes of Ray Train that share each step.", rich_help_panel=MACHINE)
    ] = TrainOptions.workers,
    cpus_per_worker: Annotated[
        int, typer.Option(help="For each of several workers.", rich_help_panel=MACHINE)
    ] = TrainOptions.cpus_per_worker,
    threads: Annotated[int, typer.Option(help="0: as torch has it.", rich_help_panel=MACHINE)] = TrainOptions.threads,
    readers: Annotated[
        int | None,
        typer.Option(
            help="Processes that draw windows from a pack ahead; by default all processors beside a GPU.",
            rich_help_panel=MACHINE,
        ),
    ] = TrainOptions.readers,
    compile: Annotated[
        bool, typer.Option("--compile", help="Let torch compile the decoders first.", rich_help_panel=MACHINE)
    ] = TrainOptions.compile,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MACHINE)] = TrainOptions.device,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster's, as auto.", rich_help_panel=MACHINE)
    ] = TrainOptions.ray_address,
) -> None:
    """Train the language model on a corpus, from random weights or those of a model; run it again to go on."""
    options = dict(locals())

    def work() -> int:
        from jobs.training.train_model import train_model

        return train_model(TrainOptions(**options))

    finish(work)
