"""What passes between those who call a service and the queue of its calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tempogram.engine.services.limit import CallLimit

PRIORITIES = 10
"""How many there are, 0 before 9; as Bottleneck has them. Ours are three of them: see ``PRIORITY_OF``."""

PRIORITY_OF = {"high": 2, "normal": 5, "low": 8}


@dataclass(frozen=True, slots=True)
class Limiter:
    """One limit under its name: everything of this name is counted together.

    Attributes:
        name: Unique in its queue: ``twilio``, ``twilio:voice``, ``twilio@tenant``.
        version: Of the limit; a newer one replaces an older one, and what is used stays used.
    """

    name: str
    limit: CallLimit
    version: int = 1


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call costs at one limiter."""

    limiter: Limiter
    cost: int = 1


@dataclass(slots=True, eq=False)
class Call:
    """One attempt of a call, from the line to its end.

    Attributes:
        charges: All are taken together, or none.
        priority: 0 to 9, 0 first.
        asked_at_ms: When it came.
        began_at_ms: When it got its places; -1 while it waits.
        stands_at: The limiter for which it waits; empty while it does not wait.
    """

    charges: tuple[Charge, ...]
    priority: int = PRIORITY_OF["normal"]
    call_id: str = ""
    arrival: int = -1
    asked_at_ms: int = 0
    began_at_ms: int = -1
    stands_at: str = ""
    is_over: bool = False
    waiter: asyncio.Future[None] | None = field(default=None, repr=False)
    lost: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def operation(self) -> str:
        """See ``operation_of``."""
        return operation_of(charge.limiter.name for charge in self.charges)

    def cost_at(self, name: str) -> int:
        """Return what it costs at one of its limiters."""
        return self.charge_at(name).cost

    def charge_at(self, name: str) -> Charge:
        return next(charge for charge in self.charges if charge.limiter.name == name)

    def __lt__(self, other: Call) -> bool:
        """Tell who is before whom: by priority, then by arrival."""
        return (self.priority, self.arrival) < (other.priority, other.arrival)


_OPERATION = re.compile(r"[A-Za-z0-9_-]+:[A-Za-z0-9_-]+")


def operation_of(limiters: Iterable[str]) -> str:
    """Return which operation a call is of: every call passes the limiter of that name.

    >>> operation_of(["twilio", "twilio@a:b", "twilio:sms#1,0,0", "twilio:sms"])
    'twilio:sms'
    """
    return next((name for name in limiters if _OPERATION.fullmatch(name)), "")
