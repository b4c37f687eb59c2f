"""Pages of listings: one after another, and read fast, as botocore's parser takes most of the time of a long one."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from jobs.errors import StorageError

_NEXT = {
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_multipart_uploads": {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"},
}
"""How the next page of a listing is asked for: parameters, and where a page says them."""

_LISTED = ("Key", "ETag", "Size", "LastModified")


def pages(operation: str, ask: Callable[[dict[str, str]], Any], place: str) -> Iterator[Any]:
    """The pages of a listing of a ``place``, each asked for with the parameters that the one before gives.

    StorageError if a server holds more and does not say how to ask for it.
    """
    after: dict[str, str] = {}
    while True:
        page = ask(after)
        yield page
        if not page.get("IsTruncated"):
            return
        before, after = after, {name: page[said] for name, said in _NEXT[operation].items() if page.get(said)}
        if not after or after == before:
            raise StorageError(f"cannot list {place}: the server holds more, but not how to ask for it")


def read_listings_fast(client: Any) -> None:
    """Let a client of S3 read the entries of a listing's pages without botocore's parser, which gets the rest.

    An entry has ``Key``, ``Size``, ``LastModified`` and, where the server tells it, ``ETag``, as with botocore.
    """
    client.meta.events.register("before-parse.s3.ListObjectsV2", _take_entries)


def parse_time(text: Any) -> datetime:
    """A time in an answer. botocore's parser knows all forms, but takes long for the one that servers use."""
    from botocore.utils import parse_timestamp

    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)
    return time if time.tzinfo else parse_timestamp(text)


def _take_entries(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **context: Any) -> None:
    """Move a page's entries from the body to what is put beside its parsed rest; botocore decodes their keys later."""
    if response_dict["status_code"] >= 300:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"])
    except ElementTree.ParseError:  # botocore says what is wrong.
        return
    space = root.tag.rpartition("ListBucketResult")[0]
    found = root.findall(f"{space}Contents")
    if not found:
        return
    customized_response_dict["Contents"] = [_entry(element, space) for element in found]
    for element in found:
        root.remove(element)
    response_dict["body"] = ElementTree.tostring(root)


def _entry(element: ElementTree.Element, space: str) -> dict[str, Any]:
    found = {name: text for name in _LISTED if (text := element.findtext(f"{space}{name}")) is not None}
    return found | {"Size": int(found["Size"]), "LastModified": parse_time(found["LastModified"])}
