"""Any training's work in this process, or shared by several of Ray Train's."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from jobs.console import say
from jobs.errors import JobError
from jobs.signals import StopSignals
from jobs.training.train_codec_options import TrainCodecOptions
from jobs.training.train_options import TrainOptions
from renderer.training.team import Team
from renderer.weights.checkpoint import BUNDLED

FINISHED, INTERRUPTED = 0, 130
RETRIES = 3

Options = TypeVar("Options", TrainOptions, TrainCodecOptions)
Work = Callable[[Options, Team, str, Callable[[], bool]], bool]
"""From options, a place in the team, a device, and whether to stop, to whether all steps are done."""


def train_in_processes(options: Options, work: Work[Options]) -> int:
    """Train, or go on where an earlier call stopped; the command's exit code.

    With several workers, each does its share of every step. Corpus and folder must be where every node finds them; when
    a worker dies, all begin anew from the last checkpoint.
    """
    if options.workers > 1 or options.ray_address is not None:
        return _train_on_ray(options, work)
    _set_threads(options)
    with StopSignals(lambda: say("stopping after this step; the same command goes on from there")) as signals:
        is_done = work(options, Team(), options.device, lambda: signals.count > 0)
    return FINISHED if is_done else INTERRUPTED


def _train_on_ray(options: Options, work: Work[Options]) -> int:
    # Else what a worker prints is logged as well, and so shown twice.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    from jobs.cluster import connected_ray

    device = _device(options)
    out = Path(options.out).absolute()
    corpus = options.corpus if "://" in options.corpus else str(Path(options.corpus).absolute())
    options = replace(options, out=str(out), corpus=corpus, **_absolute(options, "codec", "init"))
    gpus = options.workers if device == "cuda" else 0
    with connected_ray(options, options.workers, gpus, show_logs=True):
        trainer = TorchTrainer(
            _work_of_one,
            train_loop_config={"options": options, "work": work, "device": device},
            torch_config=TorchConfig(backend="nccl" if device == "cuda" else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=options.workers,
                use_gpu=device == "cuda",
                resources_per_worker={"CPU": options.cpus_per_worker, **({"GPU": 1} if device == "cuda" else {})},
            ),
            run_config=RunConfig(name="ray", storage_path=str(out), failure_config=FailureConfig(max_failures=RETRIES)),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            raise JobError(f"the training's workers have failed {RETRIES + 1} times: {error}") from error
    return FINISHED


def _work_of_one(config: dict[str, Any]) -> None:
    """What Ray Train runs in each worker."""
    from ray import train
    from ray.train.torch import get_device

    options = config["options"]
    _set_threads(options)
    context = train.get_context()
    team = Team(context.get_world_rank(), context.get_world_size())
    device = str(get_device()) if config["device"] == "cuda" else "cpu"
    config["work"](options, team, device, lambda: False)


def _absolute(options: TrainOptions | TrainCodecOptions, *names: str) -> dict[str, Any]:
    """Of these options, those that name files and folders, as paths that do not depend on where a worker runs."""
    given = {name: getattr(options, name, None) for name in names}
    return {
        name: str(Path(value).absolute())
        for name, value in given.items()
        if value is not None and Path(value).exists() and not (BUNDLED / value).is_dir()
    }


def _set_threads(options: TrainOptions | TrainCodecOptions) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    elif options.workers > 1:
        torch.set_num_threads(options.cpus_per_worker)


def _device(options: TrainOptions | TrainCodecOptions) -> str:
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return options.device
