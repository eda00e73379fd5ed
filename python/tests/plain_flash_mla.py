"""flash_mla's interface in plain torch: a peer to compare with where the real one is not."""

import torch

__version__ = "plain"


def get_mla_metadata(cache_seqlens, num_q_tokens_per_head_k, num_heads_k):
    return torch.zeros((1, 8), dtype=torch.int32), torch.zeros(len(cache_seqlens) + 1)


def flash_mla_with_kvcache(
    q, k_cache, block_table, cache_seqlens, head_dim_v, tile_scheduler_metadata, num_splits=None,
    softmax_scale=None, causal=False,
):
    batch, s_q, h_q, d_qk = q.shape
    out = torch.empty((batch, s_q, h_q, head_dim_v), dtype=q.dtype)
    lse = torch.empty((batch, h_q, s_q))
    scale = d_qk**-0.5 if softmax_scale is None else softmax_scale
    for request, length in enumerate(cache_seqlens.tolist()):
        pages = block_table[request, : -(-length // k_cache.shape[1])].long()
        keys = k_cache[pages].flatten(0, 2)[:length].float()
        scores = torch.einsum("qhd,kd->hqk", q[request].float(), keys) * scale
        if causal:
            last = torch.arange(s_q)[:, None] + length - s_q
            scores.masked_fill_(torch.arange(length)[None] > last, float("-inf"))
        lse[request] = scores.logsumexp(-1)
        weights = (scores - lse[request][..., None]).exp()
        out[request] = torch.einsum("hqk,kd->qhd", weights, keys[:, :head_dim_v]).to(q.dtype)
    return out, lse
