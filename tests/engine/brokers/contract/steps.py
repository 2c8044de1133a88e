"""What tests of a broker do again and again: queue messages, lease them, settle them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import structs

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import (
    ChatId,
    Done,
    Lease,
    Outgoing,
    Priority,
    Settlement,
    Then,
)
from tempogram.engine.ports import Broker, Queued, Settled, WaitsAt
from tempogram.engine.ports.broker import BATCH_MAX
from tests.fakes import START_MS, Clock, outgoing

NONE = Limit(0, 1)
UNLIMITED = Limits(ceiling=NONE, bot=NONE, chat=NONE, group=NONE)
LEASE_MS = 30_000
MakeBroker = Callable[[Limits], Broker]

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def many(
    count: int, *, prefix: str = "m", bot_id: int = 1, priority: Priority = NORMAL, chat_id: ChatId | None = None
) -> list[Outgoing]:
    """Return messages in the order of their ids: all to one chat, or each to a chat of its own."""
    own = {NORMAL: 1, HIGH: 10_001, LOW: 20_001}[priority]
    return [
        outgoing(f"{prefix}{n:04}", bot_id=bot_id, priority=priority, chat_id=n + own if chat_id is None else chat_id)
        for n in range(count)
    ]


def paid(count: int) -> list[Outgoing]:
    return [structs.replace(each, is_paid=True) for each in many(count, prefix="paid")]


async def queue(broker: Broker, messages: Iterable[Outgoing]) -> None:
    waiting = list(messages)
    for start in range(0, len(waiting), BATCH_MAX):
        batch = waiting[start : start + BATCH_MAX]
        admission = await broker.admit(batch, worker_id="intake", slots=0)
        assert all(isinstance(verdict, Queued) for verdict in admission.verdicts)


async def lease(broker: Broker, slots: int = BATCH_MAX) -> list[Lease]:
    return list((await broker.lease(worker_id="worker", slots=slots)).leases)


async def leased_ids(broker: Broker, slots: int = BATCH_MAX) -> list[str]:
    return [each.message.id for each in await lease(broker, slots)]


async def wake_in_ms(broker: Broker, clock: Clock) -> int | None:
    wake_at_ms = (await broker.lease(worker_id="worker", slots=BATCH_MAX)).wake_at_ms
    return None if wake_at_ms is None else wake_at_ms - clock()


async def settle(
    broker: Broker, leases: Iterable[Lease], then: Then | None = None, age_ms: int | None = 0
) -> list[Settled]:
    return await broker.settle([Settlement(each, then or Done(), age_ms) for each in leases])


async def send_all(broker: Broker, clock: Clock, *, for_ms: int) -> list[tuple[int, str]]:
    """Lease whatever may go and settle it at once, waking when the broker says; return when each left, and its id."""
    sent: list[tuple[int, str]] = []
    end_ms = clock() + for_ms
    while True:
        leased = await broker.lease(worker_id="worker", slots=BATCH_MAX)
        await settle(broker, leased.leases)
        sent += [(clock() - START_MS, each.message.id) for each in leased.leases]
        if not leased.leases and (leased.wake_at_ms is None or leased.wake_at_ms > end_ms):
            clock.now_ms = end_ms
            return sent
        clock.now_ms = clock() if leased.leases or leased.wake_at_ms is None else leased.wake_at_ms


def edit(
    message_id: str,
    *,
    chat_id: ChatId = 7,
    method: str = "editMessageText",
    replaces: str = "edit:1",
    priority: Priority = NORMAL,
) -> Outgoing:
    return outgoing(message_id, chat_id=chat_id, method=method, replaces=replaces, priority=priority)


async def one_by_one(broker: Broker) -> list[str]:
    """Send everything that may go now, and return the ids in the order in which they left."""
    sent: list[str] = []
    while leases := await lease(broker, 1):
        await settle(broker, leases)
        sent += [each.message.id for each in leases]
    return sent


def busiest(sent: Iterable[tuple[int, str]], *, from_ms: int, to_ms: int) -> int:
    return sum(from_ms <= at_ms < to_ms for at_ms, _ in sent)


async def waits_at(broker: Broker, message_id: str) -> WaitsAt:
    explanation = await broker.explain(message_id)
    assert explanation is not None
    return explanation.waits_at


async def explained(broker: Broker, clock: Clock, message_id: str) -> tuple[WaitsAt, int, int, int | None]:
    """Return its gate, how many are before it in lane and line, and in how many ms it goes at the earliest."""
    explanation = await broker.explain(message_id)
    assert explanation is not None
    in_ms = None if explanation.earliest_at_ms is None else explanation.earliest_at_ms - clock()
    return explanation.waits_at, explanation.before_in_lane, explanation.before_in_line, in_ms
