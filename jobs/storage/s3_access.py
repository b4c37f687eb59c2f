"""How an S3 server is reached: where it is, what it demands, and how long it is waited for."""

import os
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from jobs.errors import JobError
from jobs.storage.s3_listing import parse_time, read_listings_fast
from renderer.patience import Patience

MOST_CONNECTIONS = 32
"""Kept open for the threads that use a storage side by side."""

ADDRESSING = ("path", "virtual", "auto")
_CHECKSUMS = "request_checksum_calculation"


@dataclass(frozen=True)
class S3Access:
    """The way to a server, chosen where a run begins: the environment of other machines may be another.

    ``endpoint_url`` None is Amazon's server, or the environment's. ``addressing`` says where the bucket's name stands:
    in the ``path`` or the host (``virtual``); None is as the AWS profile says, or else what most servers know.
    ``requester_pays`` agrees to pay for reading; ``encryption`` is asked for when objects are written: ``AES256``,
    ``aws:kms``, or ``aws:kms:KEY``. JobError for what cannot be.
    """

    endpoint_url: str | None = None
    addressing: str | None = None
    requester_pays: bool = False
    encryption: str | None = None
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if self.addressing is not None and self.addressing not in ADDRESSING:
            raise JobError(f"S3 addressing is {self.addressing!r}; it must be one of {', '.join(ADDRESSING)}")
        if self.encryption is not None and self.encryption.partition(":")[0] not in ("AES256", "aws"):
            raise JobError(f"S3 encryption is {self.encryption!r}; it must be AES256, aws:kms or aws:kms:KEY")
        if not self.patience.seconds >= 0:
            raise JobError(f"the storage is waited for {self.patience.seconds:g} s; it must be 0 or more")

    def chosen(self) -> "S3Access":
        """The same with the environment's endpoint, if none is given."""
        return replace(self, endpoint_url=_chosen_endpoint(self.endpoint_url))

    def client(self) -> tuple[Any, bool]:
        """A client whose requests are sent once, and whether it signs them: without credentials it cannot.

        Credentials are found by the usual AWS chain (environment, profile, role of the machine).
        """
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        session = boto3.session.Session()
        session._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
        profile = session._session.get_scoped_config()
        options: dict[str, Any] = {}
        if self.endpoint_url and not (os.environ.get(f"AWS_{_CHECKSUMS.upper()}") or profile.get(_CHECKSUMS)):
            # Trailing checksums are what many servers refuse, or store as if they were content.
            options[_CHECKSUMS] = "when_required"
        is_signed = session.get_credentials() is not None
        if not is_signed:
            options["signature_version"] = UNSIGNED
        client = session.client(
            "s3",
            endpoint_url=self.endpoint_url,
            # The region says nothing to other servers, but signatures need one.
            region_name=session.region_name or ("us-east-1" if self.endpoint_url or not is_signed else None),
            config=Config(
                # Who repeats requests is Persistence alone: botocore's own quota is shared by all threads of a client.
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=MOST_CONNECTIONS,
                connect_timeout=10,
                read_timeout=60,
                s3={"addressing_style": self._style(profile)},
                **options,
            ),
        )
        read_listings_fast(client)
        if self.requester_pays:
            client.meta.events.register("before-sign.s3", _adding({"x-amz-request-payer": "requester"}))
        if self.encryption is not None:
            for operation in ("PutObject", "CreateMultipartUpload"):
                client.meta.events.register(f"before-sign.s3.{operation}", _adding(_encryption(self.encryption)))
        return client, is_signed

    def _style(self, profile: Any) -> str:
        section = profile.get("s3")
        stated = section.get("addressing_style") if isinstance(section, dict) else None
        return self.addressing or stated or ("path" if self.endpoint_url else "auto")


def _adding(headers: dict[str, str]) -> Any:
    def add(request: Any, **context: Any) -> None:
        for name, value in headers.items():
            request.headers[name] = value

    return add


def _encryption(wanted: str) -> dict[str, str]:
    if not wanted.startswith("aws:kms:"):
        return {"x-amz-server-side-encryption": wanted}
    key = wanted.removeprefix("aws:kms:")
    return {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": key}


def _chosen_endpoint(url: str | None) -> str | None:
    """The S3 server: the one given, else the environment's, else (None) Amazon's; JobError if it cannot be one."""
    url = url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not url:
        return None
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise JobError("the S3 endpoint URL holds a user name; credentials belong in the AWS environment or profile")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise JobError(f"{url}: not an S3 endpoint URL; it must begin with http:// or https://")
    return url
