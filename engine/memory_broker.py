"""The queue of one process: the embedded default. Lost with the process, and rebuilt from the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count

from engine.gates import Gate, Spacing, gate, reform, spacing
from engine.lanes import BotState, Chat, Entry, Group, Lane, Line
from engine.limits import Limits
from engine.messages import (
    PRIORITIES,
    Again,
    ChatId,
    Done,
    Hold,
    HoldChat,
    Lease,
    MoveChat,
    Outgoing,
    PastSend,
    PauseBot,
    Settlement,
)
from engine.ports.broker import (
    BATCH_MAX,
    Admission,
    Duplicate,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Settled,
    Verdict,
)
from engine.ports.clock import Clock
from engine.turns import Turns

DOUBT_MS = 60_000
"""How long a 429 that our count does not explain makes us keep the guard: one group window. A guess."""

BLAME_MS = 2_000
"""Two chats throttled within this time, neither near its limit: the bot is meant. From the design."""


class MemoryBroker:
    """See ``Broker``."""

    def __init__(self, limits: Limits, *, clock: Clock, lease_ms: int, incarnation: int | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._lease_ms = lease_ms
        self._incarnation = secrets.randbits(48) if incarnation is None else incarnation
        self._turns = Turns()
        self._groups = {priority: Group(priority, limits.shares[priority]) for priority in PRIORITIES}
        self._bots: dict[int, BotState] = {}
        self._entries: dict[str, Entry] = {}
        self._leased: dict[str, Entry] = {}
        self._open = dict.fromkeys(PRIORITIES, 0)
        self._retry = 0
        self._ceiling = gate(limits.ceiling)
        self._ceiling_spacing = spacing(limits.ceiling, limits.saved_up)
        self._timers: list[tuple[int, int, Lane | Line | Entry]] = []
        self._expiries: list[tuple[int, str]] = []
        self._forgets: list[tuple[int, int, Chat]] = []
        self._tick = count()
        self._number = 0
        self._bell: set[asyncio.Future[None]] = set()
        self._rung = False
        self._told_wake_ms: int | None = None  # what the last ``lease`` said

    @property
    def incarnation(self) -> int:
        return self._incarnation

    # The verbs

    async def admit(
        self, messages: Sequence[Outgoing], *, worker_id: str, slots: int, capped: bool = True
    ) -> Admission:
        _bounded(messages)
        now_ms = self._pass_time()
        verdicts = tuple(self._admit(message, now_ms, capped=capped) for message in messages)
        leased = self._lease(worker_id, slots, now_ms)
        self._ring_if_sooner(leased.wake_at_ms)
        return Admission(verdicts, leased)

    async def lease(self, *, worker_id: str, slots: int) -> Leased:
        self._rung = False
        leased = self._lease(worker_id, slots, self._pass_time())
        self._told_wake_ms = leased.wake_at_ms
        return leased

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        _bounded(leases)
        now_ms = self._pass_time()
        return [self._extend(lease, now_ms + by_ms) for lease in leases]

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        _bounded(settlements)
        now_ms = self._pass_time()
        settled = [self._settle(settlement, now_ms) for settlement in settlements]
        self._ring()
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
        self._ring()
        return cancelled

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        now_ms = self._pass_time()
        bot = self._bot(bot_id)
        bot.is_paused = paused
        self._reoffer(bot, now_ms)
        self._ring()

    async def weigh(self, bot_id: int, weight: int) -> None:
        self._pass_time()
        self._bot(bot_id).weight = weight

    async def configure(self, limits: Limits) -> bool:
        now_ms = self._pass_time()
        if limits.version <= self._limits.version:
            return False
        self._limits = limits
        self._configure(limits, now_ms)
        self._ring()
        return True

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        now_ms = self._pass_time()
        self._migrate(self._bot(bot_id), from_chat_id, to_chat_id, now_ms)
        self._ring()

    async def restore(self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int]) -> None:
        now_ms = self._pass_time()
        for send in sends:
            bot = self._bot(send.bot_id)
            chat = self._chat(bot, bot.resolve(send.chat_id))
            for each in (self._ceiling, bot.gate, chat.gate):
                if each is not None:
                    each.take(send.counted_at_ms, send.cost)
                    each.settle(send.counted_at_ms, send.cost)
            self._reoffer_chat(chat, now_ms)
            self._forget_later(chat, now_ms)
        for bot_id, until_ms in wait_until_ms.items():
            self._hold(self._bot(bot_id), None, until_ms, now_ms)

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        _bounded(message_ids)
        return [message_id in self._entries for message_id in message_ids]

    async def stats(self) -> QueueStats:
        return QueueStats(
            waiting=dict(self._open),
            retry=self._retry,
            leased=len(self._leased),
            bots={bot.bot_id: bot.open for bot in self._bots.values() if bot.open},
        )

    async def wait(self, until_ms: int | None) -> None:
        if self._rung:
            return
        timeout_s = None if until_ms is None else max(0.0, (until_ms - self._clock()) / 1000)
        bell = asyncio.get_running_loop().create_future()
        self._bell.add(bell)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await bell
        finally:
            self._bell.discard(bell)

    def size(self) -> int:
        """Count the messages and chats that are remembered; for tests of what is forgotten."""
        return len(self._entries) + sum(len(bot.chats) for bot in self._bots.values())

    # Time

    def _pass_time(self) -> int:
        """Let everything happen that is due by now, and return the time."""
        now_ms = self._clock()
        timers = self._timers
        while timers and timers[0][0] <= now_ms:
            at_ms, _, owner = heappop(timers)
            if self._is_stale(owner, at_ms):
                continue
            match owner:
                case Entry():
                    self._become_due(owner, now_ms)
                case Lane():
                    owner.wake_at_ms = None
                    self._offer(owner, now_ms)
                case Line():
                    owner.wake_at_ms = None
                    self._offer_line(owner, now_ms)
        while self._forgets and self._forgets[0][0] <= now_ms:
            self._forget(heappop(self._forgets)[2], now_ms)
        return now_ms

    def _set_timer(self, owner: Lane | Line, at_ms: int) -> None:
        if owner.wake_at_ms != at_ms:
            owner.wake_at_ms = at_ms
            heappush(self._timers, (at_ms, next(self._tick), owner))

    def _become_due(self, entry: Entry, now_ms: int) -> None:
        entry.lane.chat.later.pop(entry.message.id, None)
        self._enter(entry, now_ms)

    def _is_stale(self, owner: Lane | Line | Entry, at_ms: int) -> bool:
        if isinstance(owner, Entry):
            return self._entries.get(owner.message.id) is not owner or owner.is_due
        return owner.wake_at_ms != at_ms

    def _expire(self, now_ms: int) -> tuple[Outgoing, ...]:
        expired: list[Outgoing] = []
        while self._expiries and self._expiries[0][0] <= now_ms and len(expired) < BATCH_MAX:
            _, message_id = heappop(self._expiries)
            entry = self._entries.get(message_id)
            if entry is not None and not entry.number:
                self._remove(entry, now_ms)
                expired.append(entry.message)
        return tuple(expired)

    def _forget_later(self, chat: Chat, now_ms: int) -> None:
        """Look again in a while at a chat with nothing to do, so that memory returns after a backlog."""
        if chat.forget_at_ms is None and not chat.waiting and not chat.in_flight:
            limit = self._limits.of_chat(chat.chat_id)
            at_ms = max(chat.hold_until_ms, now_ms + (limit.window_ms if limit is not None else 1_000)) + 1
            chat.forget_at_ms = at_ms
            heappush(self._forgets, (at_ms, next(self._tick), chat))

    def _forget(self, chat: Chat, now_ms: int) -> None:
        chat.forget_at_ms = None
        if chat.is_forgettable(now_ms):
            if chat.bot.chats.get(chat.chat_id) is chat:
                del chat.bot.chats[chat.chat_id]
        else:
            self._forget_later(chat, now_ms)

    # The doorbell

    def _ring(self) -> None:
        self._rung = True
        for bell in self._bell:
            if not bell.done():
                bell.set_result(None)

    def _ring_if_sooner(self, wake_at_ms: int | None) -> None:
        if wake_at_ms is not None and (self._told_wake_ms is None or wake_at_ms < self._told_wake_ms):
            self._ring()

    # In

    def _bot(self, bot_id: int) -> BotState:
        bot = self._bots.get(bot_id)
        if bot is None:
            limit = self._limits.bot
            bot = BotState(bot_id, self._groups, gate(limit), spacing(limit, self._limits.saved_up))
            self._bots[bot_id] = bot
        return bot

    def _chat(self, bot: BotState, chat_id: ChatId | None) -> Chat:
        chat = bot.chats.get(chat_id)
        if chat is None:
            chat = bot.chats[chat_id] = Chat(bot, chat_id, gate(self._limits.of_chat(chat_id)))
        return chat

    def _admit(self, message: Outgoing, now_ms: int, *, capped: bool) -> Verdict:
        if message.id in self._entries:
            return Duplicate()
        bot = self._bot(message.bot_id)
        chat = self._chat(bot, bot.resolve(message.chat_id))
        if capped and (refused := self._refusal(bot, chat)):
            self._forget_later(chat, now_ms)
            return refused
        if message.chat_id != chat.chat_id:
            message = replace(message, chat_id=chat.chat_id)
        entry = Entry(message, chat.lane(message.priority))
        self._entries[message.id] = entry
        self._count_open(entry, 1)
        self._count_waiting(entry, 1)
        if message.expires_at_ms is not None:
            heappush(self._expiries, (message.expires_at_ms, message.id))
        if message.ready_at_ms <= now_ms:
            self._enter(entry, now_ms)
        elif message.attempt:
            entry.lane.wait_until_ms = max(entry.lane.wait_until_ms, message.ready_at_ms)
            self._enter(entry, now_ms)
        else:
            chat.later[message.id] = entry
            heappush(self._timers, (message.ready_at_ms, next(self._tick), entry))
        return Queued()

    def _refusal(self, bot: BotState, chat: Chat) -> Refused | None:
        limits = self._limits
        if chat.chat_id is not None and 0 < limits.chat_cap <= chat.waiting:
            return Refused(bot.bot_id, chat.chat_id, limits.chat_cap)
        if 0 < limits.bot_cap <= bot.waiting:
            return Refused(bot.bot_id, None, limits.bot_cap)
        return None

    def _enter(self, entry: Entry, now_ms: int) -> None:
        """Put a due message into its lane."""
        lane = entry.lane
        entry.is_due = True
        heappush(lane.ids, entry.message.id)
        lane.size += 1
        if lane.size == 1:
            self._begin_to_wait(lane)
        self._offer(lane, now_ms)

    def _begin_to_wait(self, lane: Lane) -> None:
        line, group = lane.line, lane.line.group
        lane.turn = line.turns.enter(lane.turn)
        line.lanes += 1
        if line.lanes == 1:
            line.turn = group.turns.enter(line.turn)
            line.turn_in_bot = line.bot.turns.enter(line.turn_in_bot)
            line.bot.waiting_lines.append(line)
            group.lines += 1
            if group.lines == 1:
                group.turn = self._turns.enter(group.turn)

    def _leave(self, lane: Lane) -> None:
        """One message less in its lane."""
        line, group = lane.line, lane.line.group
        lane.size -= 1
        if lane.size:
            return
        lane.ids.clear()
        line.turns.leave()
        line.lanes -= 1
        if not line.lanes:
            line.key = None
            line.bot.waiting_lines.remove(line)
            line.bot.turns.leave()
            group.turns.leave()
            group.lines -= 1
            if not group.lines:
                self._turns.leave()

    def _count_open(self, entry: Entry, by: int) -> None:
        entry.lane.chat.bot.open += by
        if entry.tried and not entry.number:
            self._retry += by
        else:
            self._open[entry.message.priority] += by

    def _count_waiting(self, entry: Entry, by: int) -> None:
        chat = entry.lane.chat
        chat.waiting += by
        chat.bot.waiting += by

    # Who may go

    def _offer(self, lane: Lane, now_ms: int) -> None:
        """Look at one lane again, and at its bot if what its line offers is another message now."""
        before = lane.line.front()
        self._offer_lane(lane, now_ms)
        if lane.line.front() is not before:
            self._reoffer(lane.line.bot, now_ms)

    def _offer_lane(self, lane: Lane, now_ms: int) -> None:
        """Put a lane among those of its line that may go, or set its timer."""
        head = None if lane.chat.in_flight else lane.head(self._entries)
        ready_at_ms = None if head is None else self._lane_ready_at_ms(lane, head, now_ms)
        if head is not None and ready_at_ms == now_ms:
            lane.line.offer(lane, head)
            return
        lane.key = None
        if ready_at_ms is not None:
            self._set_timer(lane, ready_at_ms)

    def _lane_ready_at_ms(self, lane: Lane, head: Entry, now_ms: int) -> int | None:
        chat = lane.chat
        ready_at_ms = max(lane.wait_until_ms, chat.hold_until_ms, now_ms)
        if chat.gate is None:
            return ready_at_ms
        free_at_ms = chat.gate.ready_at_ms(now_ms, head.message.cost)
        return None if free_at_ms is None else max(ready_at_ms, free_at_ms)

    def _offer_line(self, line: Line, now_ms: int) -> None:
        """Put a line among those of its priority that may go, or set its timer."""
        ready_at_ms = self._line_ready_at_ms(line, now_ms)
        if ready_at_ms == now_ms:
            line.group.offer(line)
            return
        line.key = None
        if ready_at_ms is not None:
            self._set_timer(line, ready_at_ms)

    def _line_ready_at_ms(self, line: Line, now_ms: int) -> int | None:
        """Return when its front may leave the bot; None if only an event can tell."""
        bot, front = line.bot, line.front()
        if front is None or bot.is_paused:
            return None
        if bot.hold_until_ms > now_ms:
            return bot.hold_until_ms
        if len(bot.waiting_lines) > 1:
            for other in bot.waiting_lines:
                saves_until_ms = self._saves_up_until_ms(other, now_ms)
                if saves_until_ms != now_ms and other.rank() < line.rank():
                    return saves_until_ms
        return _free_at_ms(bot.gate, bot.spacing if line.is_spaced else None, front.message.cost, now_ms)

    def _saves_up_until_ms(self, line: Line, now_ms: int) -> int | None:
        """Return when a front of more than one place has its places; ``now_ms`` if there is no such front."""
        front = line.front()
        if front is None or front.message.cost == 1:
            return now_ms
        bot = line.bot
        return _free_at_ms(bot.gate, bot.spacing if line.is_spaced else None, front.message.cost, now_ms)

    def _reoffer(self, bot: BotState, now_ms: int) -> None:
        for line in bot.waiting_lines:
            self._offer_line(line, now_ms)

    def _reoffer_chat(self, chat: Chat, now_ms: int) -> None:
        for lane in chat.lanes.values():
            if lane.size:
                self._offer_lane(lane, now_ms)
        self._reoffer(chat.bot, now_ms)

    # Out

    def _lease(self, worker_id: str, slots: int, now_ms: int) -> Leased:
        expired = self._expire(now_ms)
        if self._expiries and self._expiries[0][0] <= now_ms:
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

    def _earliest(self, wake_at_ms: int | None) -> int | None:
        timers, expiries = self._timers, self._expiries
        while timers and self._is_stale(timers[0][2], timers[0][0]):
            heappop(timers)
        while expiries and expiries[0][1] not in self._entries:
            heappop(expiries)
        times = [heap[0][0] for heap in (timers, expiries) if heap]
        if wake_at_ms is not None:
            times.append(wake_at_ms)
        return min(times, default=None)

    def _choose(self, now_ms: int) -> tuple[Entry | None, int | None]:
        """Return the message whose turn it is; or None, and when the ceiling lets one go that it now keeps back."""
        wake_at_ms: int | None = None
        for group in self._in_turn():
            line = group.front()
            front = None if line is None else line.front()
            if line is None or front is None:
                continue
            apart = self._ceiling_spacing if line.is_spaced else None
            free_at_ms = _free_at_ms(self._ceiling, apart, front.message.cost, now_ms)
            if free_at_ms == now_ms:
                return front, None
            if free_at_ms is not None:
                wake_at_ms = free_at_ms if wake_at_ms is None else min(wake_at_ms, free_at_ms)
            if front.message.cost > 1:
                break  # it saves up: nobody behind it takes what comes free meanwhile
        return None, wake_at_ms

    def _in_turn(self) -> list[Group]:
        """Return the priorities of which something may go, the one whose turn it is first."""
        groups = [group for group in self._groups.values() if group.ready]
        if len(groups) > 1:
            groups.sort(key=lambda group: (self._turns.rank(group.turn), group.place))
        return groups

    def _take(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        """Lease the front of a line: its places, its turns, and its chat's one place in flight."""
        lane, cost = entry.lane, entry.message.cost
        line, chat = lane.line, lane.chat
        bot, group = line.bot, line.group
        self._take_places(bot, chat, cost, now_ms, is_spaced=line.is_spaced)
        group.turn = self._turns.serve(group.turn, cost=cost, weight=group.share)
        line.turn = group.turns.serve(line.turn, cost=cost, weight=bot.weight)
        line.turn_in_bot = bot.turns.serve(line.turn_in_bot, cost=cost, weight=group.share)
        lane.turn = line.turns.serve(lane.turn, cost=cost, weight=1)
        if entry.tried:  # while it is leased it counts under its priority
            self._retry -= 1
            self._open[line.priority] += 1
        self._count_waiting(entry, -1)
        chat.in_flight += 1
        lease = self._give(entry, worker_id, now_ms)
        self._leased[entry.message.id] = entry
        heappop(lane.ids)
        self._leave(lane)
        for other in chat.lanes.values():
            other.key = None
        line.key = None
        self._reoffer(bot, now_ms)
        return lease

    def _take_places(self, bot: BotState, chat: Chat, cost: int, now_ms: int, *, is_spaced: bool) -> None:
        for each in (self._ceiling, bot.gate, chat.gate):
            if each is not None:
                each.take(now_ms, cost)
        if is_spaced:
            for apart in (self._ceiling_spacing, bot.spacing):
                if apart is not None:
                    apart.spend(now_ms, cost)

    def _give(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        self._number += 1
        entry.number = self._number
        entry.worker_id = worker_id
        entry.lease_until_ms = now_ms + self._lease_ms
        return Lease(entry.message, entry.attempt + 1, worker_id, self._incarnation, entry.number, entry.lease_until_ms)

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
        is_near = chat.gate is not None and chat.gate.is_near(now_ms)
        self._settle_places(entry, settlement.counted_age_ms, now_ms)
        self._count_open(entry, -1)
        del self._leased[entry.message.id]
        entry.number = 0
        chat.in_flight -= 1
        holds = self._end(entry, settlement, now_ms, is_near=is_near)
        self._reoffer_chat(entry.lane.chat, now_ms)
        self._forget_later(chat, now_ms)
        return Settled(held=True, holds=holds)

    def _settle_places(self, entry: Entry, counted_age_ms: int | None, now_ms: int) -> None:
        chat = entry.lane.chat
        counted_at_ms = None if counted_age_ms is None else now_ms - counted_age_ms
        guard_ms = self._limits.guard_ms if chat.bot.doubt_until_ms > now_ms else 0
        for each in (self._ceiling, chat.bot.gate, chat.gate):
            if each is not None:
                each.settle(counted_at_ms, entry.message.cost, guard_ms=guard_ms)

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
                holds = self._throttle(chat, now_ms + retry_after_ms, now_ms, is_near=is_near)
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
        self._enter(entry, now_ms)
        if entry.message.expires_at_ms is not None:
            heappush(self._expiries, (entry.message.expires_at_ms, entry.message.id))

    def _throttle(self, chat: Chat, until_ms: int, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        """Hold a chat, and its bot too when a second chat gives evidence that the bot is meant.

        Source: Telegram does not say which of the two it is; see the design, Hold.
        """
        bot = chat.bot
        holds = [self._hold(bot, chat.chat_id, until_ms, now_ms)]
        if is_near:
            return tuple(holds)
        bot.doubt_until_ms = now_ms + DOUBT_MS
        bot.blames = [(at_ms, who) for at_ms, who in bot.blames if at_ms >= now_ms - BLAME_MS]
        bot.blames.append((now_ms, chat.chat_id))
        if len({bot.resolve(who) for _, who in bot.blames}) > 1:
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

    def _cancel(self, message_id: str, now_ms: int) -> bool:
        entry = self._entries.get(message_id)
        if entry is None or entry.number:
            return False
        self._remove(entry, now_ms)
        return True

    def _remove(self, entry: Entry, now_ms: int) -> None:
        """Forget a waiting message."""
        lane = entry.lane
        del self._entries[entry.message.id]
        self._count_open(entry, -1)
        self._count_waiting(entry, -1)
        if entry.is_due:
            self._leave(lane)
            self._offer(lane, now_ms)
        else:
            lane.chat.later.pop(entry.message.id, None)
        self._forget_later(lane.chat, now_ms)

    # Changes

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
        new.waiting += old.waiting
        old.waiting = 0
        for entry in moved:
            self._enter(entry, now_ms)

    def _empty(self, lane: Lane) -> list[Entry]:
        """Take every due message out of a lane."""
        taken = []
        while (entry := lane.head(self._entries)) is not None:
            heappop(lane.ids)
            entry.is_due = False
            taken.append(entry)
        for _ in taken:
            self._leave(lane)
        lane.key = None
        return taken

    def _configure(self, limits: Limits, now_ms: int) -> None:
        """Give every gate its new limit; what is taken stays taken."""
        self._ceiling = reform(self._ceiling, limits.ceiling)
        self._ceiling_spacing = spacing(limits.ceiling, limits.saved_up)
        for group in self._groups.values():
            group.share = limits.shares[group.priority]
        for bot in self._bots.values():
            bot.gate = reform(bot.gate, limits.bot)
            bot.spacing = spacing(limits.bot, limits.saved_up)
            for chat in bot.chats.values():
                chat.gate = reform(chat.gate, limits.of_chat(chat.chat_id))
                for lane in chat.lanes.values():
                    self._offer_lane(lane, now_ms)
            self._reoffer(bot, now_ms)


def move(entry: Entry, chat: Chat) -> None:
    """Let a message belong to a chat, under the id by which Telegram knows it now."""
    entry.lane = chat.lane(entry.message.priority)
    if entry.message.chat_id != chat.chat_id:
        entry.message = replace(entry.message, chat_id=chat.chat_id)


def _free_at_ms(gate: Gate | None, spacing: Spacing | None, cost: int, now_ms: int) -> int | None:
    """Return when both let so many through: ``now_ms`` or later, None until something is settled."""
    free_at_ms = now_ms if gate is None else gate.ready_at_ms(now_ms, cost)
    if free_at_ms is None or spacing is None:
        return free_at_ms
    return max(free_at_ms, spacing.free_at_ms(now_ms, cost))


def _bounded(batch: Sequence[object]) -> None:
    if len(batch) > BATCH_MAX:
        raise ValueError(f"a batch of {len(batch)} is longer than {BATCH_MAX}; split it")
