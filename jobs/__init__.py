"""Corpus-size work: the commands, planning, Ray, storage, commit and reports."""

import os

# Ray prints on stdout that a worker or a node died, with pages of its state; the driver tells it by itself.
# Ray reads this when it is imported.
os.environ.setdefault(
    "RAY_DEDUP_LOGS_SKIP_REGEX",
    "worker died or was killed|will be retried|has been marked dead|Raylet is terminated|lines of the Raylet logs",
)
