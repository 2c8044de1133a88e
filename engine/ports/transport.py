"""One call to Telegram."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tempogram.engine.model.messages import Lease
from tempogram.engine.model.outcomes import Answer

MayWrite = Callable[[], bool]
"""Tells whether the lease is still held; after True the bytes are written at once, without an await between."""


class Transport(Protocol):
    """The network. Every answer is a value; an exception means that something of ours broke."""

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        """Make the lease's call, once.

        ``may_write`` is asked just before the bytes are written, and only then; if it says
        no, nothing is sent, and the outcome is ``Overdue``.

        Returns:
            Answer: ``counted_at_ms`` is a time at which Telegram had certainly
            counted the call, None only if nothing was written.
        """
