"""Connections set aside for one question to the broker, and the port by which the dispatcher asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from tempogram.engine.limits.pool import Connections
from tempogram.engine.ports import Leased

NOTHING = Leased()


@dataclass(slots=True)
class Slots:
    """Free connections, set aside for as long as a ``with`` block asks the broker for leases.

    When the block ends, also by an error, what was leased is sent, and the other connections are free again.

    Attributes:
        count: How many leases the block may ask for.
        connections: What it hands on with that number, so that bots share the connections.
        on_exit: Gets ``leased``.
        again_at_ms: When there may be more, if that is a matter of time.
        leased: The broker's answer; the block sets it.
    """

    count: int
    on_exit: Callable[[Leased], None]
    connections: Connections | None = None
    again_at_ms: int | None = None
    leased: Leased = NOTHING

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.on_exit(self.leased)


class SlotSource(Protocol):
    """What the dispatcher knows of the worker."""

    worker_id: str

    def reserved(self, slots_max: int) -> Slots:
        """Set at most ``slots_max`` free connections aside, until the ``with`` block ends."""


class NoWorker:
    """Stands in for the worker in a process that sends nothing. See ``SlotSource``."""

    worker_id = ""

    def reserved(self, slots_max: int) -> Slots:  # noqa: ARG002 - the port's signature
        return Slots(0, _nothing_leased)


def _nothing_leased(leased: Leased) -> None:
    assert not leased.leases, "leased without a slot"  # noqa: S101
