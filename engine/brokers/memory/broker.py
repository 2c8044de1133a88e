"""The queue of one process: the embedded default. Lost with the process, and rebuilt from the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from heapq import heappush

from msgspec import structs

from tempogram.engine.brokers.memory.explain import Inquiry
from tempogram.engine.brokers.memory.lanes import BotState, Chat, Entry
from tempogram.engine.brokers.memory.leases import Leases
from tempogram.engine.brokers.memory.wakeup import Wakeup
from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.windows import reform, spacing
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import PRIORITIES, ChatId, Hold, Lease, Outgoing, PastSend, Settlement, Spent
from tempogram.engine.ports.broker import (
    BATCH_MAX,
    Admission,
    Duplicate,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
    Verdict,
)
from tempogram.engine.ports.explanation import Explanation

QUEUED = Queued()


class MemoryBroker(Leases):
    """See ``Broker``."""

    def __init__(self, limits: Limits, *, clock: Clock, lease_ms: int, incarnation: int | None = None) -> None:
        fresh = secrets.randbits(48) if incarnation is None else incarnation
        super().__init__(limits, clock=clock, lease_ms=lease_ms, incarnation=fresh)
        self._bell = Wakeup()

    @property
    def incarnation(self) -> int:
        return self._incarnation

    async def admit(
        self, messages: Sequence[Outgoing], *, worker_id: str, slots: int, capped: bool = True
    ) -> Admission:
        _bounded(messages)
        now_ms = self._pass_time()
        verdicts = tuple(self._admit(message, now_ms, capped=capped) for message in messages)
        leased = self._lease(worker_id, slots, now_ms)
        self._bell.ring_if_sooner(leased.wake_at_ms)
        return Admission(verdicts, leased)

    async def lease(self, *, worker_id: str, slots: int) -> Leased:
        leased = self._lease(worker_id, slots, self._pass_time())
        self._bell.answer(leased.wake_at_ms)
        return leased

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        _bounded(leases)
        now_ms = self._pass_time()
        return [self._extend(lease, now_ms + by_ms) for lease in leases]

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        _bounded(settlements)
        now_ms = self._pass_time()
        settled = [self._settle(settlement, now_ms) for settlement in settlements]
        self._bell.ring()
        return settled

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        now_ms = self._pass_time()
        lost = sorted(
            (entry for entry in self._leased.values() if entry.lease_until_ms <= now_ms),
            key=lambda entry: (entry.lease_until_ms, entry.message.id),
        )
        return [self._give(entry, worker_id, now_ms) for entry in lost[: min(slots, BATCH_MAX)]]

    async def hold(self, holds: Sequence[Hold]) -> None:
        now_ms = self._pass_time()
        for hold in holds:
            self._hold(self._bot(hold.bot_id), hold.chat_id, hold.until_ms, now_ms)

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        _bounded(message_ids)
        now_ms = self._pass_time()
        cancelled = [self._cancel(message_id, now_ms) for message_id in message_ids]
        self._bell.ring()
        return cancelled

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        now_ms = self._pass_time()
        bot = self._bot(bot_id)
        chat = bot.chats.get(bot.resolve(chat_id))
        dropped = [] if chat is None else list(chat.edits.get(replaces, ()))
        for entry in dropped:
            self._remove(entry, now_ms)
        self._bell.ring()
        return [entry.message for entry in dropped]

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        now_ms = self._pass_time()
        bot = self._bot(bot_id)
        bot.is_paused = paused
        self._reoffer(bot, now_ms)
        self._bell.ring()

    async def weigh(self, bot_id: int, weight: int) -> None:
        self._pass_time()
        self._bot(bot_id).weight = weight

    async def configure(self, limits: Limits) -> bool:
        now_ms = self._pass_time()
        if limits.version <= self._limits.version:
            return False
        self._limits = limits
        self._configure(limits, now_ms)
        self._bell.ring()
        return True

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        now_ms = self._pass_time()
        self._migrate(self._bot(bot_id), from_chat_id, to_chat_id, now_ms)
        self._bell.ring()

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[Spent] = ()
    ) -> None:
        await self.note(sends, spent=spent)
        now_ms = self._pass_time()
        for bot_id, until_ms in wait_until_ms.items():
            self._hold(self._bot(bot_id), None, until_ms, now_ms)

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[Spent] = ()) -> None:
        now_ms = self._pass_time()
        for each in sorted(spent, key=lambda each: each.at_ms):
            self._bot(each.bot_id).purse.spend(each.at_ms, each.cost)
            self._reoffer(self._bot(each.bot_id), now_ms)
        for send in sends:
            bot = self._bot(send.bot_id)
            chat = self._chat(bot, bot.resolve(send.chat_id))
            for gate in (self._ceiling, bot.paid_gate if send.is_paid else bot.gate, chat.gate):
                if gate is not None:
                    gate.take(send.counted_at_ms, send.cost)
                    gate.settle(send.counted_at_ms, send.cost)
            self._reoffer_chat(chat, now_ms)
            self._forget_later(chat, now_ms)

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        _bounded(message_ids)
        return [message_id in self._entries for message_id in message_ids]

    async def explain(self, message_id: str) -> Explanation | None:
        now_ms = self._pass_time()
        entry = self._entries.get(message_id)
        if entry is None or entry.number:
            return None
        return Inquiry(entry, self._entries, self._ceiling, self._ceiling_spacing, now_ms).answer()

    async def stats(self) -> QueueStats:
        now_ms = self._pass_time()
        return QueueStats(
            waiting=dict(self._open),
            retry=self._retry,
            leased=len(self._leased),
            bots={bot.bot_id: bot.open for bot in self._bots.values() if bot.open},
            adapted={bot.bot_id: bot.adapted.places for bot in self._bots.values() if bot.adapted is not None},
            paid={bot.bot_id: places for bot in self._bots.values() if (places := bot.purse.taken(now_ms))},
        )

    async def wait(self, until_ms: int | None) -> None:
        await self._bell.wait(None if until_ms is None else until_ms - self._clock())

    def _admit(self, message: Outgoing, now_ms: int, *, capped: bool) -> Verdict:
        if message.id in self._entries:
            return Duplicate()
        bot = self._bot(message.bot_id)
        chat = self._chat(bot, bot.resolve(message.chat_id) if bot.aliases else message.chat_id)
        older = None if message.replaces is None else chat.replaced_by(message)
        if older is not None:
            return self._admit_instead(message, older, now_ms)
        if capped and (refused := self._refusal(bot, chat)):
            self._forget_later(chat, now_ms)
            return refused
        self._add(message, chat, message.id, now_ms)
        return QUEUED

    def _admit_instead(self, message: Outgoing, older: Entry, now_ms: int) -> Verdict:
        """Let a message take the place of one that waits, unless that one is the newer of the two."""
        replaced, lane = older.message, older.lane
        if replaced.id > message.id:
            return Replaced(by=replaced.id)
        place = older.place
        if PRIORITIES.index(message.priority) < lane.line.place:
            place = message.id
        else:
            message = structs.replace(message, priority=lane.line.priority)
        if place == older.place and older.is_due and _is_due(message, now_ms):
            self._swap(older, message, now_ms)
        else:
            self._remove(older, now_ms)
            self._add(message, lane.chat, place, now_ms)
        return Queued(instead_of=replaced)

    def _swap(self, entry: Entry, message: Outgoing, now_ms: int) -> None:
        """Put another message into a place: its lane goes on waiting, and keeps its turn."""
        lane = entry.lane
        if entry.message.is_paid != message.is_paid:
            lane.key = None  # it stands among the others from now on
        self._count_open(entry, -1)
        del self._entries[entry.message.id]
        was_special = entry.is_special
        entry.become(_named(message, lane.chat))
        lane.line.bot.note_special(entry.is_special - was_special)
        entry.user = self._user(lane.chat.bot, message.user_id)
        entry.attempt, entry.tried = message.attempt, message.attempt > 0
        self._entries[message.id] = lane.stand_ins[entry.place] = entry
        self._count_open(entry, 1)
        self._heed_times(entry, now_ms)
        self._offer_lane(lane, now_ms)
        self._reoffer(lane.line.bot, now_ms)  # it may cost more or less

    def _add(self, message: Outgoing, chat: Chat, place: str, now_ms: int) -> None:
        message = _named(message, chat)
        entry = Entry(message, chat.lane(message.priority), place, self._user(chat.bot, message.user_id))
        self._entries[message.id] = entry
        self._count_open(entry, 1)
        self._count_waiting(entry, 1)
        chat.note_edit(entry)
        self._heed_times(entry, now_ms)
        if _is_due(message, now_ms):
            self._enter(entry, now_ms)
        else:
            chat.later[message.id] = entry
            heappush(self._timers, (message.ready_at_ms, next(self._tick), entry))

    def _heed_times(self, entry: Entry, now_ms: int) -> None:
        message = entry.message
        if message.expires_at_ms is not None:
            heappush(self._expiries, (message.expires_at_ms, message.id))
        if message.attempt and message.ready_at_ms > now_ms:
            entry.lane.wait_until_ms = max(entry.lane.wait_until_ms, message.ready_at_ms)

    def _refusal(self, bot: BotState, chat: Chat) -> Refused | None:
        limits = self._limits
        if chat.chat_id is not None and 0 < limits.chat_cap <= chat.waiting:
            return Refused(bot.bot_id, chat.chat_id, limits.chat_cap)
        if 0 < limits.bot_cap <= bot.waiting:
            return Refused(bot.bot_id, None, limits.bot_cap)
        return None

    def _cancel(self, message_id: str, now_ms: int) -> bool:
        entry = self._entries.get(message_id)
        if entry is None or entry.number:
            return False
        self._remove(entry, now_ms)
        return True

    def _configure(self, limits: Limits, now_ms: int) -> None:
        """Give every gate its new limit; what is taken stays taken."""
        self._ceiling = reform(self._ceiling, limits.ceiling)
        self._ceiling_spacing = spacing(limits.ceiling, limits.saved_up)
        for group in self._groups.values():
            group.share = limits.shares[group.priority]
        self._configure_users(limits)
        for bot in self._bots.values():
            bot.gate, bot.adapted = reform(bot.gate, limits.bot), None
            bot.spacing = spacing(limits.bot, limits.saved_up)
            bot.paid_gate = reform(bot.paid_gate, limits.paid)
            bot.purse.reform(limits.purse)
            for chat in bot.chats.values():
                chat.gate, chat.adapted = reform(chat.gate, limits.of_chat(chat.chat_id)), None
                for lane in chat.lanes.values():
                    self._offer_lane(lane, now_ms)
            self._reoffer(bot, now_ms)

    def _configure_users(self, limits: Limits) -> None:
        """Know the users if they have a limit from now on, and do not if they have none any more."""
        for bot in self._bots.values():
            known, bot.users = bot.users, {}
            for user_id, user in known.items():
                limited = reform(user.gate, limits.user)
                if limited is not None:
                    bot.users[user_id], user.gate, user.open = user, limited, 0
        for entry in self._entries.values():
            entry.user = self._user(entry.lane.chat.bot, entry.message.user_id)
            if entry.user is not None:
                entry.user.open += 1
        for bot in self._bots.values():
            for user in bot.users.values():
                self._forget_user_later(user)


def _is_due(message: Outgoing, now_ms: int) -> bool:
    """Tell whether it stands in its lane: one that was tried does, and its lane waits with it."""
    return message.ready_at_ms <= now_ms or message.attempt > 0


def _named(message: Outgoing, chat: Chat) -> Outgoing:
    """Return it under the id by which Telegram knows its chat now."""
    return message if message.chat_id == chat.chat_id else structs.replace(message, chat_id=chat.chat_id)


def _bounded(batch: Sequence[object]) -> None:
    if len(batch) > BATCH_MAX:
        raise ValueError(f"a batch of {len(batch)} is longer than {BATCH_MAX}; split it")
