"""How vLLM and SGLang call flash_mla: their order of calls, arguments and buffers, without them.

As of vllm/v1/attention/backends/mla/flashmla.py and
sglang/srt/layers/attention/flashmla_backend.py in the autumn of 2026.
"""

import torch


class VllmDense:
    """One FlashMLASchedMeta a step, shared by all layers; a cache without a dimension of heads; all
    queries of a batch are equally many, up to 128 tokens."""

    def __init__(self, module, num_q_heads, head_dim_v):
        self.module, self.num_q_heads, self.head_dim_v = module, num_q_heads, head_dim_v

    def build(self, seq_lens, max_query_len):
        metadata, _ = self.module.get_mla_metadata(
            seq_lens, max_query_len * self.num_q_heads // 1, 1, is_fp8_kvcache=False
        )
        return metadata

    def layer(self, metadata, q, cache, block_table, seq_lens, scale):
        """q [tokens, heads, d_qk], cache [num_pages, page_size, d_qk]."""
        q = q.view(len(seq_lens), -1, *q.shape[1:])
        out, lse = self.module.flash_mla_with_kvcache(
            q=q,
            k_cache=cache.unsqueeze(-2),
            block_table=block_table,
            cache_seqlens=seq_lens,
            head_dim_v=self.head_dim_v,
            tile_scheduler_metadata=metadata,
            softmax_scale=scale,
            causal=True,
            is_fp8_kvcache=False,
        )
        return out, lse

    def batch_invariant_layer(self, metadata, q, cache, block_table, seq_lens, scale):
        """Fills the metadata itself, before each layer: one part, from the first request to the
        last."""
        device = q.device
        metadata.tile_scheduler_metadata = torch.zeros((1, 8), dtype=torch.int32, device=device)
        metadata.tile_scheduler_metadata[0, 2] = len(seq_lens) - 1
        metadata.tile_scheduler_metadata[0, 3] = block_table.shape[-1]
        metadata.num_splits = torch.zeros(len(seq_lens) + 1, dtype=torch.int32, device=device)
        return self.layer(metadata, q, cache, block_table, seq_lens, scale)


class Sglang:
    """Raw metadata a step, copied into buffers for the largest batch that graphs read from; decode
    and target verify, where each request brings its draft tokens and lengths include them."""

    def __init__(self, module, num_q_heads, head_dim_v, device, num_draft_tokens=1):
        self.module, self.num_q_heads, self.head_dim_v = module, num_q_heads, head_dim_v
        self.device, self.num_draft_tokens = device, num_draft_tokens

    def metadata(self, seq_lens):
        return self.module.get_mla_metadata(
            seq_lens.to(torch.int32),
            self.num_draft_tokens * self.num_q_heads,
            1,
            is_fp8_kvcache=False,
        )

    def layer(self, metadata, q, pool, block_table, seq_lens, scale, page_size):
        """q [tokens, heads, d_qk], pool [tokens, 1, d_qk]."""
        tile_scheduler_metadata, num_splits = metadata
        out, lse = self.module.flash_mla_with_kvcache(
            q=q.view(len(seq_lens), -1, *q.shape[1:]),
            k_cache=pool.view(-1, page_size, 1, q.shape[-1]),
            block_table=block_table,
            cache_seqlens=seq_lens.to(torch.int32),
            head_dim_v=self.head_dim_v,
            tile_scheduler_metadata=tile_scheduler_metadata,
            num_splits=num_splits,
            softmax_scale=scale,
            causal=True,
            is_fp8_kvcache=False,
            indices=None,
        )
        return out, lse

    def make_graph_buffers(self, max_batch, max_parts):
        """max_parts: multiprocessors of the device."""
        self.parts = torch.empty((max_parts, 8), dtype=torch.int32, device=self.device)
        self.splits = torch.empty(max_batch + 1, dtype=torch.int32, device=self.device)

    def graph_metadata(self, seq_lens):
        """Before capture and before each replay: views of the same memory, or it fails."""
        parts, splits = self.metadata(seq_lens)
        assert len(parts) <= len(self.parts)
        self.parts[: len(parts)].copy_(parts)
        self.splits[: len(seq_lens) + 1].copy_(splits)
        return self.parts[: len(parts)], self.splits[: len(seq_lens) + 1]
