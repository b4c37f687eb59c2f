"""Plain SFZ files: which sample serves which keys and velocities. Envelopes, filters and effects are not read."""

import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from renderer.errors import AudioError
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY
from renderer.pianos.samples import Sample

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"<(\w+)>|(\w+)=((?:(?!\s+\w+=|\s*<\w+>|\n).)*)")
_INHERITED = ("control", "global", "master", "group")
_PITCHES = {name: i for i, name in enumerate(("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b"))}


def read_sfz(path: Path) -> list[Sample]:
    """The samples of an SFZ file; AudioError if it has none that sound by keys, or cannot be read."""
    try:
        text = _COMMENT.sub("", path.read_text("utf-8", "replace"))
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
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
    try:
        samples = [_sample(path, region) for region in regions if region.get("trigger", "attack") in _TRIGGERS]
    except (KeyError, ValueError) as error:
        raise AudioError(f"{path}: a region without a usable {error}") from None
    samples = [sample for sample in samples if sample.lowest_key <= sample.highest_key]
    if not any(not sample.is_release for sample in samples):
        raise AudioError(f"{path}: has no region that sounds when a key is struck")
    return samples


_TRIGGERS = ("attack", "release", "release_key")


def _sample(path: Path, region: Mapping[str, str]) -> Sample:
    key = region.get("key", "60")
    return Sample(
        path=path.parent / PureWindowsPath(region.get("default_path", "") + region["sample"]).as_posix(),
        key=_key(region.get("pitch_keycenter", key)),
        lowest_key=max(LOWEST_KEY, _key(region.get("lokey", region.get("key", "0")))),
        highest_key=min(HIGHEST_KEY, _key(region.get("hikey", region.get("key", "127")))),
        softest=int(region.get("lovel", "1")),
        loudest=int(region.get("hivel", "127")),
        is_release=region.get("trigger", "attack") != "attack",
        decibels=float(region.get("volume", "0")),
    )


def _key(text: str) -> int:
    """A key as a number, or as a name like c#4, which is 61."""
    if text.lstrip("-").isdigit():
        return int(text)
    name = re.fullmatch(r"([a-g]#?)(-?\d+)", text.lower())
    if name is None:
        raise ValueError(f"key {text!r}")
    return 12 * (int(name[2]) + 1) + _PITCHES[name[1]]
