"""Which methods match: by theme, by facet, by a small expression over the facets."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from pathlib import Path

from octavo.catalog.reader import ROOT, methods, taxonomy
from octavo.catalog.records import Method
from octavo.errors import InputError

LONGEST = 500
Words = dict[str, tuple[str, ...]]


def select(
    theme: str | None = None,
    facets: Iterable[str] = (),
    where: str | None = None,
    root: Path = ROOT,
) -> list[Method]:
    """Methods of a theme that have every facet ``k=v`` and for which ``where`` holds.

    Raises InputError for a theme, facet or name that the taxonomy does not have.

    >>> [m.id for m in select("pruning", ["structure=pattern", "retraining=full"])]
    ['stripe-pruning']
    """
    if theme is not None and theme not in taxonomy(root).themes:
        raise InputError(f"--theme {theme}: unknown; one of {', '.join(taxonomy(root).themes)}")
    wanted = [_pair(text, root) for text in facets]
    holds = expression(where, root) if where else None
    return [
        method
        for method in methods(root).values()
        if theme in (None, method.theme)
        and all(value in method.facets.get(name, ()) for name, value in wanted)
        and (holds is None or holds(words(method)))
    ]


def words(method: Method) -> Words:
    """What an expression can ask of a method: its facets (dashes as underscores) and shelves."""
    return {
        **{name.replace("-", "_"): values for name, values in method.facets.items()},
        "id": (method.id,),
        "theme": (method.theme,),
        "technique": method.techniques,
        "kernel": method.kernels,
    }


def expression(text: str, root: Path = ROOT) -> Callable[[Words], bool]:
    """A test of a method's words, from comparisons joined by ``and``, ``or``, ``not``.

    A facet may have several values: a comparison holds where it holds for one of them, ``!=``
    where none is equal. A facet that a method does not have meets no comparison but ``!=``.

    >>> few_bits = expression('bits <= 4 and data in ["none", "unlabelled-calibration"]')
    >>> few_bits({"bits": ("4", "8"), "data": ("none",)}), few_bits({"data": ("none",)})
    (True, False)
    """
    try:
        tree = ast.parse(text[: LONGEST + 1].strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError):
        raise _refused(text, "cannot be read") from None
    if len(text) > LONGEST:
        raise _refused(text[:40] + "…", f"longer than {LONGEST} characters")
    known = {name.replace("-", "_") for name in taxonomy(root).facets}
    return _test(tree.body, text, known | {"id", "theme", "technique", "kernel"})


def _test(node: ast.expr, text: str, known: set[str]) -> Callable[[Words], bool]:
    build = _TESTS.get(type(node))
    if build is None:
        raise _refused(text, f"{ast.unparse(node)!r} is no comparison")
    return build(node, text, known)


def _joined(node: ast.BoolOp, text: str, known: set[str]) -> Callable[[Words], bool]:
    parts = [_test(each, text, known) for each in node.values]
    join = all if isinstance(node.op, ast.And) else any
    return lambda given: join(part(given) for part in parts)


def _not(node: ast.UnaryOp, text: str, known: set[str]) -> Callable[[Words], bool]:
    if not isinstance(node.op, ast.Not):
        raise _refused(text, f"{ast.unparse(node)!r} is no comparison")
    inner = _test(node.operand, text, known)
    return lambda given: not inner(given)


def _compared(node: ast.Compare, text: str, known: set[str]) -> Callable[[Words], bool]:
    if not isinstance(node.left, ast.Name) or len(node.ops) != 1:
        raise _refused(text, f"{ast.unparse(node)!r}: write one name on the left, one value right")
    name, meets = node.left.id, _COMPARED.get(type(node.ops[0]))
    if name not in known:
        raise _refused(text, f"unknown name {name!r}; one of {', '.join(sorted(known))}")
    if meets is None:
        raise _refused(text, f"{ast.unparse(node)!r}: use == != < <= > >= in")
    values = _constants(node.comparators[0], text)
    return lambda given: meets(given.get(name, ()), values)


def _constants(node: ast.expr, text: str) -> tuple[str, ...]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    read = [item.value for item in items if isinstance(item, ast.Constant)]
    if len(read) != len(items) or not all(isinstance(value, str | int | float) for value in read):
        raise _refused(text, f"{ast.unparse(node)!r}: expected a number or a word in quotes")
    return tuple(str(value) for value in read)


def _numbers(meets: Callable[[float, float], bool]) -> Callable[..., bool]:
    def any_number(given: tuple[str, ...], values: tuple[str, ...]) -> bool:
        numbers = [float(each) for each in given if _numeric(each)]
        bounds = [float(each) for each in values if _numeric(each)]
        return any(meets(number, bound) for number in numbers for bound in bounds)

    return any_number


def _numeric(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdigit()


def _shared(given: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return bool(set(given) & set(values))


_COMPARED: dict[type[ast.cmpop], Callable[..., bool]] = {
    ast.Eq: _shared,
    ast.In: _shared,
    ast.NotEq: lambda given, values: not _shared(given, values),
    ast.NotIn: lambda given, values: not _shared(given, values),
    ast.Lt: _numbers(operator.lt),
    ast.LtE: _numbers(operator.le),
    ast.Gt: _numbers(operator.gt),
    ast.GtE: _numbers(operator.ge),
}
_TESTS: dict[type[ast.expr], Callable[..., Callable[[Words], bool]]] = {
    ast.BoolOp: _joined,
    ast.UnaryOp: _not,
    ast.Compare: _compared,
}


def _pair(text: str, root: Path) -> tuple[str, str]:
    name, _, value = text.partition("=")
    facets = taxonomy(root).facets
    if name not in facets:
        raise InputError(f"--facet {text}: unknown facet {name!r}; one of {', '.join(facets)}")
    if value not in facets[name].values:
        allowed = ", ".join(facets[name].values)
        raise InputError(f"--facet {text}: unknown value of {name} {value!r}; one of {allowed}")
    return name, value


def _refused(text: str, why: str) -> InputError:
    like = """bits <= 4 and retraining == "none\""""
    return InputError(f"--where {text}: {why}; write comparisons such as {like}")
