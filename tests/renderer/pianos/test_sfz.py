"""SFZ files: which recording serves which keys and velocities."""

from pathlib import Path

import pytest

from renderer.errors import AudioError
from renderer.midi.notes import Notes
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import SAMPLE_RATE
from renderer.pianos.sfz import read_sfz
from tests.renderer.pianos.recordings import write_recordings


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
