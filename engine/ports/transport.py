"""One call to Telegram."""

from __future__ import annotations

from typing import Protocol

from engine.messages import Lease
from engine.outcomes import Answer


class Transport(Protocol):
    """The network. Every answer is a value; an exception means that something of ours broke."""

    async def send(self, lease: Lease) -> Answer:
        """Make the lease's call, once.

        The lease's deadline is looked at just before the bytes are written; past
        it nothing is sent, and the outcome is ``Overdue``.

        Returns:
            Answer: ``counted_at_ms`` is a time at which Telegram had certainly
            counted the call, None only if nothing was written.
        """
