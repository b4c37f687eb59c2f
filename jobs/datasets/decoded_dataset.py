"""A run that keeps codes, as a data set that decodes an item when it is asked for."""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import pyarrow as pa
from torch.utils.data import Dataset

from jobs.codes.coded_run import ITEM_FACTS, CodedRun, ItemDecoder, item_facts, read_codes
from jobs.datasets.sound import Sound
from jobs.errors import JobError
from jobs.result_notes import notes_of
from jobs.storage import S3Access
from renderer.segments import SegmentCodes
from schemas.marker import Marker

OPEN_SHARDS = 64
"""So many shards' codes and rows stay in memory; an hour of codes is about two megabytes."""


class _Place(NamedTuple):
    shard: int
    row: int


class _OpenShard(NamedTuple):
    rows: pa.Table
    codes: Mapping[str, Sequence[SegmentCodes]]


class DecodedDataset(Dataset[Sound]):
    """The rendered items of a run with ``--layout codes``, decoded to the samples that the run would have written.

    ``split`` and ``only_good`` choose among them. ``device`` decodes; in workers of a ``DataLoader`` that should be the
    CPU. ``model`` is the run's model directory, where it is not found by itself. JobError if there is no such run.
    """

    def __init__(
        self,
        run: str,
        *,
        split: str | None = None,
        only_good: bool = False,
        device: str = "cpu",
        model: str | None = None,
        s3_endpoint_url: str | None = None,
    ) -> None:
        self._coded = CodedRun.open(run, model, S3Access(s3_endpoint_url))
        self._device = device
        self._markers: dict[int, Marker] = {}
        self._places: list[_Place] = []
        for marker in self._coded.directory.markers():
            self._markers[marker.shard] = marker
            rows = self._coded.directory.result_rows(marker, ["status", "split", "verdict"]).to_pylist()
            self._places += [
                _Place(marker.shard, number)
                for number, row in enumerate(rows)
                if row["status"] == "ok"
                and (split is None or row.get("split") == split)
                and not (only_good and row["verdict"] != "good")
            ]
        if not self._places:
            raise JobError(f"{self._coded.storage.uri}: no item of it is chosen (split {split!r})")
        self._process = 0
        self._shards: OrderedDict[int, _OpenShard] = OrderedDict()
        self._decoder: ItemDecoder | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sound:
        place = self._places[index]
        self._be_in_this_process()
        shard = self._shard(place.shard)
        row = shard.rows.slice(place.row, 1)
        (facts,) = item_facts(row)
        rendering = self._open_decoder().rendering(facts, notes_of(row["notes"][0]), shard.codes[facts["codes_path"]])
        return Sound.of(facts["item_id"], rendering)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: not the codec, nor what was read."""
        return self.__dict__ | {"_process": 0, "_decoder": None, "_shards": OrderedDict()}

    def _be_in_this_process(self) -> None:
        """Begin anew in a process that was forked: connections and codec are the other's."""
        if self._process != os.getpid():
            self._coded = deepcopy(self._coded)
            self._process, self._decoder, self._shards = os.getpid(), None, OrderedDict()

    def _open_decoder(self) -> ItemDecoder:
        if self._decoder is None:
            self._decoder = ItemDecoder(self._coded.run, self._coded.decoder(self._device))
        return self._decoder

    def _shard(self, number: int) -> _OpenShard:
        if number not in self._shards:
            marker = self._markers[number]
            rows = self._coded.directory.result_rows(marker, [*ITEM_FACTS, "notes"])
            self._shards[number] = _OpenShard(rows, read_codes(self._coded.storage, marker))
        self._shards.move_to_end(number)
        while len(self._shards) > OPEN_SHARDS:
            self._shards.popitem(last=False)
        return self._shards[number]
