"""Each kernel on a GPU against torch there: medians of replayed CUDA graphs, in turn.

A graph leaves out what the processor takes to launch. Calls that read weights take copies in turn
which the second-level cache does not hold. `kernels/<name>/gpu_bars.py` has SHAPES, QUICK and TINY
shapes, and `case(device, *shape)` that makes one; where no GPU is, nothing is measured.

    gpu_copy_gb_per_s   bytes read and written by a copy
    gpu_bf16_gops       2 a product and its sum, bfloat16, a product of 8192 square
"""

from __future__ import annotations

import statistics
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch

from octavo.kernels.bars import Case
from octavo.kernels.measured import Row, judged
from octavo.kernels.roofline import Probes
from octavo.kernels.runtime import gpu
from octavo.kernels.timing import Call

CALLS = 20  # in a graph
COPY, PRODUCT = "gpu_copy_gb_per_s", "gpu_bf16_gops"
LIMITS = {"copy bandwidth": COPY, "bf16 dense": PRODUCT}


class Found(NamedTuple):
    """The limits of a GPU and a row a case; both empty without one."""

    probes: Probes
    rows: list[Row]


def homes() -> list[str]:
    """The kernels that have cases for a GPU, by name."""
    return sorted(home.parent.name for home in Path(__file__).parent.glob("*/gpu_bars.py"))


def measure(quick: bool, names: list[str]) -> Found:
    """Time these kernels and their peers on the GPU, where one is."""
    if gpu.missing() is not None or not set(names) & set(homes()):
        return Found({}, [])
    found = Found(limits(), [])
    with torch.inference_mode():
        for name in sorted(set(names) & set(homes())):
            home = import_module(f"octavo.kernels.{name}.gpu_bars")
            for shape in home.QUICK if quick else home.SHAPES:
                found.rows.append(_row(home.case("cuda", *shape), found.probes))
    return found


def limits() -> Probes:
    """What this GPU gives: bytes copied, dense products."""
    x = torch.empty(1 << 28, dtype=torch.float32, device="cuda")  # 1 GiB
    to, a = torch.empty_like(x), torch.randn(8192, 8192, device="cuda").bfloat16()
    copy_ms = statistics.median(_times(_graph(lambda: to.copy_(x), 1), 9, 1))
    product_ms = statistics.median(_times(_graph(lambda: a @ a, 1), 9, 1))
    return {COPY: 2 * x.nbytes / copy_ms / 1e6, PRODUCT: 2 * 8192**3 / product_ms / 1e6}


def _row(case: Case, probes: Probes, rounds: int = 9) -> Row:
    """Replay our graph and each peer's in turn, and hold the medians against the bar."""
    ours = _graph(case.ours, CALLS)
    ratios, each_ms = {}, []
    for name, peer in case.peers.items():
        theirs = _graph(peer, CALLS)
        pairs = [(_times(ours, 1)[0], _times(theirs, 1)[0]) for _ in range(rounds)]
        ratios[name] = round(statistics.median(b / a for a, b in pairs), 3)
        each_ms.append(statistics.median(a for a, _ in pairs))
    ms = min(each_ms) if each_ms else statistics.median(_times(ours, rounds))
    return judged(case, ms, ratios, share(case, ms, probes), gpu.NAME)


def share(case: Case, ms: float, probes: Probes) -> tuple[float | None, str | None]:
    """The nearest of the case's limits: the share reached, and the probe's name."""
    rates = {COPY: case.moved / ms / 1e6, PRODUCT: case.operations / ms / 1e6}
    named = [LIMITS[limit] for limit in case.limits]
    shares = [(round(rates[name] / probes[name], 3), name) for name in named]
    return max(shares, default=(None, None))


def _graph(call: Call, calls: int) -> torch.cuda.CUDAGraph:
    """So many calls as one graph, once the call is compiled and its memory is there."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    graph.replay()
    return graph


def _times(graph: torch.cuda.CUDAGraph, replays: int, calls: int = CALLS) -> list[float]:
    """Milliseconds of one call, for each replay."""
    times = []
    for _ in range(replays):
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / calls)
    return times
