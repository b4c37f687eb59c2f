"""What a format of exports is: how a shard's items are placed in the folder, and how they are listed."""

from typing import Protocol

from jobs.exports.card import Card
from jobs.exports.chosen import ChosenShard


class ExportFormat(Protocol):
    """A data set's layout. ``layout`` tells people how the files lie."""

    @property
    def layout(self) -> str:
        """A paragraph of Markdown for the card."""
        ...

    def place(self, shard: ChosenShard) -> None:
        """Put a shard's audio into the folder, as far as it is not there. Several threads may call this."""
        ...

    def list(self, shard: ChosenShard) -> None:
        """Add a shard's items to the lists that the layout has; shards come in the manifest's order."""
        ...

    def finish(self, card: Card) -> None:
        """Write the lists and the card."""
        ...
