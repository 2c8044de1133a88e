"""What a transaction writes last: once, over everything that its verbs have collected.

Two processes whose transactions change rows of one table in several places wait for one another crosswise, and
PostgreSQL ends one of them after a second. What is written at the end, in one order, only waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

Item = TypeVar("Item")

_KEY = "tempogram_at_end"


def at_end(connection: Connection, verb: Callable[[Connection, Sequence[Item]], object], items: Iterable[Item]) -> None:
    """Let a verb write items at the end of the transaction, with all others that it is given until then."""
    _collected(connection).setdefault(verb, []).extend(items)


def write_collected(connection: Connection) -> None:
    """Write what was collected; the transaction does so before it commits."""
    for verb, items in _collected(connection).items():
        verb(connection, items)


def forget_collected(connection: Connection) -> None:
    """Begin with nothing: a connection outlives its transactions, also those that failed."""
    _collected(connection).clear()


def _collected(connection: Connection) -> dict[Callable[[Connection, Sequence[Any]], object], list[Any]]:
    collected: dict[Callable[[Connection, Sequence[Any]], object], list[Any]] = connection.info.setdefault(_KEY, {})
    return collected
