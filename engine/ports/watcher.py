"""What becomes of messages, for a view that a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.model.outcomes import Outcome


class Watcher(Protocol):
    """Is notified at once, many times a second: it returns at once and raises nothing. None in its place costs nothing.

    What fails is not among this: it stands in the log.
    """

    def queued(self, messages: Sequence[Outgoing]) -> None:
        """They were accepted, and wait: for a place, for their time, or for a worker."""

    def answered(self, lease: Lease, outcome: Outcome, *, took_ms: int) -> None:
        """A call to Telegram has ended."""
