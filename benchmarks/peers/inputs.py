"""Random inputs: one pool of pages for all shapes, and for each shape sets of pages out of it."""

import dataclasses
import math

import torch

from .shapes import D_QK, D_V, PAGE_SIZE, Shape

MAX_SETS = 64


@dataclasses.dataclass
class Case:
    """What every contender gets for a shape. Call i reads the pages of block_tables[i % sets], so
    that on a GPU no call finds its keys in the L2 cache."""

    shape: Shape
    q: torch.Tensor  # bfloat16 [b, s_q, h_q, d_qk]
    kv_cache: torch.Tensor  # bfloat16 [num_pages, page_size, 1, d_qk]
    block_tables: list[torch.Tensor]  # int32 [b, pages of the longest request]
    cache_seqlens: torch.Tensor  # int32 [b]
    is_causal: bool
    softmax_scale: float = 1 / math.sqrt(D_QK)

    @property
    def num_operations(self) -> float:
        """Two products over all keys; the causal mask takes nothing off."""
        keys = float(self.cache_seqlens.sum())
        return 2 * keys * self.shape.s_q * self.shape.h_q * (D_QK + D_V)

    @property
    def num_bytes(self) -> float:
        """Latents, queries and outputs, each counted once."""
        rows = self.shape.batch * self.shape.s_q * self.shape.h_q
        return 2.0 * (float(self.cache_seqlens.sum()) * D_QK + rows * (D_QK + D_V))


def pages_of(lengths) -> list[int]:
    return [-(-int(length) // PAGE_SIZE) for length in lengths]


def make_pool(shapes, seed: int, pool_bytes: int, device: str) -> torch.Tensor:
    """Pages for the largest of the shapes, and `pool_bytes` at least; normal random numbers."""
    page_bytes = PAGE_SIZE * D_QK * 2
    num_pages = max(sum(pages_of(shape.lengths(seed))) for shape in shapes)
    num_pages = max(num_pages, pool_bytes // page_bytes)
    pool = torch.empty((num_pages, PAGE_SIZE, 1, D_QK), dtype=torch.bfloat16, device=device)
    return pool.normal_()


def make_case(shape: Shape, pool: torch.Tensor, seed: int, is_causal: bool) -> Case:
    lengths = shape.lengths(seed)
    counts = pages_of(lengths)
    shuffled = torch.randperm(len(pool), device="cpu", dtype=torch.int64).to(torch.int32)
    num_sets = min(MAX_SETS, len(pool) // sum(counts))
    tables, next_page = [], 0
    for _ in range(num_sets):
        table = torch.zeros((shape.batch, max(counts)), dtype=torch.int32)
        for row, count in enumerate(counts):
            table[row, :count] = shuffled[next_page : next_page + count]
            next_page += count
        tables.append(table.to(pool.device))
    q = torch.randn((shape.batch, shape.s_q, shape.h_q, D_QK), device=pool.device)
    return Case(
        shape=shape,
        q=q.to(torch.bfloat16),
        kv_cache=pool,
        block_tables=tables,
        cache_seqlens=torch.from_numpy(lengths).to(pool.device),
        is_causal=is_causal,
    )
