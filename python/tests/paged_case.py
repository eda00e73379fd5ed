"""Random decode calls on torch tensors, on any device, and their float64 results."""

import ml_dtypes
import numpy as np
import torch
from reference import attention, check

# What stands in table entries that no request uses.
GARBAGE = (-1, 2**31 - 1, -(2**31), 10**6)


def to_numpy(tensor):
    """Bits of bfloat16 as ml_dtypes' type: numpy has none of its own."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


class PagedCase:
    """Arrays of a decode call: q, k_cache, block_table, cache_seqlens.

    Cache slots that no request references are NaN, table entries that none uses are garbage. fill()
    draws all anew into the same memory, for other lengths if it is told so.
    """

    def __init__(
        self, rng, lengths, *, device="cpu", dtype=torch.bfloat16, capacity=None, **fields
    ):
        sizes = {"s_q": 1, "h_q": 8, "h_kv": 1, "d_qk": 96, "d_v": 64, "page_size": 16, **fields}
        self.rng, self.device, self.dtype = rng, device, dtype
        self.s_q, self.h_q, self.h_kv = sizes["s_q"], sizes["h_q"], sizes["h_kv"]
        self.d_qk, self.d_v, self.page_size = sizes["d_qk"], sizes["d_v"], sizes["page_size"]
        batch, longest = len(lengths), max([*lengths, 1]) if capacity is None else capacity
        columns = -(-longest // self.page_size) + 2
        num_pages = max(batch, 1) * columns + 3
        self.q = torch.empty(batch, self.s_q, self.h_q, self.d_qk, dtype=dtype, device=device)
        self.k_cache = torch.empty(
            num_pages, self.page_size, self.h_kv, self.d_qk, dtype=dtype, device=device
        )
        self.block_table = torch.empty(batch, columns, dtype=torch.int32, device=device)
        self.cache_seqlens = torch.empty(batch, dtype=torch.int32, device=device)
        self.fill(lengths)

    def fill(self, lengths):
        self.lengths = list(lengths)
        pages = iter(self.rng.permutation(len(self.k_cache)))
        table = self.rng.choice(np.array(GARBAGE, np.int32), self.block_table.shape)
        cache = torch.full(self.k_cache.shape, torch.nan, dtype=self.dtype)
        self.keys = []
        for request, length in enumerate(self.lengths):
            keys = self._random(length, self.h_kv, self.d_qk)
            for i, begin in enumerate(range(0, length, self.page_size)):
                table[request, i] = page = next(pages)
                part = keys[begin : begin + self.page_size]
                cache[page, : len(part)] = part
            self.keys.append(to_numpy(keys))
        self.q.copy_(self._random(*self.q.shape))
        self.k_cache.copy_(cache)
        self.block_table.copy_(torch.from_numpy(table))
        self.cache_seqlens.copy_(torch.tensor(self.lengths, dtype=torch.int32))

    def _random(self, *shape):
        return torch.from_numpy(self.rng.standard_normal(shape)).to(self.dtype)

    def arrays(self):
        """In the order of flash_mla_with_kvcache."""
        return self.q, self.k_cache, self.block_table, self.cache_seqlens

    def garbage_out(self):
        shape = (*self.q.shape[:3], self.d_v)
        return torch.full(shape, torch.nan, dtype=self.dtype, device=self.device)

    def check(self, out, lse, *, causal=False, scale=None, sink=None, q=None):
        """Every request against float64; `q` where the call had another than the case's."""
        assert out.shape == (*self.q.shape[:3], self.d_v) and out.dtype == self.dtype
        assert lse.shape == (len(self.lengths), self.h_q, self.s_q)
        assert lse.dtype == torch.float32
        queries = to_numpy(self.q if q is None else q)
        out, lse = to_numpy(out), to_numpy(lse)
        scale = self.d_qk**-0.5 if scale is None else scale
        group = self.h_q // self.h_kv
        for i, keys in enumerate(self.keys):
            for head in range(self.h_kv):
                heads = slice(head * group, (head + 1) * group)
                rows, columns = queries[i][:, heads], keys[:, head]
                sinks = None if sink is None else to_numpy(sink)[heads]
                want, want_lse = attention(rows, columns, self.d_v, scale, causal, sinks)
                check(out[i][:, heads], lse[i][heads], want, want_lse, rows, columns, scale)
