"""Corpus-size work: the commands, planning, Ray, storage, commit and reports."""

import os

# Ray prints on stdout that a worker died, which the driver tells by itself. It reads this when it is imported.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died or was killed|will be retried")
