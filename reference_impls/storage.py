"""Plans on disk: `plan.json` and one safetensors file, small, versioned, written all or nothing.

The JSON names the tensor file by the hash of its content, and is renamed into place last: a reader
sees the old plan or the new one, never half of each. Masks take one bit a weight, or sixteen for
each kept one when that is less; codes take their own number of bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.plan import (
    Books,
    Codes,
    Layers,
    Mask,
    Narrow,
    Plan,
    Step,
    Stripes,
    Weights,
)

VERSION = 1
Tensors = dict[str, Tensor]
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Stored:
    """A plan and the values saved beside it (empty when only the plan was saved)."""

    plan: Plan
    state: Tensors
    facts: Mapping[str, Any]


def save(
    folder: Path, plan: Plan, state: Tensors | None = None, facts: Facts | None = None
) -> None:
    """Write a plan, values of parameters that it does not determine, and facts about the model.

    Raises:
        InputError: the folder cannot be made, or the configuration is not plain data.
    """
    name, payload, document = _files(plan, state, facts)
    _make(folder)
    _write(folder / name, payload)
    _write(folder / "plan.json", document)
    for stale in folder.glob("plan-*.safetensors"):
        if stale.name != name:
            stale.unlink()


def load(folder: Path) -> Stored:
    """Read what `save` wrote.

    Raises:
        InputError: no plan there, of another version, damaged, or something that is not a plan.
    """
    document = _read_json(folder)
    path = folder / Path(str(document["tensors"])).name
    try:
        payload = path.read_bytes()
        tensors = safetensors.torch.load(payload)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: {error}; save the plan again") from None
    if f"plan-{hashlib.sha256(payload).hexdigest()[:16]}.safetensors" != path.name:
        raise InputError(f"{path}: its content is not what was saved; save the plan again")
    steps = tuple(
        _DECODE[entry["kind"]](entry, _below(tensors, f"step.{place}."))
        for place, entry in enumerate(document["steps"])
    )
    plan = Plan(steps, document["method"], document["config"], tuple(document["notes"]))
    return Stored(plan, _below(tensors, "state."), document["facts"] | {
        "with_state": document["with_state"],
    })  # fmt: skip


def size(plan: Plan, state: Tensors | None = None, facts: Facts | None = None) -> int:
    """Bytes that `save` would write: the JSON and the tensors."""
    _, payload, document = _files(plan, state, facts)
    return len(payload) + len(document)


def _files(plan: Plan, state: Tensors | None, facts: Facts | None) -> tuple[str, bytes, bytes]:
    """Name and content of the tensor file, and the JSON that points to it."""
    document, tensors = _encode(plan)
    tensors |= {f"state.{name}": value.contiguous() for name, value in (state or {}).items()}
    payload = safetensors.torch.save(tensors)
    name = f"plan-{hashlib.sha256(payload).hexdigest()[:16]}.safetensors"
    document |= {"tensors": name, "facts": facts or {}, "with_state": state is not None}
    return name, payload, _to_json(document, plan.method)


def _encode(plan: Plan) -> tuple[Facts, Tensors]:
    entries: list[Facts] = []
    tensors: Tensors = {}
    for place, step in enumerate(plan.steps):
        facts, parts = _ENCODE[type(step)](step)
        entries.append({"kind": type(step).__name__, "path": step.path, **facts})
        tensors |= {f"step.{place}.{name}": part for name, part in parts.items()}
    document = {"version": VERSION, "method": plan.method, "config": dict(plan.config)}
    return document | {"notes": list(plan.notes), "steps": entries}, tensors


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


# Bits. A pattern is stored as bits, or as the 16-bit distances between its kept weights.


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Integers in two's complement of `bits` bits, one behind the other: uint8 (ceil(n bits / 8),).

    >>> pack_bits(torch.tensor([1, -1, 0, 1], dtype=torch.int8), 2).tolist()
    [113]
    """
    plain = np.unpackbits(codes.flatten().numpy().view(np.uint8)[:, None], axis=1)
    return torch.from_numpy(np.packbits(plain[:, 8 - bits :]))


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """The `count` integers that `pack_bits` packed, int8 (count,)."""
    plain = np.unpackbits(packed.numpy(), count=count * bits).reshape(count, bits)
    wide = np.repeat(plain[:, :1], 8, axis=1)  # the sign goes on to the left
    wide[:, 8 - bits :] = plain
    return torch.from_numpy(np.packbits(wide, axis=1)[:, 0].view(np.int8).copy())


