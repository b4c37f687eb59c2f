"""What takes the model's place when a corpus is prepared: sampled pianos in rooms, or recordings."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.shard.backend import CorpusRenderer, ModelFacts
from renderer.codecs.codec import Codec
from renderer.device import choose_device
from renderer.errors import CheckpointError
from renderer.file_hash import file_hash
from renderer.midi.notes import PedalPolicy
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import SAMPLE_RATE
from renderer.pianos.recordings import RecordingRenderer
from renderer.pianos.studio import Studio
from renderer.weights.checkpoint import find_codec, load_codec


@dataclass(frozen=True)
class CodecFiles:
    """A codec by its directory, or that of a model by the model's name or directory."""

    codec: str

    def sha256(self) -> str:
        """Of the codec's weights: what a corpus of codes is bound to."""
        return file_hash(find_codec(self.codec).folder / "codec.safetensors")

    def load(self, device: str) -> Codec:
        """The codec on a device; CheckpointError if it cannot be had, or runs at another rate than the pianos."""
        found = find_codec(self.codec)
        if found.sample_rate != SAMPLE_RATE:
            raise CheckpointError(
                f"{self.codec}: its codec runs at {found.sample_rate} Hz, corpora at {SAMPLE_RATE} Hz"
            )
        return load_codec(found).for_inference().to(choose_device(device))


@dataclass(frozen=True)
class StudioBackend:
    """Sampled pianos in rooms; ``conditions`` are the prompts there are."""

    pianos: Mapping[str, PianoFiles]
    conditions: tuple[str, ...]
    pedal: PedalPolicy
    codec: CodecFiles | None

    def describe(self) -> ModelFacts:
        """What the pianos are, by the content of their files; those of recordings are decoded here, once."""
        prints = {name: piano.fingerprint() for name, piano in self.pianos.items()}
        for piano in self.pianos.values():
            piano.open()
        digest = hashlib.sha256(
            repr((prints, None if self.codec is None else self.codec.sha256())).encode()
        ).hexdigest()
        return ModelFacts(
            "+".join(self.pianos), digest, self.conditions, self.pedal, "that of the pianos' own files", SAMPLE_RATE
        )

    def load(self, device: str) -> CorpusRenderer:
        """The studio; its pianos are opened when they are first played."""
        return Studio(self.pianos, None if self.codec is None else self.codec.load(device))


@dataclass(frozen=True)
class RecordingsBackend:
    """Recordings, cut where the manifest says."""

    pedal: PedalPolicy
    codec: CodecFiles | None

    def describe(self) -> ModelFacts:
        """Nothing is known of recordings but what the manifest says."""
        digest = self.codec.sha256() if self.codec else "none"
        return ModelFacts("recordings", digest, (), self.pedal, "that of the recordings", SAMPLE_RATE)

    def load(self, device: str) -> CorpusRenderer:
        """What cuts the recordings."""
        return RecordingRenderer(SAMPLE_RATE, self.pedal, None if self.codec is None else self.codec.load(device))
