"""SFZ files: which recording serves which keys and velocities."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from renderer.errors import AudioError
from renderer.midi.notes import Notes
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import SAMPLE_RATE
from renderer.pianos.sfz import read_sfz
from tests.renderer.pianos.recordings import RATE, tone, write_recordings


def test_regions_inherit_from_what_is_above_them(tmp_path: Path) -> None:
    (tmp_path / "piano.sfz").write_text(
        r"""// A piano
        <control> default_path=samples\
        <global> volume=-3
        <group> lovel=1 hivel=63
        <region> sample=soft piano C4.wav lokey=58 hikey=62 pitch_keycenter=60
        <group> lovel=64 hivel=127 volume=2.5
        <region> sample=loud.wav key=c#4 /* one key */
        <group> trigger=release
        <region> sample=rel.wav lokey=0 hikey=127 pitch_keycenter=60
        """
    )
    soft, loud, release = read_sfz(tmp_path / "piano.sfz")
    assert soft.path == tmp_path / "samples" / "soft piano C4.wav"
    assert (soft.lowest_key, soft.key, soft.highest_key, soft.softest, soft.loudest) == (58, 60, 62, 1, 63)
    assert soft.decibels == -3.0
    assert (loud.lowest_key, loud.key, loud.highest_key, loud.softest, loud.loudest) == (61, 61, 61, 64, 127)
    assert loud.decibels == 2.5
    assert release.is_release
    assert (release.lowest_key, release.highest_key, release.decibels) == (21, 108, -3.0)


def test_a_piano_is_played_from_its_sfz_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_recordings(tmp_path / "recordings", range(60, 61))
    (tmp_path / "piano.sfz").write_text(
        "<region>sample=recordings/layer1/C4v1.wav lovel=1 hivel=70 pitch_keycenter=60\n"
        "<region>sample=recordings/layer3/C4v3.wav lovel=71 hivel=127 pitch_keycenter=60\n"
    )
    audio = PianoFiles(tmp_path / "piano.sfz").open().play(Notes.of([0.1], [0.5], [67], [100]), SAMPLE_RATE)
    assert abs(audio).max() > 0.01


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<region> lokey=1", "'sample'"),
        ("<region> sample=a.wav key=h9", "key 'h9'"),
        ("<region> sample=a.wav trigger=release", "no region that sounds"),
        ("", "no region that sounds"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "piano.sfz").write_text(text)
    with pytest.raises(AudioError, match=complaint):
        read_sfz(tmp_path / "piano.sfz")
    with pytest.raises(AudioError, match="No such file"):
        read_sfz(tmp_path / "other.sfz")


def test_what_is_defined_and_included_is_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "piano.sfz").write_text(
        "#define $EXT wav // the kind\n#define $KEY 60\n#define $KEYS 61\n#define $ALSO $KEY\n"
        '<control> default_path=samples/ <group> volume=-2\n#include "parts/soft.sfz"\n'
        '#define $KEY 72\n#include "parts\\deep\\loud.sfz"\n/* #include "absent.sfz" */'
    )
    (tmp_path / "parts" / "soft.sfz").write_text(
        "<region> sample=a$KEY.$EXT key=$KEY hivel=63\n<region> sample=b key=$KEYS"
    )
    (tmp_path / "parts" / "deep" / "loud.sfz").write_text('#include "parts/last.sfz"\n<region> sample=c key=$KEY')
    (tmp_path / "parts" / "last.sfz").write_text("<region> sample=d key=$ALSO")
    samples = read_sfz(tmp_path / "piano.sfz")
    assert [(sample.path.name, sample.key, sample.decibels) for sample in samples] == [
        ("a60.wav", 60, -2),
        ("b", 61, -2),
        ("d", 60, -2),
        ("c", 72, -2),
    ]
    assert samples[0].path == tmp_path / "samples" / "a60.wav" and samples[0].loudest == 63


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('#include "piano.sfz"', "goes on without end"),
        ('#include "absent.sfz"', "absent.sfz: cannot be read: No such file"),
        ("<region> sample=$NAME", r"\$NAME is used, but nothing defines it"),
        ("<region> sample=a loop_mode=loop_continuous", "loop_mode: loop_continuous is not played"),
        ("<group> loop_mode=loop_sustain <region> sample=a", "loop_mode: loop_sustain"),
        ("<region> sample=a loop_mode=one_shot", "loop_mode: one_shot"),
        ("<region> sample=a loop_start=100 loop_end=900", "loop_start: loops are not played"),
        ("<control> note_offset=12 <region> sample=a", "note_offset"),
        ("<region> sample=a pitch_keytrack=0", "pitch_keytrack"),
        ("<region> sample=a tune=high", "high"),
    ],
)
def test_what_cannot_be_played_as_it_is_meant_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "piano.sfz").write_text(text)
    with pytest.raises(AudioError, match=complaint):
        read_sfz(tmp_path / "piano.sfz")


def test_regions_that_a_controller_or_a_key_switch_chooses_sound_as_they_do_at_first(tmp_path: Path) -> None:
    (tmp_path / "piano.sfz").write_text(
        "<control> set_cc20=100 <global> sw_default=36\n"
        "<region> sample=pedal on_locc64=127 on_hicc64=127\n<region> sample=damped locc64=0 hicc64=63\n"
        "<region> sample=undamped locc64=64 hicc64=127\n<region> sample=near locc20=64\n<region> sample=far hicc20=63\n"
        "<region> sample=close sw_last=36\n<region> sample=room sw_last=37\n<region> sample=*silence\n"
    )
    assert [sample.path.name for sample in read_sfz(tmp_path / "piano.sfz")] == ["damped", "near", "close"]


def levels(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, pitch: int = 60) -> dict[int, float]:
    """Levels in dB of one key's first quarter of a second, by velocity, relative to the loudest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for name, amplitude in (("soft", 0.3), ("loud", 0.3), ("louder", 0.6)):
        soundfile.write(folder / f"{name}.wav", tone(60, amplitude, seconds=0.4), RATE, "FLOAT")
    (folder / "piano.sfz").write_text(text)
    piano = PianoFiles(folder / "piano.sfz").open()
    found = {}
    for velocity in (1, 10, 20, 40, 63, 64, 80, 100, 127):
        audio = piano.play(Notes.of([0.0], [1.0], [pitch], [velocity]), SAMPLE_RATE // 4)
        found[velocity] = 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)))
    return {velocity: level - found[127] for velocity, level in found.items()}


