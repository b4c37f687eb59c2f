"""What makes one recording of a piano unlike another: who plays, its tuning and voicing, its room and microphone."""

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from renderer.pianos.player import AS_WRITTEN, Player
from renderer.pianos.room import Room
from renderer.pianos.voicing import AS_RECORDED, Voicing

_DRAWN = re.compile(r"drawn-(\d+)-(\d+)")


@dataclass(frozen=True)
class Setting:
    """A room with its microphone, how the piano in it is tuned and voiced, and who plays."""

    room: Room
    voicing: Voicing = AS_RECORDED
    player: Player = AS_WRITTEN

    @classmethod
    def named(cls, name: str) -> "Setting":
        """A room by its name, with the piano as it was recorded and played as written; or ``drawn-SEED-INDEX``.

        The same name is the same setting. ValueError if it is unknown.
        """
        if _DRAWN.fullmatch(name) is None:
            return cls(Room.named(name))
        return cls(
            Room.drawn(name, _random(name, "room")),
            Voicing.drawn(_random(name, "voicing")),
            Player.drawn(_random(name, "player")),
        )

    def facts(self) -> dict[str, Any]:
        """All parameters, as JSON."""
        return {"room": asdict(self.room), "voicing": asdict(self.voicing), "player": asdict(self.player)}


def drawn_name(seed: int, index: int) -> str:
    """The name of a setting of which everything is drawn at random."""
    return f"drawn-{seed}-{index}"


def _random(name: str, part: str) -> np.random.Generator:
    return np.random.default_rng(
        int.from_bytes(hashlib.blake2b(f"{name}/{part}".encode(), digest_size=8).digest(), "big")
    )
