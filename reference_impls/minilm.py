"""MiniLM: deep self-attention distillation of a transformer encoder (paper `minilm`).

Copying a teacher layer by layer ties the student's depth and width to the teacher's. MiniLM copies
only what the self-attention of the teacher's last layer does, head by head: where each token looks,
and how the values relate to one another. Both are tables of tokens by tokens, so the student may
have any depth and width as long as its number of heads is the teacher's; nothing is projected.

| symbol      | here           | shape, meaning                                                |
| ----------- | -------------- | ------------------------------------------------------------- |
| Q, K, V     | Attention      | (B, heads, T, d): of the last layer of teacher or student     |
| A_h, |x|    | heads, real    | number of heads; number of tokens that are no padding         |
| d_k         | d              | width of a head, each model its own                           |
| A           | attention      | softmax(Q K^T / sqrt(d_k)), (B, heads, T, T), in logarithms   |
| VR          | value relation | softmax(V V^T / sqrt(d_k)), (B, heads, T, T), in logarithms   |
| T, S; L, M  |                | teacher, student; their last layers                           |

    L_AT = 1 / (A_h |x|) sum_a sum_t KL(A^T_{L,a,t}  || A^S_{M,a,t})                        eq. (7)
    VR   = softmax(V V^T / sqrt(d_k))                                                  eq. (8), (9)
    L_VR = 1 / (A_h |x|) sum_a sum_t KL(VR^T_{L,a,t} || VR^S_{M,a,t})                      eq. (10)
    L    = L_AT + L_VR                                                                     eq. (11)

By hand: one head, two tokens, d = 1. The teacher's values are (0, 1): the relation of the second
token to both is softmax(0, 1), that of the first is even. A student with values (0, 0) has even
relations only, so its loss is half of KL(softmax(0, 1) || (1/2, 1/2)) = 0.1109.

>>> zero = torch.zeros(1, 1, 2, 1)
>>> teacher = Attention(zero, zero, torch.tensor([[[[0.0], [1.0]]]]))
>>> round(float(loss(teacher, Attention(zero, zero, zero))), 4)
0.0555
>>> float(loss(teacher, Attention(zero, zero, -teacher.value)))
0.0

Differs:
- ``plan`` makes the student from the teacher: every other block, the last one among them, and the
  embeddings, which stay frozen. The paper starts a student at random and trains 400,000 steps.
- So the student's width is the teacher's; ``loss`` itself takes any width.
- What the loss cannot reach keeps the teacher's values: all of the last block behind its values.
- No dropout while distilling: in some hundred steps nothing can be overfitted.
- The teacher assistant is of middle depth here, as depth is what changes; in the paper it has the
  student's width and the teacher's depth.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean, pstdev

import torch
from safetensors.torch import save
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.timing import ratio
from octavo.reference_impls.calibration import changed
from octavo.reference_impls.distil import (
    Attention,
    blocks_of,
    depth_of,
    every_other,
    last_attention,
    self_attention,
)
from octavo.reference_impls.inputs import Data, Input, batches
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Layers, Plan, Weights
from octavo.reference_impls.tasks import students
from octavo.reference_impls.tasks.pruned import one_thread

BLOCKS = "encoder.layer"  # of the encoder that the claims distil
Criterion = Callable[[nn.Module, nn.Module, Input], Tensor]  # (teacher, student, inputs) -> loss


@dataclass(frozen=True)
class Config:
    """Settings; each default with where it comes from."""

    layers: int | None = None  # blocks of the student; None: half, as 12 to 6 in Section 4
    steps: int = 500  # ours, for a CPU; Section 4: 400,000
    lr: float = 5e-4  # Section 4, the 6-layer student of width 768
    warmup: float = 0.01  # share of steps; Section 4: 4,000 of 400,000
    weight_decay: float = 0.01  # Section 4
    assistant: int | None = None  # blocks of a teacher assistant in between; Section 3.3
    blocks: str | None = None  # path of the list of blocks; None: found


def loss(teacher: Attention, student: Attention) -> Tensor:
    """L_AT + L_VR of eq. (11) for one layer of each, mean over the sequences.

    The widths of the heads may differ; batch, heads and tokens may not. Tokens that the teacher
    marks as padding are neither queries nor keys.

    Raises:
        InputError: other numbers of heads, tokens or sequences.
    """
    return attention_loss(teacher, student) + value_loss(teacher, student)


def attention_loss(teacher: Attention, student: Attention) -> Tensor:
    """L_AT, eq. (7): KL of the attention distributions, mean over heads and real queries."""
    _check(teacher, student)
    theirs = log_relation(teacher.query, teacher.key, teacher.real)
    return divergence(theirs, log_relation(student.query, student.key, teacher.real), teacher.real)


def value_loss(teacher: Attention, student: Attention) -> Tensor:
    """L_VR, eq. (10): KL of the value relations, mean over heads and real rows."""
    _check(teacher, student)
    theirs = log_relation(teacher.value, teacher.value, teacher.real)
    ours = log_relation(student.value, student.value, teacher.real)
    return divergence(theirs, ours, teacher.real)


def log_relation(a: Tensor, b: Tensor, real: Tensor | None = None) -> Tensor:
    """Logarithm of softmax(a b^T / sqrt(d)): (B, heads, T, d) twice to (B, heads, T, T).

    Padded columns get (nearly) nothing.
    """
    scores = a @ b.transpose(2, 3) / a.shape[3] ** 0.5  # (B, heads, T, T)
    if real is not None:
        scores = scores.masked_fill(~real[:, None, None, :], torch.finfo(scores.dtype).min / 2)
    return torch.log_softmax(scores, 3)


def divergence(teacher: Tensor, student: Tensor, real: Tensor | None = None) -> Tensor:
    """KL(teacher || student) of rows given in logarithms, mean over heads, real rows, sequences."""
    rows = (teacher.exp() * (teacher - student)).sum(3).mean(1)  # (B, T)
    if real is None:
        return rows.mean()
    weights = real.to(rows.dtype)
    return ((rows * weights).sum(1) / weights.sum(1).clamp_min(1)).mean()


def plan(
    model: nn.Module, config: Config, *, data: Data, example: Input, generator: torch.Generator
) -> Plan:
    """Distil ``model`` into every other of its blocks: a plan of layers and weights.

    Args:
        model: the teacher, a transformer encoder; it is left as it is. Its blocks are found: the
            longest ModuleList or Sequential whose members have one self-attention each.
        config: depth of the student, and the training's settings.
        data: batches of unlabelled text, as the model takes them (ids and attention mask).
        example: not needed.
        generator: draws the order of the batches.

    Raises:
        InputError: no data, no attention or blocks that are known, a depth that does not fit.
    """
    texts = [changed(batch.input, Tensor.cpu) for batch in batches(data)]
    if not texts:
        raise InputError("minilm: data has no batch; pass unlabelled text, ids and attention mask")
    teacher = copy.deepcopy(model).cpu().requires_grad_(False).eval()
    blocks = config.blocks or blocks_of(teacher)
    depth = depth_of(teacher, blocks)
    count = depth // 2 if config.layers is None else config.layers
    chain = [count] if config.assistant is None else [config.assistant, count]
    _check_depths([depth, *chain])
    keep, student = tuple(range(depth)), teacher
    for layers in chain:
        kept = every_other(len(keep), layers)
        keep, master = tuple(keep[i] for i in kept), student
        student = Plan((Layers(blocks, kept),)).apply(master)
        train(master, student, texts, _criterion(loss, blocks), config, generator)
    start = Plan((Layers(blocks, keep),)).apply(teacher)
    steps = (Layers(blocks, keep), Weights("", _moved(start, student)))
    notes = (f"blocks {', '.join(str(i) for i in keep)} of {blocks!r} kept; embeddings frozen",)
    return Plan(steps, "minilm", asdict(config), notes)


def train(
    teacher: nn.Module,
    student: nn.Module,
    texts: Sequence[Input],
    criterion: Criterion,
    config: Config,
    generator: torch.Generator,
) -> list[float]:
    """Train the student in place, Adam with warm-up and linear decay; the loss of every step.

    All but embeddings (and what the loss cannot reach) is trained; both models stay in eval mode.
    """
    for module in student.eval().modules():
        frozen = isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(not frozen)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    warm = max(1, round(config.warmup * config.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / warm, (config.steps - t) / max(1, config.steps - warm))
    )
    losses = []
    for index in _order(len(texts), config.steps, generator):
        value = criterion(teacher, student, texts[index])
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    student.requires_grad_(False)
    return losses


def _criterion(measure: Callable[[Attention, Attention], Tensor], blocks: str) -> Criterion:
    """The loss of the last self-attentions, taken by hooks."""

    def criterion(teacher: nn.Module, student: nn.Module, inputs: Input) -> Tensor:
        with torch.no_grad():
            theirs = self_attention(teacher, last_attention(teacher, blocks), inputs)
        return measure(theirs, self_attention(student, last_attention(student, blocks), inputs))

    return criterion


def _order(count: int, steps: int, generator: torch.Generator) -> Iterator[int]:
    """Numbers of batches for each step: all of them in random order, then again."""
    queue: list[int] = []
    for _ in range(steps):
        queue = queue or torch.randperm(count, generator=generator).tolist()
        yield queue.pop()


def _moved(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """Parameters that training changed, by name."""
    old = dict(before.named_parameters())
    return {n: p.detach() for n, p in after.named_parameters() if not torch.equal(p, old[n])}


def _check(teacher: Attention, student: Attention) -> None:
    ours, theirs = student.value.shape[:3], teacher.value.shape[:3]
    if ours != theirs:
        raise InputError(
            f"minilm: (sequences, heads, tokens) is {tuple(ours)} in the student and "
            f"{tuple(theirs)} in the teacher; only the width may differ"
        )


def _check_depths(depths: Sequence[int]) -> None:
    falling = all(a > b for a, b in pairwise(depths))
    if not falling or depths[-1] < 1:
        way = " to ".join(str(depth) for depth in depths)
        raise InputError(f"minilm: blocks would go {way}; each must be fewer, and at least 1")


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: two to three minutes when quick, some twenty-five else.

    The MiniLM encoder (6 blocks) to 3 blocks on docstring sentences. Every variant starts from the
    same student and sees the same batches in the same order; a seed is another order.
    """
    config = Config(steps=60 if quick else 600)
    with one_thread():
        task = students.load(1024 if quick else 4096, 160)
        results = [
            _rotation(seeds), _other_width(task), *_variants(task, config, tuple(seeds))
        ]  # fmt: skip
    yield from results
    yield from _cost(task)