def pack_pattern(keep: Tensor) -> Tensors:
    """A bool tensor as {"bits"} or {"gaps"}, whichever is smaller."""
    flat = keep.flatten().numpy()
    gaps = np.diff(np.flatnonzero(flat), prepend=-1)
    if len(gaps) * 2 < len(flat) // 8 and gaps.max(initial=0) < 1 << 16:
        return {"gaps": torch.from_numpy(gaps.astype(np.uint16))}
    return {"bits": torch.from_numpy(np.packbits(flat))}


def unpack_pattern(parts: Tensors, shape: list[int]) -> Tensor:
    """The bool tensor that `pack_pattern` packed."""
    count = int(np.prod(shape))
    if "bits" in parts:
        flat = np.unpackbits(parts["bits"].numpy(), count=count).astype(bool)
    else:
        flat = np.zeros(count, dtype=bool)
        flat[np.cumsum(parts["gaps"].numpy().astype(np.int64)) - 1] = True
    return torch.from_numpy(flat.copy()).view(*shape)


def _encode_pattern(step: Mask | Stripes) -> tuple[Facts, Tensors]:
    return {"shape": list(step.keep.shape)}, pack_pattern(step.keep)


def _encode_codes(step: Codes) -> tuple[Facts, Tensors]:
    facts = {"shape": list(step.codes.shape), "group": step.group, "bits": step.bits}
    return facts, {"codes": pack_bits(step.codes, step.bits), "scales": step.scales.contiguous()}


def _encode_books(step: Books) -> tuple[Facts, Tensors]:
    bits = max(1, (step.books.shape[1] - 1).bit_length())
    codes = pack_bits(step.codes.contiguous().view(torch.int8), bits)
    return {"shape": list(step.codes.shape), "bits": bits}, {
        "codes": codes,
        "books": step.books.contiguous(),
    }


def _encode_weights(step: Weights) -> tuple[Facts, Tensors]:
    return {}, {name: value.detach().clone() for name, value in step.tensors.items()}


def _encode_indices(keep: Tensor) -> Tensors:
    """Indices in 16 bits where they fit."""
    small = int(keep.max()) < 1 << 15
    return {"keep": keep.to(torch.int16 if small else torch.int32).contiguous()}


def _decode_codes(entry: Facts, parts: Tensors) -> Codes:
    count = int(np.prod(entry["shape"]))
    codes = unpack_bits(parts["codes"], entry["bits"], count).view(*entry["shape"])
    return Codes(entry["path"], codes, parts["scales"], entry["group"], entry["bits"])


def _decode_books(entry: Facts, parts: Tensors) -> Books:
    shape, bits = entry["shape"], entry["bits"]
    codes = unpack_bits(parts["codes"], bits, int(np.prod(shape))).view(torch.uint8)
    return Books(entry["path"], (codes & (1 << bits) - 1).view(*shape), parts["books"])


_ENCODE: dict[type, Callable[[Any], tuple[Facts, Tensors]]] = {
    Mask: _encode_pattern,
    Stripes: _encode_pattern,
    Codes: _encode_codes,
    Books: _encode_books,
    Layers: lambda step: ({"keep": list(step.keep)}, {}),
    Weights: _encode_weights,
    Narrow: lambda step: ({"name": step.name, "dim": step.dim}, _encode_indices(step.keep)),
}
_DECODE: dict[str, Callable[[Facts, Tensors], Step]] = {
    "Mask": lambda entry, parts: Mask(entry["path"], unpack_pattern(parts, entry["shape"])),
    "Stripes": lambda entry, parts: Stripes(entry["path"], unpack_pattern(parts, entry["shape"])),
    "Codes": _decode_codes,
    "Books": _decode_books,
    "Layers": lambda entry, parts: Layers(entry["path"], tuple(entry["keep"])),
    "Weights": lambda entry, parts: Weights(entry["path"], parts),
    "Narrow": lambda entry, parts: Narrow(
        entry["path"], entry["name"], entry["dim"], parts["keep"].long()
    ),
}


# Files


def _to_json(document: Facts, method: str) -> bytes:
    try:
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"the configuration of {method!r} is not plain data: {error}") from None


def _read_json(folder: Path) -> Facts:
    path = folder / "plan.json"
    if not path.is_file():
        raise InputError(f"{folder}: no plan.json; name the folder that save() wrote (no pickles)")
    try:
        document = json.loads(path.read_bytes())
        version = document["version"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not a plan of Octavo; save the plan again") from None
    if version != VERSION:
        raise InputError(f"{path}: format {version}; this Octavo reads format {VERSION}")
    return dict(document)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; name a folder that can be written") from None


def _write(path: Path, payload: bytes) -> None:
    """Write beside `path`, make it durable, and rename into place."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
