"""``midi-valle train-codec``."""

from typing import Annotated

import typer

from jobs.cli.finish import finish
from jobs.training.train_codec_options import TrainCodecOptions as Default

DATA, COURSE, MACHINE = "Data and codec", "Course of the training", "Machine and pace"


def train_codec(
    corpus: Annotated[str, typer.Argument(help="The folder or s3:// address of a prepared corpus.")],
    out: Annotated[
        str, typer.Option(help="The training's folder; the same command goes on there.", rich_help_panel=DATA)
    ] = Default.out,
    init: Annotated[
        str | None,
        typer.Option(help="Fine-tune: a codec or model directory, or audiocraft's file.", rich_help_panel=DATA),
    ] = Default.init,
    type: Annotated[
        str, typer.Option(help="Without --init: sinusoidal, encodec or frame.", rich_help_panel=DATA)
    ] = Default.type,
    name: Annotated[str, typer.Option(help="The trained codec's name.", rich_help_panel=DATA)] = Default.name,
    licence: Annotated[str, typer.Option(help="Its licence, for its card.", rich_help_panel=DATA)] = Default.licence,
    crop_seconds: Annotated[float, typer.Option(help="What is learned at a time.", rich_help_panel=DATA)] = (
        Default.crop_seconds
    ),
    s3_endpoint_url: Annotated[
        str | None, typer.Option(help="An S3 server other than Amazon's.", rich_help_panel=DATA)
    ] = Default.s3_endpoint_url,
    steps: Annotated[int, typer.Option(help="Until the rate is down.", rich_help_panel=COURSE)] = Default.steps,
    stop_at: Annotated[
        int | None, typer.Option(help="Stop earlier, at this step.", rich_help_panel=COURSE)
    ] = Default.stop_at,
    batch: Annotated[int, typer.Option(help="Crops a step.", rich_help_panel=COURSE)] = Default.batch,
    unquantized: Annotated[
        int, typer.Option(help="First steps, without codebooks.", rich_help_panel=COURSE)
    ] = Default.unquantized,
    shallow: Annotated[
        float, typer.Option(help="Share of crops with fewer codebooks.", rich_help_panel=COURSE)
    ] = Default.shallow,
    resolutions: Annotated[
        int, typer.Option(help="Of five, in each step's loss.", rich_help_panel=COURSE)
    ] = Default.resolutions,
    waveform: Annotated[
        float, typer.Option(help="Weight of the samples' differences.", rich_help_panel=COURSE)
    ] = Default.waveform,
    notes: Annotated[
        float, typer.Option(help="Weight of the notes that the codes must tell.", rich_help_panel=COURSE)
    ] = Default.notes,
    told: Annotated[
        float, typer.Option(help="Share of crops whose notes the decoder is told; sinusoidal.", rich_help_panel=COURSE)
    ] = Default.told,
    keep_codes: Annotated[
        bool, typer.Option(help="With --init: train the decoder alone.", rich_help_panel=COURSE)
    ] = Default.keep_codes,
    rate: Annotated[float, typer.Option(help="The highest learning rate.", rich_help_panel=COURSE)] = Default.rate,
    warmup: Annotated[int, typer.Option(help="Steps up to it.", rich_help_panel=COURSE)] = Default.warmup,
    decay: Annotated[
        str, typer.Option(help="cosine, inverse-sqrt or constant.", rich_help_panel=COURSE)
    ] = Default.decay,
    floor: Annotated[float, typer.Option(help="Lowest share of the rate.", rich_help_panel=COURSE)] = Default.floor,
    weight_decay: Annotated[float, typer.Option(rich_help_panel=COURSE)] = Default.weight_decay,
    clip_norm: Annotated[
        float, typer.Option(help="The gradient's largest norm.", rich_help_panel=COURSE)
    ] = Default.clip_norm,
    average_decay: Annotated[
        float, typer.Option(help="Of the weights' moving average.", rich_help_panel=COURSE)
    ] = Default.average_decay,
    adversary_from: Annotated[
        int | None, typer.Option(help="First step with discriminators.", rich_help_panel=COURSE)
    ] = Default.adversary_from,
    adversary_filters: Annotated[
        int, typer.Option(help="Their width; published: 32.", rich_help_panel=COURSE)
    ] = Default.adversary_filters,
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16 for matrix products.", rich_help_panel=COURSE)
    ] = Default.precision,
    seed: Annotated[int, typer.Option(help="Decides all that is drawn.", rich_help_panel=COURSE)] = Default.seed,
    log_every: Annotated[int, typer.Option(help="Steps.", rich_help_panel=MACHINE)] = Default.log_every,
    checkpoint_every: Annotated[int, typer.Option(help="Steps.", rich_help_panel=MACHINE)] = Default.checkpoint_every,
    validate_every: Annotated[
        int, typer.Option(help="Steps; 0: never.", rich_help_panel=MACHINE)
    ] = Default.validate_every,
    validation_crops: Annotated[
        int, typer.Option(help="Crops of a validation.", rich_help_panel=MACHINE)
    ] = Default.validation_crops,
    workers: Annotated[
        int, typer.Option(help="Processes of Ray Train that share each step.", rich_help_panel=MACHINE)
    ] = Default.workers,
    cpus_per_worker: Annotated[
        int, typer.Option(help="For each of several workers.", rich_help_panel=MACHINE)
    ] = Default.cpus_per_worker,
    threads: Annotated[int, typer.Option(help="0: as torch has it.", rich_help_panel=MACHINE)] = Default.threads,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MACHINE)] = Default.device,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster's, as auto.", rich_help_panel=MACHINE)
    ] = Default.ray_address,
) -> None:
    """Train a codec on a corpus, from random weights or those of a codec; run it again to go on."""
    options = dict(locals())

    def work() -> int:
        from jobs.training.train_codec import train_codec
        from jobs.training.train_codec_options import TrainCodecOptions

        return train_codec(TrainCodecOptions(**options))

    finish(work)