def _rotation(seeds: Sequence[int]) -> Measurement:
    worst = 0.0
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(2, 3, 7, 16, generator=generator, dtype=torch.float64)
        turn = torch.linalg.qr(torch.randn(16, 16, generator=generator, dtype=torch.float64)).Q
        turned = values @ turn
        off = log_relation(values, values).exp() - log_relation(turned, turned).exp()
        worst = max(worst, float(off.abs().max()))
    return Measurement("value-relation-rotation", worst, seeds=tuple(seeds))


def _other_width(task: students.Task) -> Measurement:
    student = students.narrow(task.teacher, width=192, layers=2, seed=0)
    value = _criterion(loss, BLOCKS)(task.teacher, student, task.train[0])
    value.backward()  # type: ignore[no-untyped-call]
    norms = [p.grad.norm() for p in student.parameters() if p.grad is not None]
    norm = float(torch.stack(norms).norm()) if bool(value.isfinite()) else 0.0
    return Measurement(
        "widths-differ", norm, note=f"teacher 384 wide, student 192; loss {value.item():.3f}"
    )


def _variants(task: students.Task, config: Config, seeds: tuple[int, ...]) -> Iterator[Measurement]:
    start = Plan((Layers(BLOCKS, every_other(6, 3)),)).apply(task.teacher)
    ends: dict[str, list[float]] = {}
    losses: dict[str, list[list[float]]] = {}
    for name, criterion in _criteria(task).items():
        for seed in seeds:
            student, generator = copy.deepcopy(start), torch.Generator().manual_seed(seed)
            run = train(task.teacher, student, task.train, criterion, config, generator)
            losses.setdefault(name, []).append(run)
            ends.setdefault(name, []).append(task.spearman(student))
    before, full = task.spearman(start), ends["AT + VR"]
    series = students.curves(before, ends, config.steps)
    each = ", ".join(f"{name} {fmean(e):.3f}" for name, e in ends.items())
    said = f"{each}; {before:.3f} before training; {config.steps} steps of {students.BATCH}"
    for claim, other in (("full-over-at-only", "AT only"), ("over-soft-labels", "output only")):
        gains = [a - b for a, b in zip(full, ends[other], strict=True)]
        yield Measurement(
            claim, fmean(gains), pstdev(gains), fmean(ends[other]), other, seeds, series, said
        )
    yield Measurement(
        "retained-similarity", fmean(full), pstdev(full), before, "every other block, untrained",
        seeds, students.loss_curves(losses["AT + VR"]), said,
    )  # fmt: skip


