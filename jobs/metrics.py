"""What a run's actors count for Prometheus, through the metrics that Ray exports on every node."""

from ray.util.metrics import Counter

from schemas.marker import Marker


class RunMetrics:
    """Items, failed items and seconds of audio of the shards that this actor has finished."""

    def __init__(self) -> None:
        self._items = Counter("render_corpus_items", "Items of finished shards, failed ones included.")
        self._failed = Counter("render_corpus_failed_items", "Failed items of finished shards.")
        self._audio = Counter("render_corpus_audio_seconds", "Seconds of audio of finished shards.")

    def add(self, marker: Marker) -> None:
        """Count a finished shard."""
        # Ray refuses to add zero.
        for counter, value in (
            (self._items, marker.items),
            (self._failed, marker.failed),
            (self._audio, marker.audio_seconds),
        ):
            if value > 0:
                counter.inc(value)
