"""What a training in PyTorch reads: items that are decoded from a run's codes, or rendered, as they are asked for."""

from jobs.datasets.decoded_dataset import DecodedDataset
from jobs.datasets.rendered_dataset import RenderedDataset
from jobs.datasets.shuffled_batches import ShuffledBatches
from jobs.datasets.sound import Sound, Sounds, collate

__all__ = ["DecodedDataset", "RenderedDataset", "ShuffledBatches", "Sound", "Sounds", "collate"]
