"""SFZ files: which recording serves which keys and velocities, at what pitch and how loud.

Read are keys, velocities, pitch (``pitch_keycenter``, ``tune``, ``transpose``), level (``volume``, ``amplitude``, their
sums over groups, ``amp_veltrack``, ``amp_velcurve_N``), ``offset`` and ``ampeg_release``. Of regions that controllers
or key switches choose, those are taken that sound at first; of round robins the first. Loops are refused, as strings
die away. Filters, effects and other envelopes are not read. See https://sfzformat.com.

A player that is kept well can be had: pysfizz 0.1.3 binds sfizz. It renders single notes of a given length, so all that
a setting changes between notes would stay ours; its sound has not been compared.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

import numpy as np

from renderer.errors import AudioError
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY
from renderer.pianos.samples import DYNAMICS_POINTS, Sample
from renderer.pianos.sfz_text import sfz_text

_TOKEN = re.compile(r"<(\w+)>|(\w+)=((?:(?!\s+\w+=|\s*<\w+>|\n).)*)")
_INHERITED = ("control", "global", "master", "group")
_PITCHES = {name: i for i, name in enumerate(("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b"))}
_TRIGGERS = ("attack", "release", "release_key")
_CONTROLLERS = {7: 100, 8: 64, 10: 64, 11: 127}
"""What controllers are at first, where that is not 0."""

_VOLUMES = ("volume", "group_volume", "master_volume", "global_volume")
_SOFTEST_GAIN = 1e-3


def read_sfz(path: Path) -> list[Sample]:
    """The samples of an SFZ file; AudioError if it has none that sound by keys, cannot be read, or loops."""
    regions = [region for region in _regions(sfz_text(path)) if _sounds_at_first(region)]
    says_dynamics = any(name.startswith(("amp_veltrack", "amp_velcurve")) for region in regions for name in region)
    try:
        samples = [_sample(path, region, says_dynamics) for region in regions]
    except (KeyError, ValueError) as error:
        raise AudioError(f"{path}: a region without a usable {error}") from None
    samples = [sample for sample in samples if sample.lowest_key <= sample.highest_key]
    if not any(not sample.is_release for sample in samples):
        raise AudioError(f"{path}: has no region that sounds when a key is struck")
    return samples


def _regions(text: str) -> list[dict[str, str]]:
    """The opcodes of every region, those of the levels above it included."""
    levels: dict[str, dict[str, str]] = {}
    regions: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for header, opcode, value in _TOKEN.findall(text):
        if header:
            current = {}
            if header == "region":
                regions.append(current)
                for name in _INHERITED:
                    current.update(levels.get(name, {}))
            elif header in _INHERITED:
                levels[header] = current
                for name in _INHERITED[_INHERITED.index(header) + 1 :]:
                    levels.pop(name, None)
        else:
            current[opcode] = value.strip()
    return regions


def _sounds_at_first(region: Mapping[str, str]) -> bool:
    """Whether a key alone makes it sound, with all controllers and key switches as they are at first."""
    if region.get("trigger", "attack") not in _TRIGGERS or region.get("sample") == "*silence":
        return False
    if region.get("sw_last", region.get("sw_default")) != region.get("sw_default"):
        return False
    for name, value in region.items():
        if re.fullmatch(r"on_(lo|hi)cc\d+", name):
            return False
        if found := re.fullmatch(r"(lo|hi)cc(\d+)", name):
            at_first = float(region.get(f"set_cc{found[2]}", _CONTROLLERS.get(int(found[2]), 0)))
            if at_first < float(value) if found[1] == "lo" else at_first > float(value):
                return False
    return True


def _sample(path: Path, region: Mapping[str, str], says_dynamics: bool) -> Sample:
    _check_supported(region)
    key = region.get("key", "60")
    softest, loudest = max(1, int(region.get("lovel", "1"))), int(region.get("hivel", "127"))
    level = sum(float(region.get(name, "0")) for name in _VOLUMES)
    level += 20 * math.log10(max(float(region.get("amplitude", "100")) / 100, _SOFTEST_GAIN))
    is_release = region.get("trigger", "attack") != "attack"
    follows = says_dynamics and not is_release
    velocities = np.linspace(softest, loudest, DYNAMICS_POINTS)
    by_velocity = [_velocity_db(region, velocity) for velocity in velocities] if follows else []
    middle = by_velocity[DYNAMICS_POINTS // 2] if follows else 0.0
    release = region.get("ampeg_release")
    return Sample(
        path=path.parent / PureWindowsPath(region.get("default_path", "") + region["sample"]).as_posix(),
        key=_key(region.get("pitch_keycenter", key)) - _semitones(region),
        lowest_key=max(LOWEST_KEY, _key(region.get("lokey", region.get("key", "0")))),
        highest_key=min(HIGHEST_KEY, _key(region.get("hikey", region.get("key", "127")))),
        softest=softest,
        loudest=loudest,
        is_release=is_release,
        decibels=level + middle,
        dynamics=tuple(level - middle for level in by_velocity) if follows else None,
        offset=int(region.get("offset", "0")),
        release_seconds=None if release is None or is_release else float(release),
    )


def _check_supported(region: Mapping[str, str]) -> None:
    """ValueError for what would sound otherwise than the file says."""
    mode = region.get("loop_mode", region.get("loopmode", "no_loop"))
    is_struck = region.get("trigger", "attack") == "attack"
    if mode not in ("no_loop", "one_shot") or (mode == "one_shot" and is_struck):
        raise ValueError(f"loop_mode: {mode} is not played, as a piano's strings die away and dampers stop them")
    for name in ("loop_start", "loopstart", "loop_end", "loopend"):
        if name in region and "loop_mode" not in region and "loopmode" not in region:
            raise ValueError(f"{name}: loops are not played, as a piano's strings die away; say loop_mode=no_loop")
    for name in ("note_offset", "octave_offset"):
        if float(region.get(name, "0")):
            raise ValueError(f"{name}: it is not read; move the keys instead")
    if float(region.get("pitch_keytrack", "100")) != 100 and is_struck:
        raise ValueError("pitch_keytrack: only 100 cents a key are played")


def _semitones(region: Mapping[str, str]) -> float:
    """How much higher it sounds than it was recorded."""
    return float(region.get("transpose", "0")) + float(region.get("tune", region.get("pitch", "0"))) / 100


def _velocity_db(region: Mapping[str, str], velocity: float) -> float:
    """By how much a velocity changes the level: ``amp_veltrack`` percent of a curve, by default of the square."""
    points = {0: 0.0, 127: 1.0}
    points |= {int(name[13:]): float(value) for name, value in region.items() if name.startswith("amp_velcurve_")}
    gain = (velocity / 127) ** 2
    if len(points) > 2 or points[127] != 1.0:
        places = sorted(points)
        gain = float(np.interp(velocity, places, [points[place] for place in places]))
    track = float(region.get("amp_veltrack", "100")) / 100
    followed = 1 - track * (1 - gain) if track >= 0 else -track * (1 - gain)
    return 20 * math.log10(max(followed, _SOFTEST_GAIN))


def _key(text: str) -> int:
    """A key as a number, or as a name like c#4, which is 61."""
    if text.lstrip("-").isdigit():
        return int(text)
    name = re.fullmatch(r"([a-g])([#b]?)(-?\d+)", text.lower())
    if name is None:
        raise ValueError(f"key {text!r}")
    return 12 * (int(name[3]) + 1) + _PITCHES[name[1]] + {"": 0, "#": 1, "b": -1}[name[2]]
