"""A manifest as a data set that renders an item when it is asked for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch.utils.data import Dataset

from jobs.datasets.sound import Sound
from jobs.errors import JobError
from jobs.option import common_values
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.shard.backend import Backend, CorpusRenderer
from jobs.shard.items import ItemReader, item_seed
from renderer.audio.loudness import Level
from renderer.decoding.sampling import Sampling
from renderer.errors import RendererError
from renderer.rendering import RenderRequest
from renderer.steps import render_all


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A renderer in this process, and what reads the rows for it."""

    process: int
    renderer: CorpusRenderer
    reader: ItemReader


class RenderedDataset(Dataset[Sound]):
    """The rows of a manifest, rendered to the samples that ``render-corpus`` would have written.

    An index decides what is rendered, whoever asks for it, when, and beside what. There are ``copies`` of each row,
    with other noise: ``index`` is row ``index % rows`` and its copy ``index // rows``, of which the first is the run's
    own. A ``DataLoader`` asks for a batch at once, which is rendered side by side.

    ``split`` chooses among the rows. ``device`` (cpu, cuda or cuda:N) renders; each worker of a ``DataLoader`` has a
    renderer of its own, and must be spawned for it to be on a GPU. ``options`` are those of ``render-corpus``, as
    ``model``, ``prompts``, ``seed``, ``sample_rate``, ``loudness``. JobError, TableError or RendererError say what is
    wrong with manifest or options; an item that cannot be rendered raises a JobError when it is asked for.
    """

    def __init__(
        self,
        manifest: str,
        *,
        split: str | None = None,
        copies: int = 1,
        device: str = "cpu",
        backend: Backend | None = None,
        **options: Any,
    ) -> None:
        if copies < 1:
            raise JobError(f"copies is {copies}; it must be 1 or more")
        kind: Any = device.partition(":")[0]
        job = prepare(RenderOptions(manifest=manifest, device=kind, layout="none", **options), backend)
        self._run, self._bank, self._inputs, self._backend = job.run, job.bank, job.inputs, job.backend
        rows = list(job.manifest.rows())[: job.run.items]
        self._rows = [row for row in rows if split is None or row.split == split]
        if not self._rows:
            raise JobError(f"{manifest}: no row has the split {split!r}")
        self._copies, self._device = copies, device
        self._loaded: _Loaded | None = None

    def __len__(self) -> int:
        return len(self._rows) * self._copies

    def __getitem__(self, index: int) -> Sound:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sound]:
        """The items of a batch, in the order of their indices."""
        loaded, settings = self._load(), self._run.settings
        sampling = Sampling(**common_values(Sampling, settings))
        level = Level(settings.loudness, settings.peak)
        requests = [self._request(loaded.reader, place, index) for place, index in enumerate(indices)]
        sounds: dict[int, Sound] = {}
        try:
            for rendering in render_all(loaded.renderer, requests, sampling):
                place = int(rendering.item_id)
                written = rendering.resampled(settings.sample_rate).levelled(level)
                sounds[place] = Sound.of(self._row(indices[place]).item_id, written)
        except BaseException:
            loaded.renderer.clear()
            raise
        return [sounds[place] for place in range(len(indices))]

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: not the renderer."""
        return self.__dict__ | {"_loaded": None}

    def _row(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} items")
        return self._rows[index % len(self._rows)]

    def _request(self, reader: ItemReader, place: int, index: int) -> RenderRequest:
        """What to render; in a batch, it is called by its place, as the same row may be there twice."""
        row, copy = self._row(index), index // len(self._rows)
        try:
            request = reader.request(row)
        except (RendererError, JobError) as error:
            raise JobError(f"item {row.item_id!r} cannot be rendered: {error}") from None
        seed = item_seed(request.seed, f"{row.item_id}/{copy}") if copy else request.seed
        return replace(request, item_id=str(place), seed=seed)

    def _load(self) -> _Loaded:
        if self._loaded is None or self._loaded.process != os.getpid():
            renderer = self._backend.load(self._device)
            reader = ItemReader(self._run.settings, self._run.manifest_path, self._bank, self._inputs, renderer)
            self._loaded = _Loaded(os.getpid(), renderer, reader)
        return self._loaded
