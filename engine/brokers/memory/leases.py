"""Whose turn it is; and from a lease to its end, with all that follows from it."""

from __future__ import annotations

from heapq import heappop, heappush

from msgspec import structs

from tempogram.engine.brokers.memory.lanes import BotState, Chat, Entry, Group, Lane
from tempogram.engine.brokers.memory.queue import Queue, sooner
from tempogram.engine.limits.aimd import BLAME_MS, DOUBT_MS
from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.windows import Gate, both_free_at_ms
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import (
    PRIORITIES,
    Again,
    ChatId,
    Done,
    Hold,
    HoldChat,
    Lease,
    MoveChat,
    PauseBot,
    Settlement,
)
from tempogram.engine.ports.broker import BATCH_MAX, Leased, Settled

SETTLED = Settled(held=True)


class Leases(Queue):
    """Gives messages to workers, and takes them back."""

    def __init__(self, limits: Limits, *, clock: Clock, lease_ms: int, incarnation: int) -> None:
        super().__init__(limits, clock=clock)
        self._lease_ms = lease_ms
        self._incarnation = incarnation
        self._leased: dict[str, Entry] = {}
        self._number = 0

    # Out

    def _lease(self, worker_id: str, slots: int, now_ms: int) -> Leased:
        # Without slots nothing is looked at, and so nothing expires: the next who leases records it.
        expired = self._expire(now_ms) if slots > 0 else ()
        next_expiry_ms = self._next_expiry_ms()
        if next_expiry_ms is not None and next_expiry_ms <= now_ms:
            return Leased((), expired, now_ms)  # more than a batch: none of the rest may be leased
        leases: list[Lease] = []
        room = min(slots, BATCH_MAX)
        wake_at_ms = None
        while True:
            entry, wake_at_ms = self._choose(now_ms)
            if entry is None or len(leases) >= room:
                break
            leases.append(self._take(entry, worker_id, now_ms))
        if entry is not None:
            wake_at_ms = now_ms
        return Leased(tuple(leases), expired, self._earliest(wake_at_ms))

    def _choose(self, now_ms: int) -> tuple[Entry | None, int | None]:
        """Return the message whose turn it is; or None, and when the ceiling lets one go that it now keeps back."""
        wake_at_ms: int | None = None
        for group in self._in_turn():
            line = group.front()
            front = None if line is None else line.offered
            if line is None or front is None:
                continue
            apart = self._ceiling_spacing if line.is_spaced else None
            free_at_ms = both_free_at_ms(self._ceiling, apart, front.message.cost, now_ms)
            if free_at_ms == now_ms:
                return front, None
            wake_at_ms = sooner(wake_at_ms, free_at_ms)
            if front.message.cost > 1:
                break  # it saves up: nobody behind it takes what comes free meanwhile
        return None, wake_at_ms

    def _in_turn(self) -> list[Group]:
        """Return the priorities of which something may go, the one whose turn it is first."""
        groups = [group for group in self._groups.values() if group.ready]  # by their places, which break ties
        if len(groups) > 1:
            rank = self._turns.rank
            groups.sort(key=lambda group: rank(group.turn))
        return groups

    def _take(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        """Lease the front of a line: its places, its turns, and its chat's one place in flight."""
        lane, cost = entry.lane, entry.message.cost
        line, chat = lane.line, lane.chat
        bot, group = line.bot, line.group
        share = group.share
        self._take_places(entry, now_ms)
        group.turn = self._turns.serve(group.turn, cost=cost, weight=share)
        line.turn = group.turns.serve(line.turn, cost=cost, weight=bot.weight)
        line.turn_in_bot = bot.turns.serve(line.turn_in_bot, cost=cost, weight=share)
        lane.turn = line.turns.serve(lane.turn, cost=cost, weight=1)
        if entry.tried:  # while it is leased it counts under its priority
            self._retry -= 1
            self._open[line.priority] += 1
        self._count_waiting(entry, -1)
        chat.forget_edit(entry)
        chat.in_flight += 1
        lease = self._give(entry, worker_id, now_ms)
        self._leased[entry.message.id] = entry
        heappop(lane.places)
        self._leave(entry)
        for other in chat.lanes.values():
            other.key = None
        line.key = None
        if entry.user is not None:
            self._reoffer_user(entry.user, now_ms)
        self._reoffer(bot, now_ms)
        return lease

    def _take_places(self, entry: Entry, now_ms: int) -> None:
        message, line = entry.message, entry.lane.line
        cost, bot = message.cost, line.bot
        entry.pays = message.is_paid and bot.pays(message, now_ms)
        for each in self._gates(entry):
            if each is not None:
                each.take(now_ms, cost)
        if entry.pays:
            bot.purse.take(cost)
        if line.is_spaced:
            for apart in (self._ceiling_spacing, None if entry.pays else bot.spacing):
                if apart is not None:
                    apart.spend(now_ms, cost)

    def _gates(self, entry: Entry) -> tuple[Gate | None, ...]:
        chat = entry.lane.chat
        of_bot = chat.bot.paid_gate if entry.pays else chat.bot.gate
        return self._ceiling, of_bot, chat.gate, None if entry.user is None else entry.user.gate

    def _give(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        self._number += 1
        entry.number = self._number
        entry.worker_id = worker_id
        entry.lease_until_ms = now_ms + self._lease_ms
        message = entry.message
        if message.is_paid and not entry.pays:
            message = structs.replace(message, is_paid=False)
        return Lease(message, entry.attempt + 1, worker_id, self._incarnation, entry.number, entry.lease_until_ms)

    def _held(self, lease: Lease) -> Entry | None:
        entry = self._leased.get(lease.message.id)
        if entry is None or lease.incarnation != self._incarnation or lease.number != entry.number:
            return None
        return entry

    def _extend(self, lease: Lease, until_ms: int) -> bool:
        entry = self._held(lease)
        if entry is not None:
            entry.lease_until_ms = until_ms
        return entry is not None

    # Back

    def _settle(self, settlement: Settlement, now_ms: int) -> Settled:
        entry = self._held(settlement.lease)
        if entry is None:
            return Settled(held=False)
        chat = entry.lane.chat
        is_near = isinstance(settlement.then, HoldChat) and chat.gate is not None and chat.gate.is_near(now_ms)
        self._settle_places(entry, settlement, now_ms)
        self._count_open(entry, -1)
        if settlement.rest is not None:
            entry.become(settlement.rest.of(entry.message))
        del self._leased[entry.message.id]
        entry.number = 0
        chat.in_flight -= 1
        holds = self._end(entry, settlement, now_ms, is_near=is_near)
        if may_let_others_go(entry, settlement):
            if entry.user is not None:
                self._reoffer_user(entry.user, now_ms)
            self._reoffer_chat(entry.lane.chat, now_ms)
        self._forget_later(chat, now_ms)
        return Settled(held=True, holds=holds) if holds else SETTLED

    def _settle_places(self, entry: Entry, settlement: Settlement, now_ms: int) -> None:
        chat, age_ms = entry.lane.chat, settlement.counted_age_ms
        counted_at_ms = None if age_ms is None else now_ms - age_ms
        cost = settlement.counted_cost
        free = entry.message.cost - cost
        guard_ms = self._limits.guard_ms if chat.bot.doubt_until_ms > now_ms else 0
        for each in self._gates(entry):
            if each is not None:
                each.settle(counted_at_ms, cost, guard_ms=guard_ms)
                if free:
                    each.settle(None, free)
        if entry.pays:
            chat.bot.purse.settle(counted_at_ms, cost)
            chat.bot.purse.settle(None, free)

    def _end(self, entry: Entry, settlement: Settlement, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        chat, attempt = entry.lane.chat, settlement.lease.attempt
        holds: tuple[Hold, ...] = ()
        match settlement.then:
            case Done():
                del self._entries[entry.message.id]
                return ()
            case Again(delay_ms, spent):
                entry.attempt = attempt if spent else attempt - 1
                entry.tried = entry.tried or spent
                if delay_ms:
                    entry.lane.wait_until_ms = max(entry.lane.wait_until_ms, now_ms + delay_ms)
            case HoldChat(retry_after_ms):
                entry.tried = True
                holds = self._throttle(entry, now_ms + retry_after_ms, now_ms, is_near=is_near)
            case MoveChat(to_chat_id):
                if chat.chat_id is not None:
                    self._migrate(chat.bot, chat.chat_id, to_chat_id, now_ms)
                    move(entry, self._chat(chat.bot, chat.bot.resolve(to_chat_id)))
            case PauseBot():
                chat.bot.is_paused = True
        self._return(entry, now_ms)
        return holds

    def _return(self, entry: Entry, now_ms: int) -> None:
        """Put a message back at the head of its lane: its id is older than any behind it."""
        self._count_open(entry, 1)
        self._count_waiting(entry, 1)
        entry.lane.chat.note_edit(entry)
        self._enter(entry, now_ms)
        if entry.message.expires_at_ms is not None:
            heappush(self._expiries, (entry.message.expires_at_ms, entry.message.id))

    def _throttle(self, entry: Entry, until_ms: int, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        """Hold a chat, and its bot too when a second chat gives evidence that the bot is meant.

        Source: Telegram does not say which of the two it is; see the design, Hold.
        """
        chat = entry.lane.chat
        bot = chat.bot
        holds = [self._hold(bot, chat.chat_id, until_ms, now_ms)]
        if is_near:
            return tuple(holds)
        bot.doubt_until_ms = now_ms + DOUBT_MS
        bot.blames = [(at_ms, who) for at_ms, who in bot.blames if at_ms >= now_ms - BLAME_MS]
        bot.blames.append((now_ms, chat.chat_id))
        is_bot_meant = len({bot.resolve(who) for _, who in bot.blames}) > 1
        of_bot = bot.paid_gate if entry.pays else bot.gate
        if of_bot is None or not of_bot.is_near(now_ms):
            if not is_bot_meant:
                self._lower_limit(chat, self._limits.of_chat(chat.chat_id), now_ms)
            elif not entry.pays:
                self._lower_limit(bot, self._limits.bot, now_ms)
        if is_bot_meant:
            holds.append(self._hold(bot, None, until_ms, now_ms))
        return tuple(holds)

    def _hold(self, bot: BotState, chat_id: ChatId | None, until_ms: int, now_ms: int) -> Hold:
        if chat_id is None:
            bot.hold_until_ms = max(bot.hold_until_ms, until_ms)
            self._reoffer(bot, now_ms)
            return Hold(bot.bot_id, None, bot.hold_until_ms)
        chat = self._chat(bot, bot.resolve(chat_id))
        chat.hold_until_ms = max(chat.hold_until_ms, until_ms)
        self._reoffer_chat(chat, now_ms)
        self._forget_later(chat, now_ms)
        return Hold(bot.bot_id, chat.chat_id, chat.hold_until_ms)

    # A chat under another name

    def _migrate(self, bot: BotState, from_chat_id: ChatId, to_chat_id: ChatId, now_ms: int) -> None:
        old_id, new_id = bot.resolve(from_chat_id), bot.resolve(to_chat_id)
        if old_id is None or new_id is None or old_id == new_id:
            return
        bot.aliases[old_id] = new_id
        old = bot.chats.pop(old_id, None)
        if old is None:
            return
        new = self._chat(bot, new_id)
        new.hold_until_ms = max(new.hold_until_ms, old.hold_until_ms)
        new.in_flight += old.in_flight
        if old.gate is not None and new.gate is not None:
            new.gate.absorb(old.gate)
        self._move_messages(old, new, now_ms)
        self._reoffer_chat(new, now_ms)
        self._forget_later(new, now_ms)

    def _move_messages(self, old: Chat, new: Chat, now_ms: int) -> None:
        leased = [entry for entry in self._leased.values() if entry.lane.chat is old]
        lanes = [old.lanes[priority] for priority in PRIORITIES if priority in old.lanes]
        moved = [entry for lane in lanes for entry in self._empty(lane)]
        for lane in lanes:
            new_lane = new.lane(lane.line.priority)
            new_lane.wait_until_ms = max(new_lane.wait_until_ms, lane.wait_until_ms)
        for entry in (*moved, *leased, *old.later.values()):
            move(entry, new)
        new.later.update(old.later)
        for edits in old.edits.values():
            for entry in edits:
                new.note_edit(entry)
        old.edits.clear()
        new.waiting += old.waiting
        old.waiting = 0
        for entry in moved:
            self._enter(entry, now_ms)

    def _empty(self, lane: Lane) -> list[Entry]:
        """Take every due message out of a lane."""
        taken = []
        while (entry := lane.head(self._entries)) is not None:
            entry.is_due = False  # so it is the head no more
            taken.append(entry)
        for entry in taken:
            self._leave(entry)
        lane.key = None
        return taken


def may_let_others_go(entry: Entry, settlement: Settlement) -> bool:
    """Tell whether anything may go by an end that did not before.

    A place that begins to count stays taken: that matters only to whoever waits for the chat, or for places.
    """
    chat = entry.lane.chat
    return (
        chat.waiting > 0
        or chat.bot.is_short
        or entry.user is not None
        or settlement.counted_age_ms is None
        or settlement.rest is not None
        or not isinstance(settlement.then, Done)
    )


def move(entry: Entry, chat: Chat) -> None:
    """Let a message belong to a chat, under the id by which Telegram knows it now."""
    entry.lane = chat.lane(entry.message.priority)
    if entry.message.chat_id != chat.chat_id:
        entry.become(structs.replace(entry.message, chat_id=chat.chat_id))
