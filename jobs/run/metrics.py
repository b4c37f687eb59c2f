"""What a run tells Prometheus, through the metrics that Ray exports on every node."""

import os
import string
from urllib.parse import quote

from ray.util.metrics import Gauge

from jobs.run_directory.totals import Totals


class RunMetrics:
    """A run's items, failed items and seconds of audio, as its driver sums them up.

    Gauges, because they are what the run holds now: an item that is rendered again counts once, and what an
    earlier session finished counts too. ``run`` says where the run's folder is; what is not ASCII, which Ray
    does not take, is percent-encoded.
    """

    def __init__(self, place: str) -> None:
        self._tags = {"run": quote(os.fsencode(place), safe=string.printable)}
        self._items = self._gauge("render_corpus_items", "Items of finished shards, failed ones included.")
        self._failed = self._gauge("render_corpus_failed_items", "Failed items of finished shards.")
        self._audio = self._gauge("render_corpus_audio_seconds", "Seconds of audio of finished shards.")

    def show(self, totals: Totals) -> None:
        """Tell how much there is now."""
        self._items.set(totals.items)
        self._failed.set(totals.failed)
        self._audio.set(totals.audio_seconds)

    def _gauge(self, name: str, description: str) -> Gauge:
        gauge = Gauge(name, description, tag_keys=tuple(self._tags))
        gauge.set_default_tags(self._tags)
        return gauge
