"""How a lease ends, and what follows from it: see ``lua/shared/settlements.lua``, step for step."""

from __future__ import annotations

from heapq import heappush

from msgspec.structs import replace

from tempogram.engine.brokers.memory.holds import Holds
from tempogram.engine.brokers.memory.lanes import Chat, Entry
from tempogram.engine.brokers.memory.leases import Leases
from tempogram.engine.brokers.memory.migration import Migration, move
from tempogram.engine.brokers.memory.queue import Queue
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.messages import PRIORITIES, Again, Done, Hold, HoldChat, MoveChat, PauseBot, Settlement
from tempogram.engine.ports.broker import FailingChange, Settled

SETTLED = Settled(held=True)
NO_GUARDS_MS = 0, 0, 0, 0


class Settlements:
    """Ends leases: the message is done, or waits again."""

    def __init__(self, queue: Queue, leases: Leases, holds: Holds, migration: Migration) -> None:
        self._queue = queue
        self._leases = leases
        self._holds = holds
        self._migration = migration

    def settle(self, settlement: Settlement, now_ms: int) -> Settled:
        queue = self._queue
        entry = self._leases.held(settlement.lease)
        if entry is None:
            return Settled(held=False)
        chat = entry.lane.chat
        is_near = isinstance(settlement.then, HoldChat) and chat.gate is not None and chat.gate.is_near(now_ms)
        self._settle_places(entry, settlement, now_ms)
        queue.count_open(entry, -1)
        if settlement.rest is not None:
            entry.become(settlement.rest.of(entry.message))
        del self._leases.leased[entry.message.id]
        entry.number = 0
        if settlement.lease.message.cost:
            chat.in_flight -= 1
        else:
            chat.uncounted_in_flight -= 1
        alive = settlement.alive
        is_given_back = alive is None and chat.bot.health.give_back(entry.message.id)
        failing = None if alive is None else _judge(entry, now_ms, is_alive=alive)
        holds = self._end(entry, settlement, now_ms, is_near=is_near)
        if failing is not None or is_given_back or changes_what_may_go(entry, settlement, queue.limits):
            if entry.user is not None:
                queue.reoffer_user(entry.user, now_ms)
            queue.reoffer_chat(entry.lane.chat, now_ms)
        queue.forget_later(chat, now_ms)
        return Settled(held=True, holds=holds, failing=failing) if holds or failing else SETTLED

    def _settle_places(self, entry: Entry, settlement: Settlement, now_ms: int) -> None:
        queue = self._queue
        chat, age_ms = entry.lane.chat, settlement.counted_age_ms
        counted_at_ms = None if age_ms is None else now_ms - age_ms
        cost = settlement.counted_cost
        free = entry.message.cost - cost
        queue.pool.end(chat.bot.bot_id, entry.message.id, entry.message.cost, now_ms)
        in_doubt = chat.doubt_until_ms > now_ms or chat.bot.doubt_until_ms > now_ms
        guards_ms = self._guards_ms(chat, now_ms) if in_doubt else NO_GUARDS_MS
        for each, guard_ms in zip(queue.gates_of(entry), guards_ms, strict=False):
            if each is not None:
                each.settle(counted_at_ms, cost, guard_ms=guard_ms)
                if free:
                    each.give_back(free)
        if free and entry.lane.line.is_spaced:
            for apart in (queue.ceiling_spacing, None if entry.pays else chat.bot.spacing):
                if apart is not None:
                    apart.unspend(free)
        if entry.pays:
            chat.bot.purse.settle(counted_at_ms, cost)
            chat.bot.purse.settle(None, free)

    def _guards_ms(self, chat: Chat, now_ms: int) -> tuple[int, ...]:
        """Return how much longer the places of ``Queue.gates_of`` stay taken: those whose count is in doubt."""
        guard_ms = self._queue.limits.guard_ms
        of_bot_ms = guard_ms if chat.bot.doubt_until_ms > now_ms else 0
        of_chat_ms = guard_ms if chat.doubt_until_ms > now_ms else 0
        return 0, of_bot_ms, of_chat_ms, 0

    def _end(self, entry: Entry, settlement: Settlement, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        queue = self._queue
        chat, attempt = entry.lane.chat, settlement.lease.attempt
        holds: tuple[Hold, ...] = ()
        match settlement.then:
            case Done():
                del queue.entries[entry.message.id]
                return ()
            case Again(delay_ms, spent):
                entry.attempt = attempt if spent else attempt - 1
                entry.tried = entry.tried or spent
                if delay_ms:
                    _back_off(entry, now_ms + delay_ms, whole_chat=settlement.alive is False)
            case HoldChat(retry_after_ms):
                entry.tried = True
                holds = self._holds.throttle(entry, now_ms + retry_after_ms, now_ms, is_near=is_near)
            case MoveChat(to_chat_id):
                if chat.chat_id is not None:
                    self._migration.migrate(chat.bot, chat.chat_id, to_chat_id, now_ms)
                    move(entry, queue.chat(chat.bot, chat.bot.resolve(to_chat_id)))
            case PauseBot():
                chat.bot.is_paused = True
        self._give_back(entry, now_ms)
        return holds

    def _give_back(self, entry: Entry, now_ms: int) -> None:
        """Put a message back at the head of its lane: its id is older than any behind it.

        An uncounted one that backs off comes back when it is due.
        """
        queue = self._queue
        queue.count_open(entry, 1)
        queue.count_waiting(entry, 1)
        entry.lane.chat.note_edit(entry)
        if not entry.message.cost and entry.message.ready_at_ms > now_ms:
            queue.schedule(entry)
        else:
            queue.enter(entry, now_ms)
        if entry.message.expires_at_ms is not None:
            heappush(queue.expiries, (entry.message.expires_at_ms, entry.message.id))


def _back_off(entry: Entry, until_ms: int, *, whole_chat: bool) -> None:
    """Let a lane or its whole chat wait until its message is tried again; of what is uncounted, the message alone."""
    if not entry.message.cost:
        entry.become(replace(entry.message, ready_at_ms=until_ms))
        return
    lanes = [entry.lane.chat.counted_lane(each) for each in PRIORITIES] if whole_chat else [entry.lane]
    for lane in lanes:
        lane.wait_until_ms = max(lane.wait_until_ms, until_ms)


def _judge(entry: Entry, now_ms: int, *, is_alive: bool) -> FailingChange | None:
    """Note what an answer tells of Telegram; return whether the bot is failing from now on, or no longer.

    What is uncounted waits for no other message of its chat, and tells nothing of the chat.
    """
    chat = entry.lane.chat
    bot, health = chat.bot, chat.bot.health
    if entry.lane.line.is_counted:
        chat.has_failed = not is_alive
    if is_alive:
        if not health.failures:  # nearly always
            health.called_since_ms = 0
            return None
        ended = health.succeed()
        return None if ended is None else FailingChange(begins=False, after_ms=now_ms - ended.since_ms)
    begins = health.fail(chat.chat_id, now_ms, resolve=bot.resolve)
    return FailingChange(begins=True, after_ms=now_ms - health.called_since_ms) if begins else None


def changes_what_may_go(entry: Entry, settlement: Settlement, limits: Limits) -> bool:
    """Tell whether anything may go by an end that did not before, or may not go that did.

    A place that begins to count stays taken: that matters only to what waits for the chat, or for places. But in a
    bucket it drains only from then on. What is uncounted keeps nothing back.
    """
    if not entry.message.cost:
        return not isinstance(settlement.then, Done)
    chat = entry.lane.chat
    return (
        chat.waiting > 0
        or chat.bot.is_short
        or entry.user is not None
        or limits.bot.burst is not None
        or limits.paid.burst is not None
        or settlement.counted_age_ms is None
        or settlement.counted_cost != settlement.lease.message.cost
        or not isinstance(settlement.then, Done)
    )
