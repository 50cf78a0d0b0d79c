"""What this machine can do at most, measured beside the kernels: their limits.

One core. A compute probe repeats one instruction in independent chains, a read probe walks a
buffer that fits one level of memory. The best of several samples by the thread's own clock counts:
a limit is what the hardware gives when nothing is in the way. On a backend without an
instruction the probe is absent (`vnni` on AVX2 is vpmaddubsw, vpmaddwd and the addition).

    fma_gflops        2 a product and its sum, float32
    vnni_gops         2 a product and its sum, 8-bit integers
    fadd_gops         2 an absolute difference and its sum, float32
    sad_gops          2 an absolute difference and its sum, bytes
    shuffle_gops      1 a look-up of a byte in a register
    popcount_gops     2 a bit compared and counted
    l1_ l2_ l3_ dram_gb_per_s   bytes read
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from octavo.kernels import runtime

Probes = dict[str, float]
COMPUTE = {
    "fma": "fma_gflops",
    "vnni": "vnni_gops",
    "fadd": "fadd_gops",
    "sad": "sad_gops",
    "shuffle": "shuffle_gops",
    "popcount": "popcount_gops",
}
MEMORY = {name: f"{name}_gb_per_s" for name in ("l1", "l2", "l3", "dram")}
READ = {"l1": 16 << 10, "l2": 512 << 10, "l3": 6 << 20}  # bytes walked again and again
FIRST_CACHE, SECOND_CACHE, USUAL_L3 = 32 << 10, 1 << 20, 32 << 20
SAMPLE_MS, SAMPLES = 4.0, 8


def probes() -> Probes:
    """Every probe of the backend in use, in about half a second; none on the torch reference."""
    if not runtime.is_native():
        return {}
    found = {COMPUTE[unit]: _compute(unit) for unit in runtime.native.roofline_units()}
    sizes = {**READ, "dram": cold_bytes()}
    place = runtime.native.arena(cold_bytes()).fill_(1)
    return found | {MEMORY[level]: _bandwidth(place, size) for level, size in sizes.items()}


def level(size: int) -> str:
    """The nearest memory that holds so many bytes, as the name of its probe.

    >>> level(1 << 10), level(1 << 40)
    ('l1', 'dram')
    """
    sizes = {"l1": FIRST_CACHE, "l2": SECOND_CACHE, "l3": last_cache()}
    return next((name for name, most in sizes.items() if size <= most), "dram")


def cold_bytes() -> int:
    """Bytes of which, read in a circle, nothing is left in the caches: five times the last."""
    return 5 * last_cache()


def last_cache() -> int:
    """Bytes of the third-level cache; a usual size where the system does not say."""
    said = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    text = said.read_text().strip() if said.is_file() else ""
    return int(text[:-1]) << 10 if text.endswith("K") and text[:-1].isdigit() else USUAL_L3


def _compute(unit: str) -> float:
    """Giga-operations a second."""

    def spin(rounds: int) -> float:
        done: float = runtime.native.roofline_spin(unit, rounds)
        return done

    return _best(spin)


def _bandwidth(place: torch.Tensor, size: int) -> float:
    """Gigabytes a second."""

    def walk(rounds: int) -> float:
        runtime.native.roofline_read(place, size, rounds)
        return float(size * rounds)

    return _best(walk)


def _best(work: Callable[[int], float]) -> float:
    """The best rate, in giga-units a second, of samples of some milliseconds each."""
    rounds = 1
    while _rate(work, rounds)[1] < SAMPLE_MS / 1e3 and rounds < 1 << 30:
        rounds *= 2
    return round(max(_rate(work, rounds)[0] for _ in range(SAMPLES)), 2)


def _rate(work: Callable[[int], float], rounds: int) -> tuple[float, float]:
    """Giga-units a second, and the seconds, of one sample."""
    start = time.thread_time()
    done = work(rounds)
    seconds = max(time.thread_time() - start, 1e-9)
    return done / seconds / 1e9, seconds
