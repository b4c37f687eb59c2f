"""The room's README: its commands, run one after the other where they find what they name."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import jobs.manifests
from jobs.cli.commands import midi_valle_app
from schemas.manifest import Manifest
from tests.jobs.manifests.midi_folder import add_midi, melody
from tests.jobs.manifests.test_dataset_tables import MAESTRO, MAESTRO_ROWS, table
from tests.test_readmes import blocks, commands, words_of

README = Path(jobs.manifests.__file__).with_name("README.md")


def test_the_readme_s_commands_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        add_midi(tmp_path, f"corpus/{number}.mid", melody(number, 40))
    table(tmp_path / "maestro-v3.0.0" / "maestro-v3.0.0.csv", MAESTRO, MAESTRO_ROWS[0])
    add_midi(tmp_path, "maestro-v3.0.0/2018/berg-1.midi")
    monkeypatch.chdir(tmp_path)
    run = [words_of(line) for line, can in commands(README) if can]
    for words in run:
        result = CliRunner().invoke(midi_valle_app(), words[1:])
        assert result.exit_code == 0, f"{words}\n{result.output}"
    rows = {path.stem: Manifest.open(path).row_count for path in sorted(tmp_path.glob("*[!s].parquet"))}
    assert rows == {"cut": 20, "maestro": 1, "manifest": 10, "more": 40, "several": 10}


def test_the_readme_names_every_column_of_the_table_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("a.mid", None), ("b.mid", b"")):
        path = add_midi(tmp_path, f"corpus/{name}")
        if content is not None:
            path.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    words = next(words_of(line) for line, _ in commands(README))
    CliRunner().invoke(midi_valle_app(), words[1:])
    names = pq.read_schema("manifest.files.parquet").names
    assert all(f"`{name}`" in README.read_text("utf-8") for name in names)
    said: dict[str, object] = {}
    exec(blocks(README, "python")[0], said)
    assert said["unusable"].num_rows == 1  # type: ignore[attr-defined]
