"""The shapes that are measured, and the lengths of their requests."""

import dataclasses
import re

import numpy as np

D_QK, D_V, PAGE_SIZE = 576, 512, 64


@dataclasses.dataclass(frozen=True)
class Shape:
    """One decode call: `batch` requests of `s_q` query tokens, `h_q` heads and `s_k` keys each,
    where `is_varied` about `s_k`."""

    batch: int
    s_q: int
    h_q: int
    s_k: int
    is_varied: bool = False

    @property
    def name(self) -> str:
        about = "~" if self.is_varied else ""
        return f"b {self.batch} s_q {self.s_q} h_q {self.h_q} s_k {about}{self.s_k}"

    def lengths(self, seed: int) -> np.ndarray:
        """int32 [batch]: the mean everywhere, or normal with half of it as deviation, >= s_q."""
        if not self.is_varied:
            return np.full(self.batch, self.s_k, np.int32)
        drawn = np.random.default_rng(seed).normal(self.s_k, self.s_k / 2, self.batch)
        return np.maximum(drawn, self.s_q).astype(np.int32)


def parse(name: str) -> Shape:
    """The shape that a name as above stands for; ValueError says what is wrong with it."""
    match = re.fullmatch(r"b (\d+) s_q (\d+) h_q (\d+) s_k (~?)(\d+)", name.strip())
    if not match:
        raise ValueError(f'shape: is "{name}", must be like "b 128 s_q 1 h_q 128 s_k ~8192"')
    batch, s_q, h_q, s_k = (int(match[group]) for group in (1, 2, 3, 5))
    if min(batch, s_q, h_q) < 1 or s_k < s_q:
        raise ValueError(f'shape: is "{name}", must have b, s_q, h_q >= 1 and s_k >= s_q')
    return Shape(batch, s_q, h_q, s_k, match[4] == "~")


FOR_CUDA = (
    *(Shape(128, 1, 128, s_k, True) for s_k in (4096, 8192, 32768)),
    *(Shape(128, 2, 128, s_k, True) for s_k in (8192, 32768)),
    *(Shape(b, 1, h_q, s_k) for b in (128, 64) for h_q in (64, 32, 16) for s_k in (8192, 4096)),
    *(Shape(b, 1, 128, 8192) for b in (64, 128)),
    *(Shape(b, 1, h_q, 8192) for b in (16, 4, 1) for h_q in (128, 16)),
    Shape(1, 1, 16, 65536),
    Shape(1, 1, 128, 131072),
)
FOR_CPU = (Shape(2, 1, 16, 300), Shape(4, 2, 8, 200, True))
