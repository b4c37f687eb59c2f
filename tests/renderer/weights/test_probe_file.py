"""The probe beside a codec's weights: written and read, and never taken for another codec's."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from renderer.errors import CheckpointError
from renderer.quality.codes_probe import CodesProbe
from renderer.weights.checkpoint import BUNDLED, describe, find_codec, load_codec
from renderer.weights.probe_file import PROBE_FILE, codebook_rows, load_probe, write_probe

MINI = BUNDLED / "mini"


def bundled() -> CodesProbe:
    probe = load_probe(MINI, load_codec(find_codec("mini")))
    assert probe is not None
    return probe


def test_a_probe_is_read_as_it_was_written_and_is_no_part_of_what_a_model_is(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    shutil.copytree(MINI, folder)
    (folder / PROBE_FILE).unlink()
    codec = load_codec(find_codec(str(folder)))
    assert load_probe(folder, codec) is None
    before = describe(folder).fingerprint()
    write_probe(folder, bundled())
    found = load_probe(folder, codec)
    assert found is not None and found.frame_rate == 50
    assert np.array_equal(found.weight, bundled().weight) and np.array_equal(found.bias, bundled().bias)
    assert np.array_equal(found.tables, codebook_rows(codec))
    assert describe(folder).fingerprint() == before  # Runs that began without it go on.
    assert (folder / PROBE_FILE).stat().st_mode == (folder / "codec.safetensors").stat().st_mode
    assert [path.name for path in folder.glob(".*")] == []


def test_a_probe_of_another_codec_or_half_of_one_is_refused(tmp_path: Path) -> None:
    codec = load_codec(find_codec("mini"))
    content = (MINI / PROBE_FILE).read_bytes()
    (tmp_path / PROBE_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"probe\.safetensors cannot be read as a probe"):
        load_probe(tmp_path, codec)
    (tmp_path / PROBE_FILE).write_bytes(content)
    with torch.no_grad():
        codec.codebook_tables()[0][0, 0] += 1
    with pytest.raises(CheckpointError, match="is of another codec; remove it, or make it anew"):
        load_probe(tmp_path, codec)
