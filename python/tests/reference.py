"""Attention in float64, as docs/mla.md defines it, and how far from it a result may be."""

import ml_dtypes
import numpy as np


def attention(q, keys, d_v, scale, causal=False, sink=None):
    """One request: q [s_q, h, d_qk], keys [s_k, d_qk] -> out [s_q, h, d_v], lse [h, s_q]."""
    q, keys = q.astype(np.float64), keys.astype(np.float64)
    s_q, s_k = len(q), len(keys)
    scores = np.einsum("qhd,kd->hqk", q, keys, optimize=True) * scale
    if causal:
        hidden = np.arange(s_k)[None, :] > s_k - s_q + np.arange(s_q)[:, None]
        scores[:, hidden] = -np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        lse = np.logaddexp.reduce(scores, axis=-1) if s_k else np.full(scores.shape[:2], -np.inf)
        weights = np.where(np.isneginf(lse)[..., None], 0, np.exp(scores - lse[..., None]))
    out = np.einsum("hqk,kd->qhd", weights, keys[:, :d_v], optimize=True)
    if sink is not None:
        share = np.where(np.isneginf(lse), 0, 1 / (1 + np.exp(sink[:, None] - lse)))
        out *= share.T[..., None]
    return out, np.where(np.isneginf(lse), np.inf, lse)


def weight_error(q, keys, scale):
    """How far float32 arithmetic may move a weight, relatively: the score's dot product of d_qk
    terms, then the sum of s_k weights (8 more roundings for exp and the merge); and float16
    rounds each weight below its normal range by up to 2^-25."""
    if not len(keys):
        return 0.0
    q, keys = np.abs(q.astype(np.float64)), np.abs(keys.astype(np.float64))
    largest_sum = np.einsum("qhd,kd->hqk", q, keys, optimize=True).max(initial=0) * abs(scale)
    return (keys.shape[1] * largest_sum + 1.5 * len(keys) + 8) * 2.0**-24


def check(out, lse, want, want_lse, q, keys, scale):
    """out is a mean of values under weights that are rounded to the cache's type (u each, and the
    mean's denominator as much), then itself rounded (u); lse sums those weights."""
    u = float(ml_dtypes.finfo(keys.dtype).eps) / 2
    error = weight_error(q, keys, scale)
    largest_value = np.abs(keys.astype(np.float64)).max(initial=0)
    np.testing.assert_allclose(
        np.asarray(out, np.float64), want, rtol=0, atol=1.01 * (3 * u + 2 * error) * largest_value
    )
    assert np.array_equal(np.isposinf(lse), np.isposinf(want_lse))
    seen = np.isfinite(want_lse)
    np.testing.assert_allclose(
        lse[seen], want_lse[seen], rtol=2.0**-23, atol=1.01 * (u + error)
    )
