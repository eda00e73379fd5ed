"""Decode steps of a serving loop in PyTorch: a paged cache, two layers, one plan for a step.

On a CUDA device the step, planning included, is captured once and replayed for every other length.
"""

import torch

import seesaw_mla as sm
import seesaw_mla.torch as st

PAGE_SIZE, MAX_PAGES, NUM_LAYERS, HEADS = 64, 8, 2, 16
device = "cuda" if torch.cuda.is_available() and sm.is_built_with_cuda() else "cpu"
dtype = torch.bfloat16

# What the engine owns: pages of every layer's cache, and the arrays that a step reads.
pages = sm.kv_cache.PageAllocator(num_pages=32, page_size=PAGE_SIZE)
caches = torch.zeros(NUM_LAYERS, 32, PAGE_SIZE, 1, 576, dtype=dtype, device=device)
requests = [pages.create() for _ in range(3)]
block_table = torch.zeros(3, MAX_PAGES, dtype=torch.int32, device=device)
cache_seqlens = torch.zeros(3, dtype=torch.int32, device=device)
q = torch.randn(NUM_LAYERS, 3, 1, HEADS, 576, dtype=dtype, device=device)


def grow(request: int, num_tokens: int) -> None:
    """Makes room for tokens of a request and writes their latents, here the same for all."""
    first = pages.num_tokens(requests[request])
    pages.extend(requests[request], num_tokens)
    slots = torch.tensor(pages.slots(requests[request], first, num_tokens), device=device)
    caches.view(NUM_LAYERS, -1, 576)[:, slots] = 0.5
    row = pages.pages(requests[request])
    block_table[request, : len(row)] = torch.tensor(row, dtype=torch.int32)
    cache_seqlens[request] = first + num_tokens


def step() -> list[torch.Tensor]:
    workspace = st.plan_decode(cache_seqlens, h_q=HEADS)
    return [
        st.decode(q[layer], caches[layer], block_table, cache_seqlens, workspace)[0]
        for layer in range(NUM_LAYERS)
    ]


for request, prompt in enumerate((100, 3, 190)):
    grow(request, prompt)
outputs = step()  # loads what the graph will launch
if device == "cuda":
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()
for _ in range(70):
    for request in range(3):
        grow(request, 1)
    if device == "cuda":
        graph.replay()
    else:
        outputs = step()
means = [f"{output.float().mean().item():.2f}" for output in outputs]
print(cache_seqlens.tolist(), *means)
