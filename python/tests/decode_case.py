"""Random decode calls on numpy arrays, and their float64 results."""

import ml_dtypes
import numpy as np
from reference import attention, check

import seesaw_mla as sm

TYPES = {
    sm.DType.FLOAT32: (np.float32, sm.KvFormat.FLOAT32),
    sm.DType.BFLOAT16: (ml_dtypes.bfloat16, sm.KvFormat.BFLOAT16),
    sm.DType.FLOAT16: (np.float16, sm.KvFormat.FLOAT16),
}


def small_problem(batch, dtype=sm.DType.FLOAT32, **fields):
    """Of few heads and dimensions, of one type throughout."""
    sizes = {"s_q": 2, "h_q": 4, "d_qk": 96, "d_v": 64, "page_size": 16, **fields}
    return sm.AttentionProblem(
        batch=batch, q_dtype=dtype, out_dtype=dtype, kv_format=TYPES[dtype][1], **sizes
    )


class Case:
    """A decode call on random inputs; slots that no request references are NaN."""

    def __init__(self, rng, dtype=sm.DType.FLOAT32, lengths=(130, 0, 7, 64), **fields):
        self.dtype = TYPES[dtype][0]
        self.lengths = np.asarray(lengths, np.int32)
        self.problem = p = small_problem(len(lengths), dtype, **fields)
        self.shapes = {"out": (p.batch, p.s_q, p.h_q, p.d_v), "lse": (p.batch, p.h_q, p.s_q)}
        pages_of = [-(-n // p.page_size) for n in lengths]
        self.cache = np.full((sum(pages_of) + 3, p.page_size, 1, p.d_qk), np.nan, self.dtype)
        free = list(rng.permutation(len(self.cache)))
        self.table = np.full((p.batch, max(pages_of) + 1), 2**31 - 1, np.int32)
        self.keys = []
        for request, length in enumerate(lengths):
            keys = rng.standard_normal((length, p.d_qk)).astype(self.dtype)
            for i in range(pages_of[request]):
                self.table[request, i] = page = free.pop()
                part = keys[i * p.page_size : (i + 1) * p.page_size]
                self.cache[page, : len(part), 0] = part
            self.keys.append(keys)
        self.q = rng.standard_normal((p.batch, p.s_q, p.h_q, p.d_qk)).astype(self.dtype)
        self.sink = rng.standard_normal(p.h_q).astype(np.float32) if p.has_attn_sink else None
        self.executor = sm.Executor.cpu(2)
        self.plan = sm.plan(p, sm.probe_cpu(), self.lengths)

    def run(self, **arrays):
        arrays = {
            "q": self.q,
            "kv_cache": self.cache,
            "block_table": self.table,
            "attn_sink": self.sink,
            "executor": self.executor,
            **arrays,
        }
        return sm.decode(self.plan, **arrays)

    def check(self, out, lse):
        p = self.problem
        scale = p.softmax_scale or p.d_qk**-0.5
        causal = p.mask == sm.Mask.CAUSAL
        for i, keys in enumerate(self.keys):
            want, want_lse = attention(self.q[i], keys, p.d_v, scale, causal, self.sink)
            check(out[i], lse[i], want, want_lse, self.q[i], keys, scale)
