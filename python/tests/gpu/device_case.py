"""Decode calls on a device: random inputs with NaN where nothing may be read, and their check."""

from decode_case import Case

import seesaw_mla as sm

DEEPSEEK = {"h_q": 16, "d_qk": 576, "d_v": 512, "page_size": 64, "s_q": 1}
SMALL = {"h_q": 6, "d_qk": 96, "d_v": 64, "page_size": 16, "s_q": 2}


class DeviceCase:
    """A case of decode_case with its arrays made by a producer."""

    def __init__(self, rng, device, producer, lengths=(1000, 0, 7, 4000), **fields):
        dtype = fields.pop("dtype", sm.DType.BFLOAT16)
        self.case = Case(rng, dtype, lengths, **{**DEEPSEEK, **fields})
        self.device, self.producer = device, producer
        self.problem = self.case.problem
        self.q = producer.array(self.case.q)
        self.cache = producer.array(self.case.cache)
        self.table = producer.array(self.case.table)
        self.lengths = producer.array(self.case.lengths)
        producer.synchronize()

    def device_plan(self):
        """For lengths on the device, prepared in memory that the plan keeps."""
        plan = sm.plan_for_device_lengths(self.problem, self.device)
        sm.prepare(plan, self.lengths)
        return plan

    def decode(self, plan, **arrays):
        given = {"q": self.q, "kv_cache": self.cache, "block_table": self.table, **arrays}
        return sm.decode(plan, **given)

    def check(self, results):
        out, lse = results
        assert self.producer.is_own(out) and self.producer.is_own(lse)
        self.case.check(self.producer.numpy(out), self.producer.numpy(lse))


def shortened(case, lengths):
    """What is wanted of the same inputs with shorter lengths."""
    whole, case.keys = case.keys, [keys[:n] for keys, n in zip(case.keys, lengths)]
    return whole

