"""A lease that this process holds: until when it surely does, and how far its call has come.

A lease may be used no more, or is refused when it is settled, because

-   it ran out, or the broker has answered so (``may_write`` here);
-   another process has it by now, or the queue is another one: number and incarnation differ
    (``brokers/memory/leases``, ``brokers/redis/lua/shared/messages``);
-   leases come from elsewhere: the epoch has changed (``failover/failover_broker``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import Lease


@dataclass(slots=True, eq=False)
class HeldLease:
    """What the process that sends knows of its lease; the lease itself is a value.

    Attributes:
        until_ms: The deadline that was confirmed last, by the clock of this process: counted from the moment at
            which it was asked for, because the broker may have another clock, and its answer takes its time.
        is_source: Whether leases still come from the queue that gave it; None: there is only one queue.
        is_lost: The broker has answered that this process holds it no more.
        is_cut_off: The process ends, and its call with it: what becomes of the message is concluded at once.
        written_at_ms: When the first byte of its call was written; None if none was.
    """

    lease: Lease
    until_ms: int
    clock: Clock
    is_source: Callable[[], bool] | None = None
    is_lost: bool = False
    is_cut_off: bool = False
    written_at_ms: int | None = None

    def may_write(self) -> bool:
        """Tell whether this process still holds it. Asked once, just before the first byte, which follows at once."""
        now_ms = self.clock()
        if self.is_lost or now_ms >= self.until_ms or (self.is_source is not None and not self.is_source()):
            return False
        self.written_at_ms = now_ms
        return True
