"""Whether results are right: rows against float64, and contenders against each other."""

import math
import random

import torch

from .inputs import Case
from .shapes import D_V

# bfloat16 weights and a bfloat16 output: 2^-8 each, relatively.
LIMIT = 2 / 256


def reference_row(case: Case, set_idx: int, request: int, token: int, head: int):
    """out [d_v] and lse of one row in float64, by the definition."""
    length = int(case.cache_seqlens[request])
    visible = length - case.shape.s_q + token + 1 if case.is_causal else length
    pages = case.block_tables[set_idx][request].long()
    used = -(-length // case.kv_cache.shape[1])
    keys = case.kv_cache[pages[:used]].flatten(0, 2)[:visible].double()
    scores = keys @ case.q[request, token, head].double() * case.softmax_scale
    return torch.softmax(scores, 0) @ keys[:, :D_V], torch.logsumexp(scores, 0)


def distance(got: torch.Tensor, want: torch.Tensor) -> float:
    """Euclidean, over the length of `want`. NaN where a number is not finite."""
    return float(torch.linalg.vector_norm(got - want) / torch.linalg.vector_norm(want))


def largest(errors: list[float]) -> float:
    """NaN if any is: it is larger than every limit."""
    return math.nan if any(map(math.isnan, errors)) else max(errors)


def error_of_rows(case: Case, out: torch.Tensor, lse: torch.Tensor, num_rows: int = 4) -> float:
    """The largest distance from the reference of some rows of set 0; the error of lse counts
    as it stands, being that of a logarithm."""
    errors = []
    for _ in range(num_rows):
        request = random.randrange(case.shape.batch)
        token, head = random.randrange(case.shape.s_q), random.randrange(case.shape.h_q)
        want, want_lse = reference_row(case, 0, request, token, head)
        lse_error = float((lse[request, head, token].double() - want_lse).abs())
        errors += [distance(out[request, token, head].double(), want), lse_error]
    return largest(errors)


def difference(out: torch.Tensor, other: torch.Tensor) -> float:
    """Between whole outputs, a request at a time so that float32 copies stay small."""
    pairs = zip(out, other, strict=True)
    return largest([distance(got.float(), want.float()) for got, want in pairs])
