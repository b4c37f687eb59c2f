"""What a user reads who types it wrong: the thing, and what to do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from tests.jobs.manifests.midi_folder import add_midi, melody

WRONG = [
    ("in", "give --prompt ID (midi-valle prompts list shows them), --prompts BANK or --prompt-column NAME"),
    ("in --prompt x --prompt-column y", "not a column beside the others"),
    ("in --prompt x --prompt x", "--prompt x is given twice"),
    ("in --prompt ''", "--prompt is empty"),
    ("in --prompts none.parquet", "none.parquet: there is no such file"),
    ("in --prompt x --prompts-each 2", "--prompts-each is 2, but only 1 prompt(s) are given"),
    ("in --prompt x --prompts-each 0", "--prompts-each is 0; it must be 1 or more"),
    ("in --prompt x --prompt-order alphabetical", "--prompt-order is 'alphabetical'; it must be one of round-robin"),
    ("in --prompt-column room", "--prompt-column room: there is no such column; no source is a table"),
    ("t.csv --prompt-column hall", "--prompt-column hall: there is no such column; the columns are midi, room"),
    ("t.csv --prompt-column room", "--prompt-column room: b.mid has no prompt there"),
    ("t.csv --prompt-column room --prompts-each 2", "--prompts-each does not go with --prompt-column"),
    ("in --prompt x --split half", "--split is 'half'; give three shares"),
    ("in --prompt x --split 0.8,0.2", "give three shares, of training, validation and test, as 0.8,0.1,0.1"),
    ("in --prompt x --split 0.8,0.1,0.2", "shares are 0 or more, add up to 1"),
    ("in --prompt x --split 0,0.5,0.5", "leave something for training"),
    ("in --prompt x --split 1.1,-0.1,0", "shares are 0 or more"),
    ("in --prompt x --split nan,0,0", "shares are 0 or more"),
    ("in --prompt x --split metadata", "--split metadata: split: there is no such column; no source is a table"),
    ("t.csv --prompt x --split metadata", "the columns are midi, room"),
    ("in --prompt x --split 0.8,0.1,0.1", "2 piece(s) are too few for 3 splits"),
    ("in --prompt x --piece opus", "--piece opus: there is no such column"),
    ("in --prompt x --augment pitch=1..2", "'pitch=1..2' is not understood: give NAME=LOWEST..HIGHEST, with a name of"),
    ("in --prompt x --augment transpose", "'transpose' is not understood"),
    ("in --prompt x --augment transpose=1-2", "'transpose=1-2' is not understood"),
    ("in --prompt x --augment ''", "'' is not understood"),
    ("in --prompt x --augment transpose=2..-2", "the lowest bound is above the highest; write transpose=-2..2"),
    ("in --prompt x --augment transpose=0.5..2", "give whole semitones, -24 to 24"),
    ("in --prompt x --augment transpose=-90..2", "give whole semitones, -24 to 24"),
    ("in --prompt x --augment tempo=0..2", "factors must be 0.25 to 4"),
    ("in --prompt x --augment velocity=1..20", "factors must be 0.25 to 4"),
    ("in --prompt x --augment tempo=1..2 --augment tempo=2", "--augment gives tempo twice"),
    ("in --prompt x --augment transpose=-2..2 tempo=.9..1.1", "write --augment before it as well, --augment tempo="),
    ("in --prompt x --copies 2", "--copies needs --augment"),
    ("in --prompt x --augment transpose=1..2 --copies 0", "--copies is 0; it must be 1 or more"),
    ("in --prompt x --augment tempo=1..2 --copies 5000", "--copies is 5000; it must be 1,000 at most"),
    ("in --prompt x --excerpt 0.5", "--excerpt is 0.5; it must be 1 second or more"),
    ("in --prompt x --excerpt nan", "--excerpt is nan; it must be 1 second or more"),
    ("in --prompt x --excerpt ten", "Invalid value for '--excerpt'"),
    ("in --prompt x --pedal model", "--pedal is 'model'; it must be one of extend, ignore"),
    ("in --prompt x --processes 0", "--processes is 0; it must be 1 or more"),
    ("in --prompt x --out m.csv", "--out is m.csv; a manifest is built as Parquet: give it the ending .parquet"),
    ("in --prompt x --out there.parquet", "there.parquet exists already; choose another --out, or remove it"),
    ("in --prompt x --out text.txt/m.parquet", "text.txt is a file; the output must be a folder"),
    ("in --prompt x --out ftp://host/m.parquet", "only local files and s3:// can be used"),
    ("in --prompt x --midi-root in", "--midi-root is where a table's files lie, but none of the sources is a table"),
    ("none --prompt x", "none: there is no such folder, .mid or .midi file or table"),
    ("none.mid --prompt x", "none.mid: there is no such folder, .mid or .midi file or table"),
    ("none.csv --prompt x", "none.csv: there is no such file"),
    ("text.txt --prompt x", "text.txt: neither a folder, nor a .mid or .midi file, nor a table of files"),
    ("empty --prompt x", "empty holds no .mid or .midi files"),
    ("empty/*.mid --prompt x", "empty/*.mid holds no .mid or .midi files"),
    ("ftp://host/in --prompt x", "ftp://host/in: only local files and s3:// can be used"),
    ("s3:// --prompt x", "names no bucket; it must be s3://bucket/prefix"),
    ("--prompt x", "Missing argument"),
    ("in --promt x", "No such option: --promt"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("in/a.mid", "in/b.mid", "b.mid"):
        add_midi(tmp_path, name, melody(len(name) + ord(name[-5])))
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.parquet").touch()
    (tmp_path / "text.txt").touch()
    (tmp_path / "t.csv").write_text("midi,room\nb.mid,\nin/a.mid,hall\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[words for words, _ in WRONG])
def test_a_wrong_invocation_is_answered_in_words(
    here: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    arguments = [word.strip("'") for word in words.split()]
    result = CliRunner().invoke(midi_valle_app(), ["manifest", "build", *arguments], env={"COLUMNS": "200"})
    printed = " ".join((result.output + capsys.readouterr().err).replace("│", " ").split())
    assert message in printed and result.exit_code != 0
    assert "Traceback" not in printed and sorted(here.rglob("*")) == before
