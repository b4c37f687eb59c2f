"""What one worker has of an archive that several share: its items' files, until the archive is put together."""

import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pyarrow as pa

from jobs.output.tar_archive import tar_members, write_members
from jobs.output.writers import Encoded, ItemEncoder

_AUDIO, _MIDI, _CODES = "audio", "midi", "codes"


def write_bundle(file: BinaryIO, results: pa.Table, read: Callable[[str], Encoded], encoder: ItemEncoder) -> None:
    """Write the files of the rows' items as a tar, whatever the archive is to be."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item_id in map(str, results["item_id"].to_pylist()):
            encoded = read(item_id)
            named = {_AUDIO: encoded.audio, _MIDI: encoded.midi, _CODES: encoded.codes}
            write_members(tar, {f"{item_id}.{kind}": data for kind, data in named.items() if data is not None})


def read_bundle(file: BinaryIO) -> Iterator[tuple[str, Encoded]]:
    """The items of a bundle by their ids, one in memory at a time. What was clipped is in their result rows."""
    item_id, found = "", dict[str, bytes]()
    for name, data in tar_members(file):
        owner, _, kind = name.rpartition(".")
        if owner != item_id and found:
            yield item_id, _encoded(found)
            found = {}
        item_id, found[kind] = owner, data
    if found:
        yield item_id, _encoded(found)


def _encoded(found: dict[str, bytes]) -> Encoded:
    return Encoded(found[_AUDIO], found[_MIDI], found.get(_CODES), clipped_samples=0)
