"""Prune the real MiniLM encoder without training, and ask how much of its order of pairs is left.

The judge is that of `students`: the rank correlation of the pruned encoder's cosine similarities
over all pairs of held-out sentences with those of the whole encoder. A seed draws the sentences to
calibrate on. Settings are densities (0.5) or patterns ("2:4"). When quick, the encoder is cut to
its first three blocks, and those are what the judge compares with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any

import torch
from torch import nn

from octavo.reference_impls import saliency
from octavo.reference_impls.layerwise import pattern_of, row_top
from octavo.reference_impls.masking import chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.tasks import pruned, shelf, students

Setting = float | str
Way = Callable[[nn.Module, list[Any], Setting], Plan]  # from encoder, calibration batches, setting
Found = dict[str, dict[Setting, list[float]]]  # by way and setting: rank correlation, by seed

SWEEP: tuple[Setting, ...] = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, "2:4")
QUICK: tuple[Setting, ...] = (0.5, "2:4")
TRAIN, HELD_OUT = 1024, 128
QUICK_BLOCKS = 3  # of six


@cache
def task(quick: bool) -> students.Task:
    """The encoder, sentences to calibrate on and held-out ones; when quick its first blocks."""
    if quick:
        return students.load(TRAIN, HELD_OUT // 2, QUICK_BLOCKS)
    return students.load(TRAIN, HELD_OUT)


def retained(seeds: Sequence[int], quick: bool, ways: Mapping[str, Way]) -> Found:
    """Rank correlation left, by way and setting, a value for each seed."""
    encoder, count = task(quick), 2 if quick else 8
    found: Found = {name: {setting: [] for setting in (QUICK if quick else SWEEP)} for name in ways}
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randperm(len(encoder.train), generator=generator)[:count].tolist()
        batches = [encoder.train[i] for i in drawn]
        for name, way in ways.items():
            for setting, values in found[name].items():
                plan = way(encoder.teacher, batches, setting)
                values.append(encoder.spearman(plan.apply(encoder.teacher)))
    return found


def magnitude(model: nn.Module, _: list[Any], setting: Setting) -> Plan:
    """The baseline without data: the same share of each layer, or n of every m in a row."""
    scores = saliency.magnitude(model)
    if isinstance(setting, float):
        return mask_plan(model, chosen(scores, setting, "layer"), "magnitude", None)
    pattern = pattern_of(setting)
    keep = {path: row_top(s.flatten(1), 1.0, pattern).view(s.shape) for path, s in scores.items()}
    return mask_plan(model, keep, "magnitude", None)


def gain(
    claim: str, found: Found, first: str, other: str, setting: Setting, seeds: Sequence[int]
) -> Measurement:
    """Rank correlation of one way minus that of another, with the curves of all beside."""
    ours, theirs = found[first][setting], found[other][setting]
    title = "Order of sentence pairs kept by the pruned encoder"
    by_compression = {
        name: {1 / s: values for s, values in at.items() if isinstance(s, float)}
        for name, at in found.items()
    }
    each = ", ".join(f"{name} {fmean(at[setting]):.3f}" for name, at in found.items())
    series = pruned.curves(title, "rank correlation", by_compression)
    return shelf.gain(claim, ours, theirs, other, seeds, f"at {setting}: {each}", series)
