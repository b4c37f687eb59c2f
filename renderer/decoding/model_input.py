"""What the model is given for one segment: the prompt's notes, then the segment's, on one clock."""

from dataclasses import dataclass

import torch

from renderer.decoding.sampling import noise_key
from renderer.midi.notes import Notes
from renderer.model.midi_valle import ModelConfig
from renderer.model.tokens import TimeGrid, rows_of, with_markers
from renderer.prompt import PROMPT_SECONDS, Prompt
from renderer.segments import Segment


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the model needs for one segment.

    ``rows`` (S, 6) int64 with BOS and EOS rows, ``positions`` (S,) float32, ``prompt`` codes (P, K) int64, the
    number of ``frames`` to generate, and the ``key`` of its noise (renderer/decoding/sampling.py).
    """

    rows: torch.Tensor
    positions: torch.Tensor
    prompt: torch.Tensor
    frames: int
    key: int

    @property
    def prefix(self) -> int:
        """Cache positions filled by prefill: all but the last prompt frame, which the first step reads."""
        return len(self.rows) + len(self.prompt) - 1


def model_input(
    segment: Segment,
    prompt: Prompt,
    seed: int,
    config: ModelConfig,
    frame_rate: int,
    grid: TimeGrid,
    take: int = 0,
) -> ModelInput:
    """The segment's notes follow the prompt's exactly ``PROMPT_SECONDS`` after its start, as its audio does.

    Every ``take`` of a segment has noise of its own.
    """
    notes = Notes.joined(prompt.notes, segment.notes.shifted(PROMPT_SECONDS))
    rows = torch.from_numpy(with_markers(rows_of(notes, grid)))
    return ModelInput(
        rows=rows,
        positions=row_positions(notes, config, frame_rate),
        prompt=prompt.codes,
        frames=segment.frames,
        key=noise_key(seed, segment.index, take),
    )


def row_positions(notes: Notes, config: ModelConfig, frame_rate: int) -> torch.Tensor:
    """Where the MIDI rows stand, BOS and EOS included: (len(notes) + 2,) float32, by ``note_position``."""
    if config.note_position == "index":
        return torch.arange(len(notes) + 2, dtype=torch.float32)
    positions = torch.zeros(len(notes) + 2)
    positions[1:-1] = torch.from_numpy(notes.onset * frame_rate)
    return positions
