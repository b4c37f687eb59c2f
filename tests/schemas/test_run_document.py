import json
from dataclasses import replace

import pytest

from schemas.marker import FailureCount, Marker, MarkerError, StoredObject, count_failures
from schemas.run import MIDI_READING, Run, RunError, RunSettings, Shard, cautions, differences

SETTINGS = RunSettings(
    layout="files",
    format="flac",
    sample_rate=32_000,
    loudness=None,
    peak=-1.0,
    save_codes=False,
    tail=1.0,
    pedal="extend",
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    seed=0,
    limit=None,
    device="cpu",
    precision="fp32",
    batch_size=16,
)
RUN = Run(
    manifest_path="/a/manifest.parquet",
    manifest_sha256="aa",
    manifest_rows=5,
    rows_sha256="dd",
    prompts_path=None,
    prompts_sha256=None,
    model_id="mini",
    model_hash="bb",
    settings=SETTINGS,
    shards=(Shard(0, 0, 3), Shard(1, 3, 2)),
    threads=1,
    versions={"torch": "2.13.0"},
    created="2026-01-01T00:00:00+00:00",
)


def test_a_run_is_read_back_as_it_was_written() -> None:
    assert Run.from_json(RUN.to_json()) == RUN
    assert RUN.items == 5


def test_what_is_not_a_run_is_refused() -> None:
    for data in (b"", b"[]", b"{}", RUN.to_json()[:-9], RUN.to_json().replace(b'"format": 1', b'"format": 2')):
        with pytest.raises(RunError):
            Run.from_json(data)


def test_each_differing_field_is_named_with_both_values() -> None:
    other = replace(RUN, model_hash="cc", settings=replace(SETTINGS, tail=2.0, limit=4))
    assert differences(RUN, other) == [
        "model_hash: 'bb' in the run, 'cc' now",
        "tail: 1.0 in the run, 2.0 now",
        "limit: None in the run, 4 now",
    ]


def test_a_run_begun_before_pedal_channels_could_be_chosen_goes_on() -> None:
    values = json.loads(RUN.to_json())
    del values["settings"]["pedal_channels"], values["settings"]["strict_midi"]
    old = Run.from_json(json.dumps(values).encode())
    assert differences(old, replace(RUN, settings=replace(SETTINGS, pedal_channels="any"))) == []
    assert differences(old, replace(RUN, settings=replace(SETTINGS, strict_midi=True))) == [
        "strict_midi: False in the run, True now"
    ]
    chosen = replace(RUN, settings=replace(SETTINGS, pedal_channels="each"))
    assert differences(chosen, replace(RUN, settings=replace(SETTINGS, pedal_channels="any"))) == [
        "pedal_channels: 'each' in the run, 'any' now"
    ]


def test_a_run_begun_before_there_was_a_threshold_goes_on_without_it() -> None:
    old = replace(RUN, settings=replace(SETTINGS, thresholds={"silence": 0.5}))
    new = replace(RUN, settings=replace(SETTINGS, thresholds={"silence": 0.5, "codes_match": 0.3}))
    assert differences(old, new) == []
    assert differences(new, old) == ["quality threshold codes_match: 0.3 in the run, None now"]


def test_where_and_when_and_how_it_is_cut_do_not_make_another_run() -> None:
    other = replace(RUN, manifest_path="/b/m.parquet", created="later", shards=(Shard(0, 0, 5),))
    assert differences(RUN, other) == []
    assert cautions(RUN, other) == []


def test_other_versions_and_threads_are_cautions() -> None:
    other = replace(RUN, threads=2, versions={"torch": "2.14.0"})
    assert differences(RUN, other) == []
    assert cautions(RUN, other) == [
        "audio rendered from here on may differ in its last bits: torch version: '2.13.0' in the run, '2.14.0' now",
        "audio rendered from here on may differ in its last bits: threads per actor: 1 in the run, 2 now",
    ]


def test_other_rules_for_reading_midi_are_a_caution_of_their_own() -> None:
    second, third = (replace(RUN, versions={**RUN.versions, MIDI_READING: version}) for version in ("2", "3"))
    for old, new, versions in ((RUN, second, "'1' in the run, '2' now"), (second, third, "'2' in the run, '3' now")):
        assert differences(old, new) == []
        (caution,) = cautions(old, new)
        assert caution.startswith("notes may be taken from MIDI files by other rules from here on: ")
        assert versions in caution and "--overwrite" in caution
    assert cautions(second, second) == []


def test_a_marker_is_read_back_as_it_was_written() -> None:
    marker = Marker(
        shard=3,
        attempt="abc",
        items=5,
        failures=count_failures([("MidiError", "a"), ("MidiError", "b"), ("AudioError", "c")]),
        audio_seconds=1.5,
        render_seconds=0.5,
        metadata=StoredObject("metadata/00003-abc.parquet", 10, "ff"),
        objects=(StoredObject("audio/x.flac", 5, "ee"),),
    )
    assert Marker.from_json(marker.to_json()) == marker
    assert marker.failures == {"MidiError": FailureCount(2, ("a", "b")), "AudioError": FailureCount(1, ("c",))}
    assert marker.failed == 3
    with pytest.raises(MarkerError):
        Marker.from_json(b'{"shard": 3}')
