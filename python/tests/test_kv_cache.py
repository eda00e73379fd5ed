"""The paged cache from Python: a round trip, copy-on-write, conversion, refusals."""

import ml_dtypes
import numpy as np
import pytest

import seesaw_mla as sm
from seesaw_mla import kv_cache

F32, BF16 = sm.KvFormat.FLOAT32, sm.KvFormat.BFLOAT16


@pytest.fixture
def executor():
    return sm.Executor.cpu(2)


def block_table(pages, sequences):
    rows = [pages.pages(sequence) for sequence in sequences]
    table = np.full((len(rows), max(map(len, rows))), -7, np.int32)
    for row, held in zip(table, rows):
        row[: len(held)] = held
    return table


def test_append_fork_and_gather(rng, executor):
    pages = kv_cache.PageAllocator(20, 4)
    cache = np.full((20, 4, 1, 24), np.nan, ml_dtypes.bfloat16)

    def add(sequence, tokens):
        first = pages.num_tokens(sequence)
        copies = pages.extend(sequence, len(tokens))
        kv_cache.copy_pages(copies, cache, BF16, executor)
        slots = pages.slots(sequence, first, len(tokens))
        assert slots.dtype == np.int64
        kv_cache.append(tokens[:, :, :16], tokens[:, :, 16:], slots, cache, BF16, executor)
        return len(copies)

    tokens = rng.standard_normal((30, 1, 24)).astype(ml_dtypes.bfloat16)
    first = pages.create()
    assert add(first, tokens[:10]) == 0
    second = pages.fork(first)
    assert add(second, tokens[10:15]) == 1  # its last page was shared and partly filled
    assert add(first, tokens[15:30]) == 0
    third = pages.share_prefix(first, 8)
    lengths = np.array([25, 15, 8], np.int32)
    gathered = kv_cache.gather(
        cache, block_table(pages, [first, second, third]), lengths, BF16, executor
    )
    want = np.concatenate(
        [tokens[:10], tokens[15:30], tokens[:10], tokens[10:15], tokens[:8]]
    )
    assert gathered.dtype == ml_dtypes.bfloat16
    assert np.array_equal(gathered.view(np.uint16), want.view(np.uint16))

    widened = np.full(want.shape, np.nan, np.float32)
    same = kv_cache.gather(
        cache, block_table(pages, [first, second, third]), lengths, BF16, executor, out=widened
    )
    assert same is widened and np.array_equal(widened, want.astype(np.float32))

    for sequence in (first, second, third):
        pages.free(sequence)
    assert pages.num_free_pages == 20 and pages.num_sequences == 0


def test_convert_rounds_to_nearest_even(rng, executor):
    source = rng.standard_normal((3, 4, 1, 8)).astype(np.float32)
    pool = np.full((3, 2, 4, 1, 8), np.nan, ml_dtypes.bfloat16)
    kv_cache.convert(source, F32, pool[:, 1], BF16, executor)
    expected = source.astype(ml_dtypes.bfloat16)
    assert np.array_equal(pool[:, 1].view(np.uint16), expected.view(np.uint16))
    assert np.all(np.isnan(pool[:, 0].astype(np.float32)))


def test_allocator_refuses(executor):
    pages = kv_cache.PageAllocator(2, 4)
    sequence = pages.create()
    with pytest.raises(sm.OutOfPagesError):
        pages.extend(sequence, 9)
    assert pages.num_pages_to_extend(sequence, 8) == 2
    for call in (
        lambda: pages.extend(99, 1),
        lambda: pages.extend(sequence, -1),
        lambda: pages.fork(99),
        lambda: pages.share_prefix(sequence, 1),
        lambda: pages.truncate(sequence, 1),
        lambda: pages.free(99),
        lambda: pages.pages(99),
        lambda: pages.slots(sequence, 0, 1),
        lambda: pages.slots(sequence, 0, 2**62),
        lambda: pages.slots(sequence, 0, -1),
        lambda: kv_cache.PageAllocator(-1, 4),
        lambda: kv_cache.PageAllocator(1, 0),
    ):
        with pytest.raises(sm.InvalidArgumentError):
            call()
    for call in (lambda: pages.extend(None, 1), lambda: kv_cache.PageAllocator(1.5, 4)):
        with pytest.raises(TypeError):
            call()
    assert pages.num_free_pages == 2


def test_cache_operations_refuse(executor):
    cache = np.zeros((4, 4, 1, 8), np.float32)
    latent = np.zeros((2, 1, 8), np.float32)
    good = np.array([0, 1], np.int64)
    kv_cache.append(latent, None, good, cache, F32, executor)
    with pytest.raises(sm.CorruptDataError, match="slot_mapping"):
        kv_cache.append(latent, None, np.array([0, 16]), cache, F32, executor)
    with pytest.raises(sm.InvalidArgumentError, match="slot_mapping"):
        kv_cache.append(latent, None, good.astype(np.int32), cache, F32, executor)
    with pytest.raises(TypeError, match="slot_mapping"):
        kv_cache.append(latent, None, None, cache, F32, executor)
    with pytest.raises(sm.UnsupportedError):
        kv_cache.append(latent, None, good, cache, sm.KvFormat.FP8_V32, executor)
    table, lengths = np.zeros((1, 2), np.int32), np.array([5], np.int32)
    assert kv_cache.gather(cache, table, lengths, F32, executor).shape == (5, 1, 8)
    with pytest.raises(sm.CorruptDataError, match="cache_seqlens"):
        kv_cache.gather(cache, table, -lengths, F32, executor)
    with pytest.raises(sm.SeesawError, match="block_table"):
        kv_cache.gather(cache, table + 4, lengths, F32, executor)
    with pytest.raises(sm.InvalidArgumentError, match="kv_cache"):
        kv_cache.gather(cache[0], table, lengths, F32, executor)
    with pytest.raises(sm.InvalidArgumentError, match="cache_seqlens"):
        kv_cache.gather(cache, table, lengths.astype(np.int64), F32, executor)
    with pytest.raises(sm.UnsupportedError):
        kv_cache.gather(cache, table, lengths, sm.KvFormat.FP8_V4, executor)
    with pytest.raises(sm.CorruptDataError):
        kv_cache.copy_pages([kv_cache.PageCopy(0, 4, 1)], cache, F32, executor)
    with pytest.raises(TypeError):
        kv_cache.copy_pages([(0, 1, 1)], cache, F32, executor)
