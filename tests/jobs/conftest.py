"""Ray, started once for all tests that run in this process, and places to write to."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.support.s3_server import ENVIRONMENT, S3Server, free_ports, running_s3_server
from tests.jobs.support.small_disk import SmallDisk, mounted_small_disk


@pytest.fixture(scope="session", autouse=True)
def aws_environment() -> Iterator[pytest.MonkeyPatch]:
    """Credentials that the test server and Ray know; set before Ray starts, whose workers get what is set then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "120")  # Its own 30 are too few on a busy machine.
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        yield patch


@pytest.fixture(scope="session")
def s3(aws_environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, which the environment names."""
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        aws_environment.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray with 4 CPUs and 2 GPUs that do not exist, at a port where metrics are read."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        _metrics_export_port=free_ports(1)[0],
    )
    yield
    ray.shutdown()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 256 KiB."""
    with mounted_small_disk(tmp_path / "small") as disk:
        yield disk


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a run goes."""
    return tmp_path / "out"
