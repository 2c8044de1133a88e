"""The queue of one process: the embedded default. Lost with the process, and rebuilt from the ledger."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Mapping, Sequence

from tempogram.engine.brokers.memory.admissions import Admissions
from tempogram.engine.brokers.memory.configure import configure
from tempogram.engine.brokers.memory.explain import Inquiry
from tempogram.engine.brokers.memory.holds import Holds
from tempogram.engine.brokers.memory.leases import Leases
from tempogram.engine.brokers.memory.migration import Migration
from tempogram.engine.brokers.memory.queue import Queue, sooner
from tempogram.engine.brokers.memory.settlements import Settlements
from tempogram.engine.brokers.memory.wakeup import Wakeup
from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.limits.windows import note
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import ChatId, Hold, Lease, Outgoing, PastSend, Settlement, Spent
from tempogram.engine.ports.broker import (
    BATCH_MAX,
    Admission,
    Leased,
    QueueStats,
    Settled,
)
from tempogram.engine.ports.explanation import Explanation


class MemoryBroker:
    """See ``Broker``. In every verb time passes first, and then a part of the queue does what is asked."""

    def __init__(self, limits: Limits, *, clock: Clock, lease_ms: int, incarnation: int | None = None) -> None:
        fresh = secrets.randbits(48) if incarnation is None else incarnation
        self._queue = queue = Queue(limits, clock=clock)
        self._leases = leases = Leases(queue, lease_ms=lease_ms, incarnation=fresh)
        self._admissions = Admissions(queue)
        self._holds = holds = Holds(queue)
        self._migration = migration = Migration(queue, leases)
        self._settlements = Settlements(queue, leases, holds, migration)
        self._wakeup = Wakeup()
        weakref.finalize(self, queue.let_go).atexit = False

    @property
    def incarnation(self) -> int:
        return self._leases.incarnation

    def size(self) -> int:
        """Count what is remembered of messages, chats and users; for tests of what is forgotten."""
        return self._queue.size()

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        _bounded(messages)
        now_ms = self._queue.pass_time()
        verdicts = tuple(self._admissions.admit(message, now_ms, capped=capped) for message in messages)
        leased = self._leases.lease(worker_id, slots, now_ms, connections)
        self._wakeup.ring_if_sooner(now_ms if leased.is_kept_back else leased.wake_at_ms)
        return Admission(verdicts, leased)

    async def lease(self, *, worker_id: str, slots: int, connections: Connections | None = None) -> Leased:
        leased = self._leases.lease(worker_id, slots, self._queue.pass_time(), connections)
        self._wakeup.answer(leased.wake_at_ms)
        return leased

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        _bounded(leases)
        now_ms = self._queue.pass_time()
        return [self._leases.extend(lease, now_ms + by_ms) for lease in leases]

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        _bounded(settlements)
        now_ms = self._queue.pass_time()
        settled = [self._settlements.settle(settlement, now_ms) for settlement in settlements]
        self._wakeup.ring()
        return settled

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        now_ms = self._queue.pass_time()
        lost = sorted(
            (entry for entry in self._leases.leased.values() if entry.lease_until_ms <= now_ms),
            key=lambda entry: (entry.lease_until_ms, entry.message.id),
        )
        return [self._leases.give(entry, worker_id, now_ms) for entry in lost[: min(slots, BATCH_MAX)]]

    async def hold(self, holds: Sequence[Hold]) -> None:
        queue = self._queue
        now_ms = queue.pass_time()
        for hold in holds:
            self._holds.hold(queue.bot(hold.bot_id), hold.chat_id, hold.until_ms, now_ms)

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        queue = self._queue
        _bounded(message_ids)
        now_ms = queue.pass_time()
        cancelled = [queue.cancel(message_id, now_ms) for message_id in message_ids]
        self._wakeup.ring()
        return cancelled

    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        queue = self._queue
        _bounded(messages)
        now_ms = queue.pass_time()
        amended = [queue.amend(message, now_ms) for message in messages]
        if any(amended):
            self._wakeup.ring()
        return amended

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        queue = self._queue
        now_ms = queue.pass_time()
        bot = queue.bot(bot_id)
        chat = bot.chats.get(bot.resolve(chat_id))
        dropped = [] if chat is None else list(chat.edits.get(replaces, ()))
        for entry in dropped:
            queue.remove(entry, now_ms)
        self._wakeup.ring()
        return [entry.message for entry in dropped]

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        queue = self._queue
        now_ms = queue.pass_time()
        bot = queue.bot(bot_id)
        bot.is_paused = paused
        queue.reoffer(bot, now_ms)
        self._wakeup.ring()

    async def weigh(self, bot_id: int, weight: int) -> None:
        queue = self._queue
        queue.pass_time()
        queue.bot(bot_id).weight = weight

    async def configure(self, limits: Limits) -> bool:
        queue = self._queue
        now_ms = queue.pass_time()
        if limits.version <= queue.limits.version:
            return False
        queue.limits = limits
        configure(queue, limits, now_ms)
        self._wakeup.ring()
        return True

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        queue = self._queue
        now_ms = queue.pass_time()
        self._migration.migrate(queue.bot(bot_id), from_chat_id, to_chat_id, now_ms)
        self._wakeup.ring()

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[Spent] = ()
    ) -> None:
        queue = self._queue
        await self.note(sends, spent=spent)
        now_ms = queue.pass_time()
        for bot_id, until_ms in wait_until_ms.items():
            self._holds.hold(queue.bot(bot_id), None, until_ms, now_ms)

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[Spent] = ()) -> None:
        queue = self._queue
        now_ms = queue.pass_time()
        for each in sorted(spent, key=lambda each: each.at_ms):
            queue.bot(each.bot_id).purse.spend(min(each.at_ms, now_ms), each.cost)
            queue.reoffer(queue.bot(each.bot_id), now_ms)
        for send in sends:
            bot = queue.bot(send.bot_id)
            chat = queue.chat(bot, bot.resolve(send.chat_id))
            for gate in (queue.ceiling, bot.paid_gate if send.is_paid else bot.gate, queue.gate_of(chat)):
                if gate is not None:
                    note(gate, send.counted_at_ms, send.cost, now_ms=now_ms)
            queue.reoffer_chat(chat, now_ms)
            queue.forget_later(chat, now_ms)

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        _bounded(message_ids)
        return [message_id in self._queue.entries for message_id in message_ids]

    async def explain(self, message_id: str) -> Explanation | None:
        queue = self._queue
        now_ms = queue.pass_time()
        entry = queue.entries.get(message_id)
        if entry is None or entry.number:
            return None
        queue.gate_of(entry.lane.chat)  # of a fresh one, too, only so many places are free
        return Inquiry(entry, queue.entries, queue.ceiling, queue.ceiling_spacing, queue.pool, now_ms).answer()

    async def stats(self) -> QueueStats:
        queue = self._queue
        now_ms = queue.pass_time()
        return QueueStats(
            waiting=dict(queue.open),
            retry=queue.retry,
            leased=len(self._leases.leased),
            bots={bot.bot_id: bot.open for bot in queue.bots.values() if bot.open},
            adapted={bot.bot_id: bot.adapted.places for bot in queue.bots.values() if bot.adapted is not None},
            paid={bot.bot_id: places for bot in queue.bots.values() if (places := bot.purse.taken(now_ms))},
            failing={
                bot.bot_id: failing.since_ms
                for bot in queue.bots.values()
                if bot.open and (failing := bot.health.failing) is not None
            },
        )

    async def wait(self, until_ms: int | None) -> None:
        queue = self._queue
        # To forget what is idle a call is needed, though nothing may go.
        wake_at_ms = sooner(until_ms, queue.next_forget_ms())
        await self._wakeup.wait(None if wake_at_ms is None else wake_at_ms - queue.clock())


def _bounded(batch: Sequence[object]) -> None:
    if len(batch) > BATCH_MAX:
        raise ValueError(f"a batch of {len(batch)} is longer than {BATCH_MAX}; split it")
