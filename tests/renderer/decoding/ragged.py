"""What torch's variable-length attention says of itself, where its kernel does not run."""

import torch
from torch.nn import functional as F


def varlen_reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    seqused_k: torch.Tensor,
    num_splits: int,
) -> torch.Tensor:
    """Queries, keys and values (positions of all sequences, heads, width): one sequence after the other."""
    assert query.is_contiguous() and key.is_contiguous() and value.is_contiguous() and num_splits == 1
    assert cu_seq_q.dtype == cu_seq_k.dtype == seqused_k.dtype == torch.int32
    attended = torch.empty_like(query)
    for sequence, used in enumerate(seqused_k.tolist()):
        asked, end = cu_seq_q[sequence : sequence + 2].tolist()
        first, behind = cu_seq_k[sequence : sequence + 2].tolist()
        assert end - asked <= max_q and used <= behind - first <= max_k and behind <= len(key)
        q, k, v = (
            tensor.transpose(0, 1)
            for tensor in (query[asked:end], key[first : first + used], value[first : first + used])
        )
        attended[asked:end] = F.scaled_dot_product_attention(q, k, v).transpose(0, 1)
    return attended
