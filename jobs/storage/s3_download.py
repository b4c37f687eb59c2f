"""Reading an object whose content arrives in pieces: a read that is cut short goes on where it was."""

from typing import Any, BinaryIO

from jobs.storage.s3_errors import PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE, status

CONTENTS = 5
"""So many different contents of an object are begun to be read, if it is replaced again and again."""

CHUNK_BYTES = 1 << 20


class Download:
    """One object's content on its way to an empty ``file``. ``place`` names bucket and key."""

    def __init__(self, client: Any, place: dict[str, str], file: BinaryIO) -> None:
        self._client, self._place, self._file = client, place, file
        self._contents = 1
        self.etag = ""
        """Of what is read; known when it is."""

    def read_on(self) -> None:
        """Read what is not there yet; from the beginning, if the object is another one now."""
        from botocore.exceptions import ClientError, FlexibleChecksumError

        try:
            self._read_rest()
        except (FlexibleChecksumError, ClientError) as error:
            is_another = isinstance(error, FlexibleChecksumError) or status(error) in (
                PRECONDITION_FAILED,
                RANGE_NOT_SATISFIABLE,
            )
            if not is_another or self._contents == CONTENTS:
                raise
            self._contents += 1
            self._file.seek(0)
            self._file.truncate()
            self.read_on()

    def _read_rest(self) -> None:
        # What is added to the first part must be of the same content.
        rest = {"Range": f"bytes={self._file.tell()}-", "IfMatch": self.etag} if self._file.tell() else {}
        response = self._client.get_object(**self._place, **rest)
        self.etag = response["ETag"]
        for chunk in response["Body"].iter_chunks(CHUNK_BYTES):
            self._file.write(chunk)
