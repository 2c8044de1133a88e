"""Whether a process lives: as long as it does, it holds the lock of its number."""

from __future__ import annotations

MEMBERS = 0x7E3908
"""The first half of every such lock; any number, the same in every version."""


def lock_id(process: str) -> str:
    """Return the lock of a process, as PostgreSQL writes it.

    >>> lock_id("owner")
    '(8272136::bigint << 32) | owner'
    """
    return f"({MEMBERS}::bigint << 32) | {process}"
