"""Trains a frame-wise onset detector on what make.sh exported, and tells its loss: ``train.py OUT/hub [STEPS]``."""

import io
import sys
from typing import Any

import numpy as np
import soundfile
import torch
from datasets import Audio, load_dataset
from torch import nn

HOP, WINDOW, KEYS, SECONDS = 512, 2048, 88, 8


def example(row: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """A row's spectra (T, 1025), and which of the 88 keys are struck in each of their frames (T, 88)."""
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), frames=SECONDS * 16_000, dtype="float32")
    audio = torch.from_numpy(np.pad(samples, (0, SECONDS * rate - len(samples))))
    spectra = torch.stft(audio, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True).abs().log1p().T
    struck = torch.zeros(len(spectra), KEYS)
    for note in row["notes"]:
        if note["onset"] < SECONDS:
            struck[round(note["onset"] * rate / HOP), note["pitch"] - 21] = 1
    return spectra, struck


def main(hub: str, steps: int) -> None:
    """Train, and print the loss on training and validation."""
    data = load_dataset(hub).cast_column("audio", Audio(decode=False))
    splits = {name: [example(row) for row in rows] for name, rows in data.items()}
    model = nn.Sequential(nn.Linear(WINDOW // 2 + 1, 256), nn.GELU(), nn.Linear(256, KEYS))
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.full((KEYS,), 20.0))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for step in range(steps + 1):
        spectra, struck = splits["train"][step % len(splits["train"])]
        loss = loss_of(model(spectra), struck)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % max(1, steps // 4) == 0:
            losses = {name: np.mean([loss_of(model(x), y).item() for x, y in rows]) for name, rows in splits.items()}
            print(step, *(f"{name} {value:.4f}" for name, value in losses.items()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
