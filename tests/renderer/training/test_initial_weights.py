"""Where a training begins: even predictions, and codes that are alike where the codec's rows are."""

import pytest
import torch
from torch.nn import functional

from renderer.model.layers import TokenEmbedding
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.training.initial_weights import embed_codebooks, initialise

CONFIG = ModelConfig(d_model=64, heads=2, layers=2, codebooks=4, codebook_size=32, roll_frame_rate=50)


@pytest.fixture
def tables() -> list[torch.Tensor]:
    """Codebooks that hold ever smaller residuals, as a residual quantizer's do."""
    torch.manual_seed(1)
    return [torch.randn(32, 8) * 0.5**book for book in range(4)]


@pytest.fixture
def model(tables: list[torch.Tensor]) -> MidiValle:
    torch.manual_seed(2)
    made = MidiValle(CONFIG)
    initialise(made)
    embed_codebooks(made, tables)
    return made.eval()


def distances(rows: torch.Tensor) -> torch.Tensor:
    return torch.cdist(rows, rows).flatten()


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


@torch.no_grad()
def test_embeddings_of_a_frame_add_up_to_the_latent_that_its_codes_stand_for(
    model: MidiValle, tables: list[torch.Tensor]
) -> None:
    codes = torch.randint(32, (1, 20, 4))
    latent = torch.stack([table[codes[0, :, book]] for book, table in enumerate(tables)]).sum(0)
    embedded = model.nar_audio(codes, 20, 2)[0]
    # The heads share their weights with these embeddings, in directions of their own.
    assert correlation(distances(latent), distances(embedded)) > 0.6
    of_first = model.ar_audio_embedding(torch.arange(32))
    assert correlation(distances(tables[0]), distances(of_first)) > 0.999


@torch.no_grad()
def test_codes_that_are_alike_are_as_likely_and_none_is_likelier_by_far(
    model: MidiValle, tables: list[torch.Tensor]
) -> None:
    assert isinstance(model.nar_predict_layers[0], torch.nn.Linear)
    of_ar = model.ar_predict_layer.weight[:32]
    assert correlation(distances(tables[0]), distances(of_ar)) > 0.999
    hidden = functional.normalize(torch.randn(100, 64), dim=1) * 8
    logits = model.ar_logits(hidden)
    assert 0.1 < float(logits.std()) < 1.5


@torch.no_grad()
def test_the_published_ties_between_heads_and_embeddings_stay(model: MidiValle) -> None:
    for head, embedding in zip(list(model.nar_predict_layers)[:-1], list(model.nar_audio_embeddings)[2:], strict=True):
        assert isinstance(head, torch.nn.Linear) and isinstance(embedding, TokenEmbedding)
        assert head.weight is embedding.word_embeddings.weight
