"""The tables of four datasets with their own headings; rows and files are made up."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from schemas.manifest import Manifest
from tests.jobs.manifests.midi_folder import add_midi, build, files_of, values

MAESTRO = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"
MAESTRO_ROWS = (
    '"Alban Berg","Sonata Op. 1",train,2018,2018/berg-1.midi,2018/berg-1.wav,698.661160312',
    '"Alban Berg","Sonata Op. 1",train,2008,2008/berg-2.midi,2008/berg-2.wav,759.518470719',
    '"Alban Berg","Sonata Op. 2",validation,2008,2008/berg-3.midi,2008/berg-3.wav,9.5',
)
ATEPP = "artist,artist_id,track,track_duration,composer,composition_id,score_path,midi_path,youtube_links,notes,"
ATEPP_ROWS = (
    'A Pianist,6,"Mélodie, Op. 3",218.253,A Composer,0,,"A_Composer/Mélodie,_Op._3/00001.mid",https://x.org/1,,',
    'Another,7,"Mélodie, Op. 3",220,A Composer,0,s.mxl,"A_Composer/Mélodie,_Op._3/00002.mid",https://x.org/2,slow,',
)
GIANT = (
    "surname\tfirstname\tmusic\tnationality\tbirth\tdeath\tyoutube_title\tyoutube_id\tsimilarity\tpiano_solo_prob\t"
    "audio_name\taudio_duration\tgiant_midi_piano\tsplit\tsurname_in_youtube_title"
)
GIANT_ROWS = (
    "Aa\tMichael\tCourse\tunknown\t0012\t1990\tTitle\tV8W\t0.75\t0.99\tAa, Michael, Piano, V8W\t61.5\t1\ttest\t1",
    "Aa\tMichael\tOther\tunknown\tunknown\tunknown\tTitle\tV8X\t0.1\t0.01\tAa, Michael, Other, V8X\t70\t0\ttrain\t1",
    "Bb\tAnna\tSong\tunknown\tunknown\tunknown\t\t\t\t\t\t\t\t\t",
)
ASAP = (
    "composer,title,folder,xml_score,midi_score,midi_performance,performance_annotations,midi_score_annotations,"
    "maestro_midi_performance,maestro_audio_performance,start,end,audio_performance"
)
ASAP_ROWS = tuple(
    f"Bach,Fugue_bwv_846,{d},{d}/xml_score.musicxml,{d}/midi_score.mid,{d}/{n}.mid,{d}/{n}.txt,{d}/s.txt,"
    f"{{maestro}}/2006/x.midi,,{start},,{d}/{n}.wav"
    for d, n, start in (("Bach/Fugue/bwv_846", "Shi05M", "144.5677"), ("Bach/Fugue/bwv_846", "Lee01M", ""))
)


def table(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_maestro_with_its_splits_years_and_durations(tmp_path: Path) -> None:
    for name in ("2018/berg-1.midi", "2008/berg-2.midi", "2008/berg-3.midi"):
        add_midi(tmp_path, name)
    rows = build(tmp_path / "m.parquet", table(tmp_path / "maestro-v3.0.0.csv", MAESTRO, *MAESTRO_ROWS))
    assert values(rows, "item_id") == ["2008-berg-2", "2008-berg-3", "2018-berg-1"]
    assert values(rows, "split") == ["train", "validation", "train"]
    assert values(rows, "piece") == [f"Alban Berg / Sonata Op. {number}" for number in (1, 2, 1)]
    assert values(rows, "year") == [2008, 2008, 2018] and rows[0]["duration"] == 759.518470719
    assert values(rows, "midi_filename")[0] == "2008/berg-2.midi" and "source_split" not in rows[0]
    Manifest.open(tmp_path / "m.parquet").validate()


def test_maestro_s_json_is_its_csv(tmp_path: Path) -> None:
    for name in ("2018/berg-1.midi", "2008/berg-2.midi", "2008/berg-3.midi"):
        add_midi(tmp_path, name)
    of_csv = build(tmp_path / "a.parquet", table(tmp_path / "maestro-v3.0.0.csv", MAESTRO, *MAESTRO_ROWS))
    names = MAESTRO.split(",")
    lines = [dict(zip(names, line.replace('"', "").split(","), strict=True)) for line in MAESTRO_ROWS]
    typed = [{**line, "year": int(line["year"]), "duration": float(line["duration"])} for line in lines]
    by_column = {name: {str(place): line[name] for place, line in enumerate(typed)} for name in names}
    for number, content in enumerate((by_column, typed)):  # Version 3's, and version 2's.
        path = table(tmp_path / f"maestro-{number}.json", json.dumps(content))
        assert build(tmp_path / f"{number}.parquet", path) == of_csv


def test_atepp_one_folder_above_its_files_with_a_column_that_has_no_name(tmp_path: Path) -> None:
    for name in ("00001.mid", "00002.mid"):
        add_midi(tmp_path / "ATEPP-1.2", f"A_Composer/Mélodie,_Op._3/{name}")
    rows = build(tmp_path / "m.parquet", table(tmp_path / "ATEPP-metadata-1.2.csv", ATEPP, *ATEPP_ROWS))
    assert values(rows, "piece") == ["A Composer / 0"] * 2 and values(rows, "track_duration") == [218.253, 220.0]
    assert rows[0]["midi"] == "ATEPP-1.2/A_Composer/Mélodie,_Op._3/00001.mid"
    # The results have notes of their own.
    assert values(rows, "source_notes") == [None, "slow"] and "notes" not in rows[0]
    older = [ATEPP.replace("composition_id", "compostion_id").removesuffix(",notes,"), ATEPP_ROWS[0][:-2]]
    rows = build(tmp_path / "n.parquet", table(tmp_path / "ATEPP-metadata.csv", *older))
    assert values(rows, "piece") == ["A Composer / 0"]


def test_giant_midi_piano_by_tabs_and_only_what_belongs_to_it(tmp_path: Path) -> None:
    for name in ("Aa, Michael, Piano, V8W.mid", "Aa, Michael, Other, V8X.mid"):
        add_midi(tmp_path / "midis", name)
    name = "full_music_pieces_youtube_similarity_pianosoloprob_split.csv"
    path = table(tmp_path / "resources" / name, GIANT, *GIANT_ROWS)
    (row,) = build(tmp_path / "m.parquet", path, midi_root=str(tmp_path / "midis"))
    assert row["midi"] == "midis/Aa, Michael, Piano, V8W.mid" and row["split"] == "test"
    assert row["birth"] == "0012" and row["similarity"] == 0.75 and row["audio_duration"] == 61.5


def test_asap_s_renderings_of_a_piece(tmp_path: Path) -> None:
    for name in ("Shi05M", "Lee01M", "midi_score"):
        add_midi(tmp_path, f"Bach/Fugue/bwv_846/{name}.mid")
    rows = build(tmp_path / "m.parquet", table(tmp_path / "metadata.csv", ASAP, *ASAP_ROWS))
    assert values(rows, "piece") == ["Bach/Fugue/bwv_846"] * 2 and values(rows, "start") == [None, 144.5677]
    assert "split" not in rows[0]


def test_a_table_of_one_s_own_gives_prompts_pieces_and_splits(tmp_path: Path) -> None:
    for name in ("a.mid", "b.mid"):
        add_midi(tmp_path, name)
    content: dict[str, Any] = {
        "midi": ["b.mid", "a.mid"],
        "room": ["hall", "close"],
        "work": ["one", "two"],
        "split": ["test", "train"],
        "status": ["draft", "final"],
    }
    pq.write_table(pa.table(content), tmp_path / "own.parquet")
    (tmp_path / "own.jsonl.gz").write_bytes(
        gzip.compress(b"\n".join(json.dumps(row).encode() for row in pa.table(content).to_pylist()))
    )
    made = [
        build(tmp_path / f"{name}-m.parquet", tmp_path / name, prompt_column="room", piece="work", split="metadata")
        for name in ("own.parquet", "own.jsonl.gz")
    ]
    assert made[0] == made[1]
    assert values(made[0], "prompt") == ["close", "hall"] and values(made[0], "piece") == ["two", "one"]
    assert values(made[0], "split") == ["train", "test"] and values(made[0], "source_status") == ["final", "draft"]
    drawn = build(tmp_path / "n.parquet", tmp_path / "own.parquet", split=".5,0,.5")
    assert sorted(values(drawn, "split")) == ["test", "train"] and values(drawn, "source_split") == ["train", "test"]


def test_two_tables_and_a_folder_make_one_manifest(tmp_path: Path) -> None:
    add_midi(tmp_path / "maestro", "2018/berg-1.midi")
    for name in ("Shi05M", "Lee01M"):
        add_midi(tmp_path / "asap", f"Bach/Fugue/bwv_846/{name}.mid")
    add_midi(tmp_path / "more", "x.mid")
    rows = build(
        tmp_path / "m.parquet",
        table(tmp_path / "maestro" / "maestro.csv", MAESTRO, MAESTRO_ROWS[0]),
        table(tmp_path / "asap" / "metadata.csv", ASAP, *ASAP_ROWS),
        tmp_path / "more",
        tmp_path / "asap",  # All of it is known already.
    )
    assert values(rows, "canonical_composer") == ["Alban Berg", None, None, None]
    assert values(rows, "composer") == [None, "Bach", "Bach", None]
    assert values(rows, "split") == ["train", None, None, None]


def test_a_folder_s_table_is_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_midi(tmp_path, "2018/berg-1.midi")
    path = table(tmp_path / "maestro-v3.0.0.csv", MAESTRO, *MAESTRO_ROWS)
    table(tmp_path / "other.csv", "a,b", "1,2")
    build(tmp_path / "m.parquet", tmp_path)
    output = capsys.readouterr().err
    assert f"{path} is MAESTRO's table: give it in place of its folder" in output and "other.csv" not in output


def test_files_that_a_table_names_in_vain(tmp_path: Path) -> None:
    add_midi(tmp_path, "2018/berg-1.midi")
    path = table(tmp_path / "maestro.csv", MAESTRO, *MAESTRO_ROWS)
    assert len(build(tmp_path / "m.parquet", path)) == 1
    errors = values(files_of(tmp_path / "m.parquet"), "error")
    assert errors == ["the file cannot be read: No such file or directory"] * 2 + [None]
    with pytest.raises(JobError, match=r"none of the 3 MIDI files .* '2018/berg-1.midi'; say with --midi-root"):
        build(tmp_path / "n.parquet", table(tmp_path / "elsewhere" / "maestro.csv", MAESTRO, *MAESTRO_ROWS))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "artist,title\nx,y", r"no table of a dataset.*midi_filename \(MAESTRO\).*found are artist, title"),
        ("a.csv", "midi,midi\na.mid,b.mid", "cannot be read as CSV: a column is there twice"),
        ("a.csv", "midi,room\na.mid", "cannot be read as CSV"),
        ("a.csv", "midi\n", "no row names a MIDI file in its column midi"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", '[{"midi": 3}]', "the column midi holds int64, which cannot name files"),
        ("a.jsonl", "[1]", "cannot be read as JSONL"),
        ("a.parquet", "PAR1", "cannot be read as PARQUET"),
        ("a.csv.gz", "midi\na.mid", "cannot be read as CSV"),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(JobError, match=message):
        build(tmp_path / "m.parquet", tmp_path / name)
