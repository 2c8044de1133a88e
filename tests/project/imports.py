"""Which file imports which, read from the sources: imports for types and inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests import ROOT
from tests.project.sources import modules

Graph = Mapping[str, frozenset[str]]


def dotted(path: Path) -> str:
    """Return a file's module, such as ``tempogram.bot.config``, of a package without its ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("tempogram", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def import_graph() -> Graph:
    sources = {dotted(path): path.read_text() for path in modules()}
    return {name: imported(source, frozenset(sources)) - {name} for name, source in sources.items()}


def imported(source: str, known: frozenset[str]) -> frozenset[str]:
    r"""Return which of the known modules a source imports: the module itself where a name of it is imported.

    >>> known = frozenset({"tempogram.bot", "tempogram.bot.fleet"})
    >>> sorted(imported("from tempogram.bot import fleet, name", known))
    ['tempogram.bot', 'tempogram.bot.fleet']
    >>> sorted(imported("def f():\n    import tempogram.bot.fleet", known))
    ['tempogram.bot.fleet']
    """
    found = {name for node in ast.walk(ast.parse(source)) for name in _names(node, known)}
    return frozenset(found & known)


def _names(node: ast.AST, known: frozenset[str]) -> Iterable[str]:
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            inner = {f"{module}.{alias.name}" for alias in names}
            yield from inner
            if not inner <= known:  # a name of the package itself
                yield module


def cycles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import one another in a circle, by Tarjan's algorithm.

    >>> cycles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("a")})
    [['b', 'c']]
    """
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in numbers:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], numbers[other])
        if lowest[name] == numbers[name]:
            group = [stack.pop() for _ in range(len(stack) - stack.index(name))]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in numbers:
            visit(name)
    return sorted(found)