TWO = (
    "<region> sample=soft.wav hivel=63 pitch_keycenter=60 {soft}\n<region> sample=loud.wav lovel=64 pitch_keycenter=60"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TWO.format(soft=""), lambda v: 40 * np.log10(v / 127)),
        ("<global> amp_veltrack=100 " + TWO.format(soft=""), lambda v: 40 * np.log10(v / 127)),
        ("<global> amp_veltrack=50 " + TWO.format(soft=""), lambda v: 20 * np.log10(0.5 + 0.5 * (v / 127) ** 2)),
        ("<global> amp_veltrack=0 " + TWO.format(soft=""), lambda v: 0.0),
        ("<global> amp_veltrack=0 " + TWO.format(soft="volume=-9"), lambda v: -9.0 if v < 64 else 0.0),
        ("<global> amp_veltrack=0 <group> group_volume=3 " + TWO.format(soft="volume=-9"), lambda v: -9.0 * (v < 64)),
        ("<global> amp_veltrack=0 " + TWO.format(soft="amplitude=25"), lambda v: -12.04 if v < 64 else 0.0),
        (
            "<global> amp_velcurve_1=0.1 amp_velcurve_127=1 " + TWO.format(soft=""),
            lambda v: 20 * np.log10(np.interp(v, [1, 127], [0.1, 1])),
        ),
        ("<region> sample=soft.wav pitch_keycenter=60 amp_veltrack=100", lambda v: 40 * np.log10(v / 127)),
    ],
)
def test_dynamics_are_those_that_the_file_describes(
    tmp_path: Path, text: str, expected: Callable[[int], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for velocity, level in levels(tmp_path, text, monkeypatch).items():
        if velocity >= 10:
            assert level == pytest.approx(expected(velocity), abs=1.0), velocity


def test_layers_recorded_with_their_dynamics_keep_them_where_the_file_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TWO.format(soft="").replace("loud.wav", "louder.wav")
    found = levels(tmp_path, text, monkeypatch)
    assert found[100] - found[40] == pytest.approx(6.02 * 60 / 63.5, abs=0.5)


@pytest.mark.parametrize(
    ("opcodes", "semitones"), [("tune=50", 0.5), ("transpose=-12", -12), ("transpose=2 tune=-100", 1), ("pitch=100", 1)]
)
def test_tune_and_transpose_move_the_pitch(
    tmp_path: Path, opcodes: str, semitones: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels(tmp_path, f"<region> sample=soft.wav pitch_keycenter=60 {opcodes}", monkeypatch)
    audio = PianoFiles(tmp_path / "piano.sfz").open().play(Notes.of([0.0], [2.0], [60], [90]), SAMPLE_RATE)
    heard = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))).argmax()
    assert heard == pytest.approx(440 * 2 ** ((60 + semitones - 69) / 12), abs=1.5)


def test_an_offset_leaves_out_the_beginning_and_a_release_says_how_soon_a_key_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clicks = np.zeros(RATE, np.float32)
    clicks[: RATE // 2] = tone(72, 0.5)[: RATE // 2]
    clicks[RATE // 2 :] = tone(60, 0.5, silence=0.0)[: RATE // 2]
    soundfile.write(tmp_path / "two.wav", clicks, RATE, "FLOAT")
    for name, opcodes in (
        ("whole", ""),
        ("late", f"offset={RATE // 2} ampeg_release=0.09"),
        ("long", "ampeg_release=9"),
    ):
        (tmp_path / f"{name}.sfz").write_text(f"<region> sample=two.wav pitch_keycenter=60 {opcodes}")
    whole, late, long = (
        PianoFiles(tmp_path / f"{name}.sfz").open().play(Notes.of([0.0], [0.2], [60], [90]), SAMPLE_RATE)
        for name in ("whole", "late", "long")
    )
    pitches = [int(np.abs(np.fft.rfft(audio[:6400], SAMPLE_RATE)).argmax()) for audio in (whole, late)]
    assert pitches == [pytest.approx(523, abs=4), pytest.approx(262, abs=4)]
    level = [20 * np.log10(np.sqrt(np.mean(audio[8000:9600] ** 2)) + 1e-9) for audio in (late, whole, long)]
    assert level[0] + 20 < level[1] < level[2] - 1
