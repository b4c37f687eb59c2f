"""How S3 is reached, as a user says it: the same options for all commands that may read or write there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from jobs.option import Option

if TYPE_CHECKING:
    from jobs.storage import S3Access

STORAGE = "Storage"


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """Options that others take over. ``None`` stands for: as the AWS environment or profile says."""

    s3_endpoint_url: Annotated[str | None, Option("S3 server, where it is not Amazon's.", STORAGE)] = None
    s3_addressing: Annotated[str | None, Option("Where the bucket's name stands: path, virtual, auto.", STORAGE)] = None
    s3_requester_pays: Annotated[bool, Option("Agree to pay for what is read.", STORAGE)] = False
    s3_encryption: Annotated[str | None, Option("What is asked for when writing: AES256, aws:kms[:KEY].", STORAGE)] = (
        None
    )
    storage_patience: Annotated[float, Option("Seconds for which a silent S3 server is waited for.", STORAGE)] = 300.0

    @property
    def s3(self) -> "S3Access":
        """How an S3 server is reached; JobError for what cannot be."""
        from jobs.storage import Patience, S3Access

        return S3Access(
            self.s3_endpoint_url,
            self.s3_addressing,
            self.s3_requester_pays,
            self.s3_encryption,
            Patience(self.storage_patience),
        )
