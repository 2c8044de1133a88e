"""Rebuilds the queue from the ledger, so that neither a restart nor an emptied Redis breaks a window or loses anything.

When that is done: ``bot/wiring/queue`` at each start with the queue in memory, else the table in ``failover/leader``.

Which of the open messages were on their way when the last process died is unknown. At most one message of each chat
was: so one place of each chat that has open messages counts as taken now, and every bot that was at work first waits
for one window. These presumed sends are written down before anything is leased: the next start, if it comes within
the same window, counts them too.

Where other processes are at work, only the queue died, and they go on with their leases. What they end is recorded
before it is settled: so each page is read again after it was admitted, and what has ended by then is taken out. What
ends later is settled later; the process that settles it learns that its lease is not held, and takes the message out
(see ``Delivery`` and ``FailoverBroker.settle``).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerFull
from tempogram.engine.model.messages import ChatId, Outgoing, PastSend
from tempogram.engine.ports import Broker, Clock, Ledger
from tempogram.engine.ports.broker import BATCH_MAX

log = structlog.get_logger()

PAGE = 1_000
"""Messages read from the ledger, or places written into it, at a time."""


@dataclass
class RebuildReport:
    """What a rebuild found in the ledger.

    Attributes:
        messages: How many were open.
        interrupted: How many were marked as ``sending``, and are uncertain now.
        presumed: By bot and chat, the send that may have been on its way.
    """

    messages: int = 0
    interrupted: int = 0
    presumed: dict[tuple[int, ChatId | None], PastSend] = field(default_factory=dict)

    def note(self, message: Outgoing) -> None:
        """Presume that the chat's costliest open message was on its way; its time is set at the end.

        What is uncounted takes no place, but may have arrived too: the ledger tells of it later, and not as a send.
        """
        self.messages += 1
        key = (message.bot_id, message.chat_id)
        before = self.presumed.get(key, PastSend(*key, 0, 0))
        cost, is_paid = max(message.cost, before.cost), (message.is_paid and message.cost > 0) or before.is_paid
        self.presumed[key] = PastSend(*key, 0, cost, is_paid)


async def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class OtherProcesses:
    """Other processes are at work on the same ledger, while the queue is rebuilt.

    Attributes:
        lease_ms: What is marked as ``sending`` for longer than two of these belongs to no living process.
        before_batch: Awaited before each batch; raises if another process rebuilds it now.
        before_opening: Awaited when all but the opening is done.
    """

    lease_ms: int
    before_batch: Callable[[], Awaitable[None]] = nothing
    before_opening: Callable[[], Awaitable[None]] = nothing


ALONE = OtherProcesses(lease_ms=0)
"""No other process is at work."""


async def rebuild(
    ledger: Ledger,
    broker: Broker,
    closer: Closer,
    limits: Limits,
    clock: Clock,
    *,
    calls_max: int = sys.maxsize,
    others: OtherProcesses = ALONE,
    presumes: bool = True,
) -> RebuildReport:
    """Bring an empty broker to where the ledger says it was. Nothing may be leased before it returns.

    A broker that is full before all is in leases what it has; the reconciler admits the rest later. ``calls_max`` is
    how many calls may have been under way: no more of a purse is presumed to be spent. ``presumes`` is False if it is
    known that none was.
    """
    found = RebuildReport()
    await _follow_clock(ledger, clock())
    found.interrupted = await ledger.settle_interrupted(clock(), longer_than_ms=2 * others.lease_ms)
    await _restore_settings(ledger, broker)
    await broker.hold(await ledger.holds(clock()))
    await _admit_open(ledger, broker, closer, found, others)
    now_ms = clock()
    for batch in batches(_presumed(found, calls_max, now_ms) if presumes else [], PAGE):
        await ledger.presume(batch)
    known_since_ms = now_ms - _longest_ms(limits)
    sends = [_bounded(each, limits, now_ms) for each in await ledger.sends_since(known_since_ms, now_ms=now_ms)]
    sends = _with_bursts(sends, limits, known_since_ms)
    spent = await ledger.spent_since(now_ms - limits.purse.window_ms)
    await others.before_opening()
    await broker.restore(sends, wait_until_ms=_waits(sends, limits, now_ms), spent=spent)
    log.info("queue_rebuilt", messages=found.messages, interrupted=found.interrupted, sends=len(sends))
    return found


async def _follow_clock(ledger: Ledger, now_ms: int) -> None:
    """Let what a clock has written that was set back since end when it would have: no bot waits for it to catch up."""
    ahead_ms = await ledger.follow_clock(now_ms)
    if ahead_ms:
        log.warning("clock_set_back", seconds=round(ahead_ms / 1_000), then="what is recorded for later counts as now")


def _bounded(send: PastSend, limits: Limits, now_ms: int) -> PastSend:
    """Let what is recorded for later, perhaps an hour of it, take no more places than its chat has."""
    limit = limits.of_chat(send.chat_id)
    if send.counted_at_ms <= now_ms or limit is None or not limit.places:
        return send
    return replace(send, cost=min(send.cost, limit.places))


async def _restore_settings(ledger: Ledger, broker: Broker) -> None:
    for bot_id in await ledger.paused_bots():
        await broker.pause(bot_id, paused=True)
    for bot_id, weight in (await ledger.weights()).items():
        await broker.weigh(bot_id, weight)
    for each in await ledger.aliases():
        await broker.migrate(each.bot_id, each.name, each.chat_id)


async def _admit_open(
    ledger: Ledger, broker: Broker, closer: Closer, found: RebuildReport, others: OtherProcesses
) -> None:
    """Admit the open messages, the oldest first, as long as there is room; the rest may have been on its way too."""
    after_id, has_room = "", True
    while page := await ledger.open_messages(after_id=after_id, limit=PAGE):
        for message in page:
            found.note(message)
        if has_room:
            has_room = await _admit_page(broker, closer, page, others)
            if others is not ALONE:
                await _take_out_ended(ledger, broker, page, after_id)
        after_id = page[-1].id


async def _admit_page(broker: Broker, closer: Closer, page: Sequence[Outgoing], others: OtherProcesses) -> bool:
    """Admit a page; False if there was no room for all of it, which is no reason to send nothing at all."""
    for batch in batches(page, BATCH_MAX):
        await others.before_batch()
        try:
            admission = await broker.admit(batch, worker_id="", slots=0, capped=False)
        except BrokerFull as error:
            log.warning("rebuilt_queue_full", admitted_before_id=batch[0].id, error=str(error))
            return False
        await closer.record_replaced(batch, admission.verdicts)
    return True


async def _take_out_ended(ledger: Ledger, broker: Broker, page: Sequence[Outgoing], after_id: str) -> None:
    """Take out what has ended while it was admitted; more ids are read, as new ones may have come in between."""
    still_open = set(await ledger.open_ids(after_id=after_id, limit=2 * PAGE))
    ended = [message.id for message in page if message.id not in still_open]
    for batch in batches(ended, BATCH_MAX):
        await broker.cancel(batch)


def _longest_ms(limits: Limits) -> int:
    """Return for how long a send may take a place, and in a bucket keep one that came before it from draining."""
    windows = (limits.ceiling, limits.bot, limits.paid, limits.chat, limits.group)
    return max(each.window_ms for each in windows) + max(each.drains_in_ms for each in windows)


def _with_bursts(sends: Sequence[PastSend], limits: Limits, known_since_ms: int) -> list[PastSend]:
    """Let a chat's first known send stand for a full bucket, if an unknown one may have come just before it.

    A chat that gets a message a second, all the time, has its burst spent by those of long ago.
    """
    found: list[PastSend] = []
    known: set[tuple[int, ChatId]] = set()
    for send in sorted(sends, key=lambda send: send.counted_at_ms):
        limit = limits.of_chat(send.chat_id)
        is_first = send.chat_id is not None and (send.bot_id, send.chat_id) not in known
        if send.chat_id is not None:
            known.add((send.bot_id, send.chat_id))
        if is_first and limit and limit.burst and send.counted_at_ms < known_since_ms + limit.drains_in_ms:
            found.append(replace(send, cost=max(send.cost, limit.burst)))
        else:
            found.append(send)
    return found


def _waits(sends: Sequence[PastSend], limits: Limits, now_ms: int) -> dict[int, int]:
    """Return until when each bot waits that may have had something on its way."""
    window_ms = max(limits.bot.window_ms, limits.paid.window_ms)
    return {
        send.bot_id: now_ms + window_ms + limits.guard_ms for send in sends if send.counted_at_ms > now_ms - window_ms
    }


def _presumed(found: RebuildReport, calls_max: int, now_ms: int) -> list[PastSend]:
    """Return what may have been on its way; of a bot's calls no more count as paid than there can have been."""
    calls = Counter[int]()
    presumed = []
    for send in sorted(found.presumed.values(), key=lambda send: (not send.is_paid, -send.cost)):
        calls[send.bot_id] += 1
        is_paid = send.is_paid and calls[send.bot_id] <= calls_max
        presumed.append(replace(send, counted_at_ms=now_ms, is_paid=is_paid))
    return presumed
