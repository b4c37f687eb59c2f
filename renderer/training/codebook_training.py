"""How a codec's codebooks are learned: each row follows the mean of the latents that choose it."""

from collections.abc import Mapping

import torch
from torch import distributed

from renderer.codecs.layers import nearest
from renderer.training.team import Team

_SMALLEST_COUNT = 1e-5
_KMEANS_ROUNDS = 10


class CodebookTraining:
    """Residual quantization in float32 whose codebooks learn by moving averages (arXiv 1711.00937, appendix A.1).

    ``tables`` are a codec's codebooks (codes, D), changed in place. A row that is chosen by less than ``least_use`` of
    its fair share of latents begins anew as one of the latents of the step.
    """

    def __init__(self, tables: list[torch.Tensor], decay: float, least_use: float, team: Team) -> None:
        self.tables, self.decay, self.least_use, self.team = tables, decay, least_use, team
        self.counts = [torch.ones(len(table), device=table.device) for table in tables]
        self.sums = [table.clone() for table in tables]

    @torch.no_grad()
    def initialise(self, latent: torch.Tensor, generator: torch.Generator) -> None:
        """K-means of latents (N, D), one codebook after the other; more latents than codes."""
        residual = latent.float()
        for table, count, total in zip(self.tables, self.counts, self.sums, strict=True):
            table.copy_(residual[torch.randperm(len(residual), generator=generator)[: len(table)]])
            for _ in range(_KMEANS_ROUNDS):
                chosen = nearest(residual, table)
                size = torch.bincount(chosen, minlength=len(table)).float()
                mean = torch.zeros_like(table).index_add_(0, chosen, residual) / size.clamp_min(1)[:, None]
                spare = residual[torch.randint(len(residual), (len(table),), generator=generator)]
                table.copy_(torch.where(size[:, None] > 0, mean, spare))
            count.fill_(1.0)
            total.copy_(table)
            residual = residual - table[nearest(residual, table)]

    def quantize(
        self, latent: torch.Tensor, depth: torch.Tensor, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (B, T, D) by the first ``depth`` (B,) codebooks; and how far they lie from their rows after each.

        These distances (K,) are mean squares, whose gradients reach the latents, the rows being constants. Gradients of
        what is quantized go through as if it were not. With a ``generator`` the codebooks learn; it draws new rows.
        """
        shape = latent.shape
        residual = latent.detach().float().reshape(-1, shape[-1])
        deep = depth[:, None].expand(shape[:2]).reshape(-1)
        quantized = torch.zeros_like(residual)
        distances = []
        for index, table in enumerate(self.tables):
            chosen = nearest(residual, table)
            row = table[chosen]
            used = deep > index
            if generator is not None:
                self._learn(index, residual, chosen, used, generator)
            quantized = quantized + row * used[:, None]
            distances.append((latent - quantized.reshape(shape)).square().mean())
            residual = residual - row
        quantized = quantized.reshape(shape)
        return latent + (quantized - latent).detach(), torch.stack(distances)

    @torch.no_grad()
    def _learn(
        self,
        index: int,
        latents: torch.Tensor,
        chosen: torch.Tensor,
        used: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        table, count, total = self.tables[index], self.counts[index], self.sums[index]
        size = torch.bincount(chosen[used], minlength=len(table)).float()
        summed = torch.zeros_like(table).index_add_(0, chosen[used], latents[used])
        spare = latents[torch.randint(len(latents), (len(table),), generator=generator).to(latents.device)]
        if self.team.size > 1:
            distributed.all_reduce(size)
            distributed.all_reduce(summed)
            distributed.broadcast(spare, 0)
        count.lerp_(size, 1 - self.decay)
        total.lerp_(summed, 1 - self.decay)
        fair = count.sum() / len(count)
        dead = count < self.least_use * fair
        count[dead] = 2 * self.least_use * fair
        total[dead] = spare[dead] * count[dead, None]
        table.copy_(total / count.clamp_min(_SMALLEST_COUNT)[:, None])

    def state_dict(self) -> dict[str, object]:
        """The moving averages; the codebooks themselves belong to the codec."""
        return {"counts": self.counts, "sums": self.sums}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a checkpoint."""
        for own, name in ((self.counts, "counts"), (self.sums, "sums")):
            saved = state[name]
            assert isinstance(saved, list)
            for mine, theirs in zip(own, saved, strict=True):
                mine.copy_(theirs)
