"""What clips is what is written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.shard.thresholds import Thresholds
from renderer.quality.quality import QualityThresholds
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend
from tests.schemas.test_run_document import SETTINGS


@pytest.mark.parametrize("level", [{}, {"loudness": -23.0}, {"peak": -1.0}])
def test_takes_may_go_beyond_full_scale_only_where_their_level_is_changed(
    tmp_path: Path, level: dict[str, Any]
) -> None:
    manifest = make_corpus(tmp_path, ["a"])
    settings = prepare(RenderOptions(manifest=str(manifest), actors=1, device="cpu"), DummyBackend()).run.settings
    chosen = {"clipped": 0.25, "silence": 2.0, "codes_match": 0.5}
    found = Thresholds.of(replace(settings, thresholds=chosen, **level))
    assert found.written == QualityThresholds(**chosen)
    assert found.takes == replace(found.written, clipped=1.0 if level else 0.25)


def test_a_run_that_began_without_a_threshold_goes_on_without_it() -> None:
    found = Thresholds.of(replace(SETTINGS, thresholds={"silence": 2.0}))
    assert found.written == QualityThresholds(silence=2.0, codes_match=0.0)
