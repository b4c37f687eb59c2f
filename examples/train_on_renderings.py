"""Trains a small onset detector on a run's codes, or on a manifest that is rendered while it trains.

    render-corpus examples/manifest.parquet --out codes --layout codes
    python examples/train_on_renderings.py codes
    python examples/train_on_renderings.py examples/manifest.parquet

It saves what it has learned after every ten steps, and the same command goes on from there.
"""

import argparse
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from jobs.datasets import DecodedDataset, RenderedDataset, ShuffledBatches, Sound, Sounds, collate

FRAME, WINDOW, LOWEST_KEY, KEYS = 640, 2048, 21, 88


class OnsetDetector(nn.Module):
    """Audio (B, N) -> for each frame and key the logit that the key is struck there, (B, T, 88)."""

    def __init__(self) -> None:
        super().__init__()
        width = WINDOW // 2 + 1
        self.layers = nn.Sequential(nn.Conv1d(width, 128, 3, padding=1), nn.GELU(), nn.Conv1d(128, KEYS, 3, padding=1))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """See the class."""
        window = torch.hann_window(WINDOW, device=samples.device)
        spectra = torch.stft(samples, WINDOW, FRAME, window=window, return_complex=True).abs()
        logits: torch.Tensor = self.layers((1 + 100 * spectra).log()).transpose(1, 2)
        return logits


def onsets(batch: Sounds, frames: int) -> torch.Tensor:
    """For each frame and key whether it is struck there, (B, T, 88)."""
    struck = torch.zeros(len(batch.notes), frames, KEYS)
    for place, notes in enumerate(batch.notes):
        frame = (notes[:, 0] * batch.sample_rate / FRAME).round().long().clamp_max(frames - 1)
        struck[place, frame, notes[:, 2].long() - LOWEST_KEY] = 1
    return struck


def main() -> None:
    """Train, and print the loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a run with --layout codes, or a manifest")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode or render")
    parser.add_argument("--checkpoint", type=Path, default=Path("onsets.pt"))
    options = parser.parse_args()

    is_run = Path(options.source).is_dir()
    dataset: Dataset[Sound] = DecodedDataset(options.source) if is_run else RenderedDataset(options.source)
    torch.manual_seed(0)
    model = OnsetDetector()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    first = 0
    if options.checkpoint.exists():
        saved = torch.load(options.checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]

    batches = ShuffledBatches(len(dataset), options.batch, seed=0, first_step=first)  # type: ignore[arg-type]
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=options.workers, collate_fn=collate)
    for step, batch in enumerate(islice(loader, max(0, options.steps - first)), first + 1):
        logits = model(batch.samples)
        loss = functional.binary_cross_entropy_with_logits(logits, onsets(batch, logits.shape[1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.4f}", flush=True)
        if step % 10 == 0 or step == options.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, options.checkpoint)


if __name__ == "__main__":
    main()
