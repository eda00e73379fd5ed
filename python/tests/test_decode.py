"""decode against float64 on random inputs: types, masks, sinks, strides, outputs, threads."""

import threading

import ml_dtypes
import numpy as np
import pytest
from decode_case import TYPES, Case, small_problem
from reference import attention, check

import seesaw_mla as sm


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mask", [sm.Mask.NONE, sm.Mask.CAUSAL])
@pytest.mark.parametrize("has_sink", [False, True])
def test_matches_float64(rng, dtype, mask, has_sink):
    case = Case(rng, dtype, mask=mask, has_attn_sink=has_sink)
    out, lse = case.run()
    assert out.dtype == case.dtype and lse.dtype == np.float32
    assert out.shape == (4, 2, 4, 64) and lse.shape == (4, 4, 2)
    case.check(out, lse)


def test_deepseek_dimensions(rng):
    case = Case(rng, sm.DType.BFLOAT16, (300, 1), h_q=16, d_qk=576, d_v=512, page_size=64, s_q=1)
    case.check(*case.run())


@pytest.mark.parametrize("mode", [sm.ScheduleMode.LATENCY, sm.ScheduleMode.BATCH_INVARIANT])
def test_other_schedules(rng, mode):
    case = Case(rng, softmax_scale=0.2)
    case.plan = sm.plan(case.problem, sm.probe_cpu(), case.lengths.tolist(), mode=mode)
    case.check(*case.run())


def test_strides_are_honoured(rng):
    case = Case(rng)
    p = case.problem
    pool = np.full((len(case.cache), 3, p.page_size, 1, p.d_qk + 5), np.nan, np.float32)
    cache = pool[:, 1, :, :, 2 : p.d_qk + 2]  # pages are slices of another layout
    cache[...] = case.cache
    q = np.empty((p.h_q, p.batch, p.s_q, p.d_qk), np.float32).transpose(1, 2, 0, 3)
    q[...] = case.q
    table = np.full((p.batch, 2 * case.table.shape[1]), 2**31 - 1, np.int32)
    table = table[:, : case.table.shape[1]]
    table[...] = case.table
    reversed_out = np.full((p.batch, p.s_q, p.h_q, p.d_v + 7), 9.0, np.float32)[::-1]
    lse = np.full((p.s_q, p.h_q, p.batch), np.nan, np.float32).transpose(2, 1, 0)
    out, same_lse = case.run(
        q=q, kv_cache=cache, block_table=table, out=reversed_out[..., : p.d_v], lse=lse
    )
    assert np.shares_memory(out, reversed_out) and same_lse is lse
    assert np.all(reversed_out[..., p.d_v :] == 9.0)
    case.check(out, lse)


def test_uint16_stands_for_the_bits_of_bfloat16(rng):
    case = Case(rng, sm.DType.BFLOAT16)
    out, lse = case.run(q=case.q.view(np.uint16), kv_cache=case.cache.view(np.uint16))
    assert out.dtype == np.uint16
    case.check(out.view(ml_dtypes.bfloat16), lse)
    given = np.full(out.shape, np.nan, ml_dtypes.bfloat16)
    assert case.run(out=given)[0] is given
    assert np.array_equal(given.view(np.uint16), out)