def _criteria(task: students.Task) -> dict[str, Criterion]:
    """The three losses, with the teacher's side computed once for each batch."""
    path = last_attention(task.teacher, BLOCKS)
    with torch.no_grad():
        taught = [self_attention(task.teacher, path, batch) for batch in task.train]
    vectors = students.vectors(task.teacher, task.train)
    number = {id(batch): i for i, batch in enumerate(task.train)}

    def attending(measure: Callable[[Attention, Attention], Tensor]) -> Criterion:
        def criterion(_: nn.Module, student: nn.Module, batch: Input) -> Tensor:
            ours = self_attention(student, last_attention(student, BLOCKS), batch)
            return measure(taught[number[id(batch)]], ours)

        return criterion

    def output(_: nn.Module, student: nn.Module, batch: Input) -> Tensor:
        return students.output_loss(student, batch, vectors[number[id(batch)]])

    return {
        "AT + VR": attending(loss), "AT only": attending(attention_loss), "output only": output
    }  # fmt: skip


def _cost(task: students.Task) -> Iterator[Measurement]:
    student = Plan((Layers(BLOCKS, every_other(6, 3)),)).apply(task.teacher)
    batch = {name: t[:8] for name, t in task.held_out[0].items()}
    shape = " x ".join(str(n) for n in batch["input_ids"].shape)
    timed = ratio(students.milliseconds(student, batch), students.milliseconds(task.teacher, batch))
    yield Measurement(
        "student-ms", timed.ratio, None, 1.0, "teacher",
        note=f"{timed.second_ms:.2f} ms to {timed.first_ms:.2f} ms, batch x tokens {shape}",
    )  # fmt: skip
    sizes = [len(save(dict(m.state_dict()))) for m in (task.teacher, student)]
    yield Measurement(
        "student-size", sizes[0] / sizes[1], None, 1.0, "teacher",
        note=f"{sizes[0]:,} bytes to {sizes[1]:,}, float32",
    )  # fmt: skip
