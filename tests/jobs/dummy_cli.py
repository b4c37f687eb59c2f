"""`render-corpus` with the dummy renderer, as a process of its own."""

import os

from jobs.cli import render_app
from tests.jobs.dummy import DummyBackend

if __name__ == "__main__":
    seconds = float(os.environ.get("DUMMY_SECONDS_PER_ITEM", "0"))
    render_app(obj=lambda options: DummyBackend(seconds))
