"""The chunks of a MIDI file: its header, its tracks, and what else lies between them."""

from dataclasses import asdict, dataclass

from renderer.errors import MidiError
from renderer.midi.regular_track import read_regular_track
from renderer.midi.track import Track, read_track

_HEADER_BYTES, _CHUNK_HEADER_BYTES = 14, 8
_MOST_TRACKS = 2**16 - 1
"""The header has 16 bits for their number."""


@dataclass(frozen=True)
class Damage:
    """What of a file is not as the specification asks, but is read.

    ``tracks_miscounted``: by how many tracks the header is wrong. ``track_lengths_mended``: tracks that do not end
    where their length says. ``bytes_skipped``: stray bytes between chunks, or behind a track's last event.
    ``events_mended``, ``events_skipped`` and ``events_irregular``: see :class:`Track`.
    """

    tracks_miscounted: int = 0
    track_lengths_mended: int = 0
    bytes_skipped: int = 0
    events_mended: int = 0
    events_skipped: int = 0
    events_irregular: int = 0

    @property
    def mended(self) -> dict[str, int]:
        """What had to be guessed, and how often; events that are irregular, but of one meaning, are not among it."""
        return {name: count for name, count in asdict(self).items() if count and name != "events_irregular"}


@dataclass(frozen=True, eq=False)
class Chunks:
    """A file's tracks in their order, its header's time division, and what was mended to read them."""

    division: int
    tracks: list[Track]
    damage: Damage


def read_chunks(data: bytes, most_events: int) -> Chunks:
    """The tracks of a MIDI file of type 0 or 1, as it is or in a RIFF wrapping (.rmi).

    Chunks that are no tracks are passed over. A track's length is believed where another chunk, or nothing, follows
    it; else its end-of-track event decides, and the next track is looked for from there. Bytes behind the last chunk
    mean nothing.

    Raises MidiError, without a path, where the file ends within a track, or a track cannot be read.
    """
    data = _unwrapped(data)
    if not data.startswith(b"MThd"):
        raise MidiError("not a MIDI file: it does not begin with MThd")
    if len(data) < _HEADER_BYTES:
        raise MidiError("truncated: the file ends within its header")
    kind, stated, division = (int.from_bytes(data[place : place + 2], "big") for place in (8, 10, 12))
    position = _chunk_end(data, 0)
    if position < _HEADER_BYTES or not _is_boundary(data, position):
        position = _HEADER_BYTES
    tracks: list[Track] = []
    mended = skipped = events = 0
    while position < len(data):
        if data.startswith(b"MTrk", position):
            if len(tracks) == _MOST_TRACKS:
                raise MidiError(f"more than {_MOST_TRACKS} tracks")
            track, behind = _track(data, position, events, most_events)
            tracks.append(track)
            events = track.events
            if behind == _chunk_end(data, position):
                skipped += behind - track.position
            else:
                mended += 1
            position = behind
        elif _is_boundary(data, position):
            position = _chunk_end(data, position)
        elif (found := data.find(b"MTrk", position)) >= 0:
            skipped += found - position
            position = found
        elif b"MTrk".startswith(data[position:]):
            raise MidiError("truncated: the file ends within a track's header")
        else:
            break
    if not tracks:
        raise MidiError("damaged: no MTrk header, so no track")
    if kind > 2 or (kind == 2 and len(tracks) > 1):
        raise MidiError(f"MIDI type {kind}: only type 0 and 1, whose tracks sound together, can be rendered")
    damage = Damage(
        tracks_miscounted=abs(stated - len(tracks)),
        track_lengths_mended=mended,
        bytes_skipped=skipped,
        events_mended=sum(track.mended for track in tracks),
        events_skipped=sum(track.skipped for track in tracks),
        events_irregular=sum(track.irregular for track in tracks),
    )
    return Chunks(division - 2**16 if division >= 2**15 else division, tracks, damage)


def _unwrapped(data: bytes) -> bytes:
    if data.startswith(b"RIFF") and data.startswith(b"RMID", 8):
        position = 12
        while position + _CHUNK_HEADER_BYTES <= len(data):
            length = int.from_bytes(data[position + 4 : position + 8], "little")
            position += _CHUNK_HEADER_BYTES
            if data.startswith(b"data", position - _CHUNK_HEADER_BYTES):
                return data[position : position + length]
            position += length + length % 2
    return data


def _track(data: bytes, chunk: int, events: int, most_events: int) -> tuple[Track, int]:
    """The track whose chunk begins at ``chunk``, and where what follows it begins."""
    start, end = chunk + _CHUNK_HEADER_BYTES, _chunk_end(data, chunk)
    if start > len(data):
        raise MidiError("truncated: the file ends within a track's header")
    if _is_boundary(data, end):
        try:
            regular = read_regular_track(data, start, end, events, most_events)
            track = regular or read_track(data, start, end, events, most_events, through=True)
        except MidiError:
            track = read_track(data, start, end, events, most_events, through=False)
            if not track.ended:
                raise
        return track, track.position if track.ended and data.startswith(b"MTrk", track.position) else end
    following = data.find(b"MTrk", start)
    try:
        until = len(data) if following < 0 else following
        track = read_track(data, start, until, events, most_events, through=False)
        if track.ended or track.position == following:
            return track, track.position
    except MidiError:
        if end > len(data):
            raise
    if end > len(data):
        raise MidiError("truncated: the file ends before its last track does")
    return read_track(data, start, end, events, most_events, through=True), end


def _chunk_end(data: bytes, chunk: int) -> int:
    return chunk + _CHUNK_HEADER_BYTES + int.from_bytes(data[chunk + 4 : chunk + 8], "big")


def _is_boundary(data: bytes, position: int) -> bool:
    """Whether the file ends here, or a chunk begins: four letters or digits, and a length within the file."""
    if position >= len(data):
        return position == len(data)
    name = data[position : position + 4]
    return name == b"MTrk" or (name.isalnum() and name.isascii() and _chunk_end(data, position) <= len(data))
