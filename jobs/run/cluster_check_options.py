"""What a user may ask of ``midi-valle cluster check``."""

from dataclasses import dataclass
from typing import Annotated

from jobs.option import Option


@dataclass(frozen=True, kw_only=True)
class ClusterCheckOptions:
    """The options of the check: those of the run that is to follow. Without ``out``, no storage is looked at."""

    ray_address: Annotated[str, Option("The cluster; auto on its head.")] = "auto"
    model: Annotated[str, Option("mini, midi-valle, or a model directory.")] = "mini"
    out: Annotated[str | None, Option("Where the run is to go, as s3://bucket/prefix.")] = None
    s3_endpoint_url: Annotated[str | None, Option("S3 server, where it is not Amazon's.")] = None