class Exporter:
    """Nothing but DLPack, as an array of another framework."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_takes_any_dlpack_producer(rng):
    case = Case(rng)
    given = np.full(case.shapes["out"], np.nan, np.float32)
    wrapped = Exporter(given)
    out, lse = case.run(
        q=Exporter(case.q),
        kv_cache=Exporter(case.cache),
        block_table=Exporter(case.table),
        out=wrapped,
    )
    assert out is wrapped
    case.check(given, lse)


def test_read_only_inputs(rng):
    case = Case(rng, sm.DType.BFLOAT16)
    for array in (case.q, case.cache, case.table, case.lengths):
        array.flags.writeable = False
    case.check(*case.run())


def test_replan(rng):
    case = Case(rng)
    sm.replan(case.plan, case.lengths // 2)
    assert case.plan.kv_lengths == [n // 2 for n in case.lengths]
    case.keys = [keys[: len(keys) // 2] for keys in case.keys]
    case.check(*case.run())


def test_lengths_of_numpy_integers(rng):
    case = Case(rng)
    plan = sm.plan(case.problem, sm.probe_cpu(), list(case.lengths))
    assert plan.kv_lengths == case.lengths.tolist()


def test_no_requests(rng):
    case = Case(rng, lengths=(5,))
    case.problem.batch = 0
    plan = sm.plan(case.problem, sm.probe_cpu(), [])
    out, lse = sm.decode(
        plan, case.q[:0], case.cache, case.table[:0], executor=case.executor
    )
    assert out.shape == (0, 2, 4, 64) and lse.shape == (0, 4, 2)


def test_grown_plan_grows_its_workspace(rng):
    case = Case(rng, lengths=(3000, 2500), s_q=1)
    case.plan = sm.plan(case.problem, sm.probe_cpu(), [1, 1])
    case.run()
    sm.replan(case.plan, case.lengths, num_splits=7)
    case.check(*case.run())


def test_threads_share_a_plan_and_an_executor(rng):
    case = Case(rng)
    results = []
    threads = [threading.Thread(target=lambda: results.append(case.run())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for out, lse in results:
        case.check(out, lse)


def test_other_threads_run_meanwhile(rng):
    case = Case(rng, lengths=(4096,) * 4, h_q=64, d_qk=576, d_v=512, page_size=64)
    case.executor = sm.Executor.cpu(1)
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.0005):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    before = len(ticks)
    case.run()
    during = len(ticks) - before
    done.set()
    thread.join()
    assert during > 0


def test_top_k(rng):
    case = Case(rng, lengths=(64, 40), s_q=2)
    p = small_problem(2, sparsity=sm.Sparsity.TOP_K, top_k=9)
    chosen = rng.integers(0, 40, (2, 2, 9)).astype(np.int32)
    indices = np.empty_like(chosen)
    for (i, s, k), token in np.ndenumerate(chosen):
        indices[i, s, k] = case.table[i, token // 16] * 16 + token % 16
    indices[:, :, 4] = -1
    plan = sm.plan(p, sm.probe_cpu(), None)
    out, lse = sm.decode(
        plan,
        case.q,
        case.cache,
        indices=indices,
        top_k_lengths=np.full(2, 8, np.int32),
        executor=case.executor,
    )
    columns = [0, 1, 2, 3, 5, 6, 7]
    for i in range(2):
        for s in range(2):
            keys = case.keys[i][chosen[i, s, columns]]
            q = case.q[i, s : s + 1]
            want, want_lse = attention(q, keys, 64, 96**-0.5)
            check(out[i, s : s + 1], lse[i, :, s : s + 1], want, want_lse, q, keys, 96**-0.5)


def test_prefill(rng):
    case = Case(rng, lengths=(50, 33), s_q=20)
    queries = [20, 5]
    p = case.problem
    p.phase, p.mask = sm.Phase.PREFILL, sm.Mask.CAUSAL
    plan = sm.plan(p, sm.probe_cpu(), case.lengths, q_lengths=queries)
    q = rng.standard_normal((25, p.h_q, p.d_qk)).astype(np.float32)
    out, lse, max_logits = sm.prefill(plan, q, case.cache, case.table, executor=case.executor)
    begin = 0
    for keys, count in zip(case.keys, queries):
        rows = slice(begin, begin + count)
        scale = p.d_qk**-0.5
        want, want_lse = attention(q[rows], keys, p.d_v, scale, causal=True)
        check(out[rows], lse[rows].T, want, want_lse, q[rows], keys, scale)
        begin += count
    assert max_logits.shape == lse.shape and np.all(max_logits <= lse + 1e-4)


def test_explain_names_the_kernel(rng):
    case = Case(rng)
    assert case.plan.kernel_name in sm.explain(case.plan)
    assert str(case.plan) == sm.explain(case.plan)
    sm.prepare(case.plan)  # of a CPU plan nothing is needed
