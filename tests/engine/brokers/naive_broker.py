"""The rule of ``Broker`` once more, with plain lists that are scanned: the model the real ones are judged by."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from copy import copy
from dataclasses import dataclass, field, replace

from msgspec import structs

from tempogram.engine.limits.aimd import AdaptiveLimit
from tempogram.engine.limits.failing import Health
from tempogram.engine.limits.fair_queue import STRIDE, FairQueue
from tempogram.engine.limits.limits import PURSE_GRAINS, SPACING_PRIORITIES, Limit, Limits
from tempogram.engine.limits.pool import ACTIVE_MS, SLOW_MS, Connections, kept_of
from tempogram.engine.limits.spacing import Spacing, spacing
from tempogram.engine.limits.weighted_window import WeightedWindow
from tempogram.engine.limits.windows import Gate, gate, narrow, note, reform
from tempogram.engine.model import messages as says
from tempogram.engine.model.messages import (
    KEPT_METHOD,
    KEPT_MS,
    PRIORITIES,
    ChatId,
    Hold,
    Lease,
    Outgoing,
    PastSend,
    Priority,
)
from tempogram.engine.ports import (
    Admission,
    Clock,
    Duplicate,
    Explanation,
    FailingChange,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
    Verdict,
    WaitsAt,
)
from tempogram.engine.ports.broker import BATCH_MAX, EXPIRED_MAX

NEVER_MS = 1 << 62


def uncounted(priority: Priority) -> str:
    return f"uncounted {priority}"


Key = tuple[Priority | int | ChatId | None, ...]
"""(priority, bot, chat) is a lane, (priority, bot) a line among bots, (bot, priority) one within its bot,
(priority,) a group. Without its last part it is those among whom the turns go round."""


@dataclass(slots=True)
class Entry:
    """One message: standing in its lane, leased, or, if neither, scheduled for later."""

    message: Outgoing
    attempt: int  # how many are spent
    tried: bool
    position: str  # in its lane: its id, or that of the first that it replaced
    standing: bool = False
    pays: bool = False  # while it is leased
    lease: Lease | None = None
    leased_at_ms: int = 0

    @property
    def path(self) -> tuple[Key, Key, Key, Key]:
        """What is uncounted has lanes, lines and groups of its own, and takes no turns within its bot."""
        priority, bot_id = self.message.priority, self.message.bot_id
        if not self.is_counted:
            of = uncounted(priority)
            return (of, bot_id, self.message.chat_id), (of, bot_id), (of, bot_id, "within"), (of,)
        return (priority, bot_id, self.message.chat_id), (priority, bot_id), (bot_id, priority), (priority,)

    @property
    def is_counted(self) -> bool:
        return self.message.cost > 0

    @property
    def rank(self) -> int:
        """Its position among the groups, which breaks ties."""
        return PRIORITIES.index(self.message.priority) + (0 if self.is_counted else len(PRIORITIES))

    @property
    def expires_at_ms(self) -> int:
        return NEVER_MS if self.message.expires_at_ms is None else self.message.expires_at_ms


@dataclass(slots=True)
class Places:
    """What a pool has at a time, and what one bot has of it."""

    total: int
    free: int
    active_bots: int
    is_shared: bool
    mine: int
    is_quick: bool

    @property
    def are_left_for_high(self) -> bool:
        return self.is_shared and self.free <= kept_of(self.total)

    @property
    def are_mine_too(self) -> bool:
        if not self.is_shared or self.free > self.total / 2:
            return True
        share = max(1, (self.total - kept_of(self.total)) // max(1, self.active_bots))
        borrows = self.is_quick and self.mine < self.total / 2 and self.free > self.total / 4
        return self.mine < share or borrows


@dataclass(slots=True)
class Scope:
    """Whatever has a limit: the ceiling, a bot, what a bot pays for, a chat."""

    gate: Gate | None
    spacing: Spacing | None = None
    hold_until_ms: int = 0
    weight: int = 1
    paused: bool = False
    doubt_until_ms: int = 0
    blames: list[tuple[int, ChatId | None]] = field(default_factory=list)
    adapted: AdaptiveLimit | None = None
    failed: bool = False  # a chat since its last success; counts only while it is busy


class NaiveBroker:
    """See ``Broker``."""

    def __init__(self, limits: Limits, *, clock: Clock, lease_ms: int, incarnation: int = 1) -> None:
        self.incarnation, self._limits, self._clock, self._lease_ms = incarnation, limits, clock, lease_ms
        self._number = 0
        self._entries: dict[str, Entry] = {}
        self._ceiling = Scope(gate(limits.ceiling), spacing(limits.ceiling, limits.saved_up))
        self._bots: dict[int, Scope] = {}
        self._paid: dict[int, Scope] = {}
        self._purses: dict[int, WeightedWindow] = {}
        self._chats: dict[tuple[int, ChatId | None], Scope] = {}
        self._health: defaultdict[int, Health] = defaultdict(Health)
        self._users: dict[tuple[int, int | None], Scope] = {}
        self._aliases: dict[tuple[int, ChatId | None], ChatId | None] = {}
        self._standing: Counter[Key] = Counter()  # messages below each key
        self._pass: defaultdict[Key, int] = defaultdict(int)
        self._turns: dict[Key, FairQueue] = {}
        self._wait_until_ms: defaultdict[Key, int] = defaultdict(int)
        self._last_calls: dict[int, tuple[int, bool]] = {}  # when each bot's last one ended, and whether it was quick
        self._connections: Connections | None = None  # of the worker that asks
        self._given: Counter[int] = Counter()  # to each bot, since it asked

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        now_ms = self._tick(messages)
        verdicts = tuple(self._admit(message, now_ms, capped=capped) for message in messages)
        return Admission(verdicts, self._lease(worker_id, slots, now_ms, connections))

    async def lease(self, *, worker_id: str, slots: int, connections: Connections | None = None) -> Leased:
        return self._lease(worker_id, slots, self._tick(), connections)

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        until_ms, entries = self._tick(leases) + by_ms, [self._held(lease) for lease in leases]
        for entry in filter(None, entries):
            entry.lease = entry.lease and structs.replace(entry.lease, expires_at_ms=until_ms)
        return [entry is not None for entry in entries]

    async def settle(self, settlements: Sequence[says.Settlement]) -> list[Settled]:
        now_ms = self._tick(settlements)
        return [self._settle(settlement, now_ms) for settlement in settlements]

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        now_ms = self._tick()
        lost = [entry for entry in self._entries.values() if entry.lease and entry.lease.expires_at_ms <= now_ms]
        lost.sort(key=lambda entry: (entry.lease and entry.lease.expires_at_ms, entry.message.id))
        return [self._grant(entry, worker_id, now_ms) for entry in lost[: min(slots, BATCH_MAX)]]

    async def hold(self, holds: Sequence[Hold]) -> None:
        self._tick()
        for hold in holds:
            self._hold(hold)

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        self._tick(message_ids)
        return [self._forget(self._entries.get(message_id)) for message_id in message_ids]

    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        now_ms = self._tick(messages)
        return [self._amend(message, self._entries.get(message.id), now_ms) for message in messages]

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        self._tick()
        dropped = self._waiting_edits(bot_id, chat_id, replaces)
        return [entry.message for entry in dropped if self._forget(entry)]

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        self._tick()
        self._bot(bot_id).paused = paused

    async def weigh(self, bot_id: int, weight: int) -> None:
        self._tick()
        self._bot(bot_id).weight = weight

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        self._tick()
        self._migrate(bot_id, from_chat_id, to_chat_id)

    async def configure(self, limits: Limits) -> bool:
        self._tick()
        if limits.version <= self._limits.version:
            return False
        self._limits = limits
        for scope, limit in ((self._ceiling, limits.ceiling), *((bot, limits.bot) for bot in self._bots.values())):
            scope.gate, scope.spacing = reform(scope.gate, limit), spacing(limit, limits.saved_up)
            scope.adapted = None
        for bot_id, purse in self._purses.items():
            self._paid[bot_id].gate = reform(self._paid[bot_id].gate, limits.paid)
            purse.reform(limits.purse, grains=PURSE_GRAINS)
        for user in self._users.values():
            user.gate = reform(user.gate, limits.user)
        for (_, chat_id), chat in self._chats.items():
            chat.gate, chat.adapted = reform(chat.gate, limits.of_chat(chat_id)), None
        return True

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[says.Spent] = ()
    ) -> None:
        await self.note(sends, spent=spent)
        for bot_id, until_ms in wait_until_ms.items():
            self._hold(Hold(bot_id, None, until_ms))

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[says.Spent] = ()) -> None:
        now_ms = self._tick()
        for past in sorted(spent, key=lambda past: past.at_ms):
            self._purse(past.bot_id).spend(min(past.at_ms, now_ms), past.cost)
        for send in sends:
            for each in self._gates(send.bot_id, send.chat_id, pays=send.is_paid):
                note(each, send.counted_at_ms, send.cost, now_ms=now_ms)

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        self._tick(message_ids)
        return [message_id in self._entries for message_id in message_ids]

    async def explain(self, message_id: str) -> Explanation | None:
        now_ms, entry = self._tick(), self._entries.get(message_id)
        return None if entry is None or entry.lease else self._explain(entry, now_ms)

    async def stats(self) -> QueueStats:
        self._tick()
        entries = self._entries.values()
        stands = [None if entry.tried and not entry.lease else entry.message.priority for entry in entries]
        leased = sum(entry.lease is not None for entry in entries)
        bots = Counter(entry.message.bot_id for entry in entries)
        adapted = {bot_id: bot.adapted.places for bot_id, bot in self._bots.items() if bot.adapted}
        waiting = {each: stands.count(each) for each in PRIORITIES}
        paid = {bot_id: taken for bot_id, purse in self._purses.items() if (taken := purse.taken(self._clock()))}
        failing = {
            bot_id: each.failing.since_ms for bot_id, each in self._health.items() if each.failing and bots[bot_id]
        }
        return QueueStats(waiting, stands.count(None), leased, bots, adapted, paid, failing)

    async def wait(self, until_ms: int | None) -> None:
        # It has no bell, it looks again and again.
        while not self._pick(self._clock()) and (until_ms is None or self._clock() < until_ms):  # noqa: ASYNC110
            await asyncio.sleep(0)

    # Which may go

    def _pick(self, at_ms: int) -> Entry | None:
        """Return the message whose turn it is at a time, if nothing else happens until then."""
        fronts: dict[Key, Entry] = {}
        for head in sorted(
            self._tried(list(self._free_heads(at_ms)), at_ms),
            key=lambda head: (self._turn(head.path[0]), head.position),
        ):
            fronts.setdefault((*head.path[1], head.message.is_paid), head)
        offers: list[Entry] = []
        for bot_id, bot in self._bots.items():
            if not bot.paused and bot.hold_until_ms <= at_ms:
                mine = [front for front in fronts.values() if front.message.bot_id == bot_id]
                paying = [front for front in mine if self._pays(front.message, at_ms)]
                offers += self._fitting(self._paid_of(bot_id), paying, 2, at_ms)
                offers += self._fitting(bot, [front for front in mine if front not in paying], 2, at_ms)
        offers = [front for front in offers if all(pool.are_mine_too for pool in self._pools(front.message, at_ms))]
        offers.sort(
            key=lambda front: (
                self._turn(front.path[1]),
                front.message.bot_id,
                self._turn(front.path[0]),
                front.position,
            )
        )
        firsts = {front.path[3]: front for front in reversed(offers)}
        candidates = [front for front in firsts.values() if not self._is_left_for_high(front, at_ms)]
        return next(self._fitting(self._ceiling, candidates, 3, at_ms), None)

    def _is_left_for_high(self, front: Entry, at_ms: int) -> bool:
        is_spaced = front.is_counted and front.message.priority in SPACING_PRIORITIES
        return is_spaced and any(pool.are_left_for_high for pool in self._pools(front.message, at_ms))

    def _pools(self, message: Outgoing, at_ms: int) -> Iterator[Places]:
        """Yield what a message needs a place of: the ceiling, unless it costs none, and the worker's connections."""
        if self._limits.ceiling.places and message.cost:
            yield self._ceiling_places(message.bot_id, at_ms)
        if self._connections is not None:
            yield self._places_of(self._connections, message.bot_id)

    def _ceiling_places(self, bot_id: int, at_ms: int) -> Places:
        leased = [entry for entry in self._entries.values() if entry.lease]
        mine = [entry for entry in leased if entry.message.bot_id == bot_id]
        is_young = bool(mine) and at_ms - min(entry.leased_at_ms for entry in mine) < SLOW_MS
        period = at_ms // ACTIVE_MS
        ended = {bot for bot, (ended_ms, _) in self._last_calls.items() if ended_ms // ACTIVE_MS >= period - 1}
        flying = {entry.message.bot_id for entry in leased}
        total = self._limits.ceiling.places
        return Places(
            total=total,
            free=total - sum(entry.message.cost for entry in leased),
            active_bots=len(flying | ended),
            is_shared=len(flying | self._last_calls.keys()) > 1,
            mine=sum(entry.message.cost for entry in mine),
            is_quick=is_young and self._last_calls.get(bot_id, (0, True))[1],
        )

    def _places_of(self, connections: Connections, bot_id: int) -> Places:
        pool, at_ms = connections.pool, connections.at_ms
        counts = {bot: (taken, is_quick) for bot, taken, is_quick in pool.counts(at_ms)}
        taken, is_quick = counts.get(bot_id, (0, False))
        free = connections.free - self._given.total()
        return Places(pool.places, free, pool.active(at_ms), pool.is_shared, taken + self._given[bot_id], is_quick)

    def _free_heads(self, at_ms: int) -> Iterator[Entry]:
        """Yield the head of each lane, where lane and chat let it go."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.position)
        flying = [entry for entry in entries if entry.lease and entry.is_counted]
        seen = {(priority, *entry.path[0][1:]) for entry in flying for priority in PRIORITIES}
        for entry in entries:
            due = entry.standing or (not entry.lease and entry.message.ready_at_ms <= at_ms)
            if due and (lane := entry.path[0]) not in seen:
                seen.add(lane)
                chat = self._chat(entry.message.bot_id, entry.message.chat_id)
                waits = max(self._wait_until_ms[lane], chat.hold_until_ms) > at_ms
                scopes = chat, self._user(entry.message)
                if not waits and all(self._has_room(scope, entry.message, at_ms) for scope in scopes):
                    yield entry

    def _tried(self, heads: Sequence[Entry], at_ms: int) -> Iterator[Entry]:
        """Yield the heads whose bots are not failing, or are tried with them: chats that have not failed come first."""
        failing = [head for head in heads if self._health[head.message.bot_id].failing]
        untroubled = {head.message.bot_id for head in failing if not self._failed(head)}
        for head in heads:
            bot_id = head.message.bot_id
            is_failing = self._health[bot_id].failing is not None
            if not is_failing or (
                self._tried_at_ms(head) <= at_ms and not (self._failed(head) and bot_id in untroubled)
            ):
                yield head

    def _failed(self, entry: Entry) -> bool:
        return entry.is_counted and self._chat(entry.message.bot_id, entry.message.chat_id).failed

    def _tried_at_ms(self, entry: Entry) -> int:
        """Return when its bot is tried next in chats like its own, if it is failing."""
        failing = self._health[entry.message.bot_id].failing
        return failing.tried_at_ms(in_failed_chat=self._failed(entry)) if failing else 0

    def _fitting(self, scope: Scope, fronts: Iterable[Entry], level: int, at_ms: int) -> Iterator[Entry]:
        """Yield the fronts that fit into a bot or under the ceiling, until one saves up; what is uncounted always."""

        def rank(front: Entry) -> tuple[int, int, int, str]:
            key = front.path[level]
            of_lane = self._turn(front.path[0]), front.position
            return self._among(key).rank(self._turn(key)), front.rank, *of_lane

        saves_up = False
        for front in sorted(fronts, key=rank):
            fits = self._has_room(scope, front.message, at_ms)
            if fits and not (saves_up and front.is_counted):
                yield front
            saves_up = saves_up or (not fits and front.message.cost > 1)

    def _has_room(self, scope: Scope, message: Outgoing, at_ms: int) -> bool:
        if not message.cost:
            return True
        ready_at_ms = scope.gate.ready_at_ms(self._clock(), message.cost) if scope.gate else 0
        apart = scope.spacing if message.priority in SPACING_PRIORITIES else None
        spaced_at_ms = apart.free_at_ms(at_ms, message.cost) if apart else 0
        return ready_at_ms is not None and max(ready_at_ms, spaced_at_ms) <= at_ms

    def _wake_at_ms(self, now_ms: int) -> int | None:
        """Look at every time at which anything changes; the first at which a message may go, or expires."""
        if self._pick(now_ms):
            return now_ms
        waiting = [entry for entry in self._entries.values() if not entry.lease]
        expiries = {entry.expires_at_ms for entry in waiting} - {NEVER_MS}
        times = {at_ms for entry in waiting for at_ms in self._times(entry, now_ms)}
        times |= {(now_ms // ACTIVE_MS + periods) * ACTIVE_MS for periods in (1, 2) if waiting}
        times |= {each.leased_at_ms + SLOW_MS for each in self._entries.values() if each.lease}
        times_ms = {at_ms for at_ms in times if at_ms and at_ms > now_ms}
        return next((at_ms for at_ms in sorted(times_ms | expiries) if at_ms in expiries or self._pick(at_ms)), None)

    def _times(self, entry: Entry, now_ms: int) -> Iterator[int | None]:
        message, bot = entry.message, self._bot(entry.message.bot_id)
        chat = self._chat(message.bot_id, message.chat_id)
        yield from (message.ready_at_ms, self._wait_until_ms[entry.path[0]], chat.hold_until_ms, bot.hold_until_ms)
        yield self._tried_at_ms(entry)
        for scope in (chat, bot, self._ceiling, self._user(message)):
            yield scope.gate.ready_at_ms(now_ms, message.cost) if scope.gate else None
            yield scope.spacing.free_at_ms(now_ms, message.cost) if scope.spacing else None
        if message.is_paid:
            paid_gate = self._paid_of(message.bot_id).gate
            yield paid_gate.ready_at_ms(now_ms, message.cost) if paid_gate else None
            yield self._purse(message.bot_id).free_at_ms(now_ms, message.cost)

    def _explain(self, entry: Entry, now_ms: int) -> Explanation:
        lanes: defaultdict[Key, list[Entry]] = defaultdict(list)
        for each in sorted(self._entries.values(), key=lambda each: each.position):
            if each.standing and each.path[1] == entry.path[1]:
                lanes[each.path[0]].append(each)
        lane = lanes.pop(entry.path[0], [])
        before = [each for each in lane if each.position < entry.position]
        first = self._turn(entry.path[0]), min(each.position for each in (entry, *lane))
        others = [
            min(len(ids), len(before) + ((self._turn(key), ids[0].position) < first)) for key, ids in lanes.items()
        ]
        shut = (gate for gate, until_ms in self._shut(lane[0], now_ms) if until_ms > now_ms) if entry.standing else ()
        outside = WaitsAt.BACKOFF if entry.tried else WaitsAt.SCHEDULED
        waits_at = next(iter(shut), WaitsAt.TURN) if entry.standing else outside
        return Explanation(
            message_id=entry.message.id,
            waits_at=waits_at,
            before_in_lane=len(before),
            before_in_line=len(before) + sum(others),
            earliest_at_ms=self._earliest(entry, [*before, entry], now_ms),
        )

    def _shut(self, head: Entry, now_ms: int) -> Iterator[tuple[WaitsAt, int]]:
        """Yield every gate with the time until which it keeps a message back."""
        message, lane = head.message, head.path[0]
        bot, chat = self._bot(message.bot_id), self._chat(message.bot_id, message.chat_id)
        side = self._paid_of(message.bot_id) if self._pays(message, now_ms) else bot
        flying = any(each.lease and each.is_counted and each.path[0][1:] == lane[1:] for each in self._entries.values())

        def full(scope: Scope) -> int:
            ready_at_ms = scope.gate.ready_at_ms(now_ms, message.cost) if scope.gate else 0
            return NEVER_MS if ready_at_ms is None else ready_at_ms

        def apart(scope: Scope) -> int:
            is_spaced = scope.spacing and message.priority in SPACING_PRIORITIES
            return scope.spacing.free_at_ms(now_ms, message.cost) if scope.spacing and is_spaced else 0

        counts = head.is_counted
        yield from ((WaitsAt.BACKOFF, self._wait_until_ms[lane]), (WaitsAt.CHAT_IN_FLIGHT, counts * flying * NEVER_MS))
        yield WaitsAt.CHAT_HELD, chat.hold_until_ms
        if counts:
            yield from ((WaitsAt.CHAT_WINDOW, full(chat)), (WaitsAt.USER_WINDOW, full(self._user(message))))
        yield from ((WaitsAt.BOT_PAUSED, bot.paused * NEVER_MS), (WaitsAt.BOT_HELD, bot.hold_until_ms))
        yield WaitsAt.BOT_FAILING, self._tried_at_ms(head)
        if not counts:
            return
        yield from ((WaitsAt.BOT_WINDOW, full(side)), (WaitsAt.SPACING, apart(side)))
        may = all(pool.are_mine_too for pool in self._pools(message, now_ms))
        is_left = not may or self._is_left_for_high(head, now_ms)
        yield WaitsAt.CEILING, max(full(self._ceiling), is_left * NEVER_MS)
        yield WaitsAt.SPACING, apart(self._ceiling)

    def _earliest(self, entry: Entry, until: list[Entry], now_ms: int) -> int | None:
        costs = [each.message.cost for each in until]
        message, bot = entry.message, self._bot(entry.message.bot_id)
        chat = self._chat(message.bot_id, message.chat_id)
        unpaid = [each.message.cost for each in until if not each.message.is_paid]
        is_spaced = message.priority in SPACING_PRIORITIES
        own_ms = 0 if entry.standing else message.ready_at_ms
        waits_ms = (
            *(own_ms, self._wait_until_ms[entry.path[0]], chat.hold_until_ms),
            *(bot.hold_until_ms, self._tried_at_ms(entry)),
        )
        if not entry.is_counted:
            return None if bot.paused else max(now_ms, *waits_ms)
        free_ms = [
            limit.earliest_ms(now_ms, of)
            for scope, of in ((chat, costs), (bot, unpaid), (self._ceiling, costs))
            for limit in (scope.gate, scope.spacing if is_spaced else None)
            if limit is not None and of
        ]
        if message.user_id is not None and (limited := self._user(message).gate):
            same = [each.message.cost for each in until if each.message.user_id == message.user_id]
            free_ms.append(limited.earliest_ms(now_ms, same))
        return None if bot.paused else max(now_ms, *waits_ms, *free_ms)

    # In and out

    def _tick(self, batch: Sized = ()) -> int:
        if len(batch) > BATCH_MAX:
            raise ValueError(f"{len(batch)} are more than {BATCH_MAX}")
        now_ms = self._clock()
        for entry in self._entries.values():
            if not entry.lease and not entry.standing and entry.message.ready_at_ms <= now_ms:
                self._stand(entry)
        return now_ms

    def _admit(self, message: Outgoing, now_ms: int, *, capped: bool) -> Verdict:
        if message.id in self._entries:
            return Duplicate()
        self._bot(message.bot_id)
        message = structs.replace(message, chat_id=self._resolve(message.bot_id, message.chat_id))
        waits = self._waiting_edits(message.bot_id, message.chat_id, message.replaces)
        if waits and waits[-1].message.method == message.method:
            return self._instead(message, waits[-1], now_ms)
        waiting = [entry.message for entry in self._entries.values() if not entry.lease]
        of_bot = [other for other in waiting if other.bot_id == message.bot_id]
        of_chat = [other for other in of_bot if other.chat_id == message.chat_id]
        if capped and message.chat_id is not None and 0 < self._limits.chat_cap <= len(of_chat):
            return Refused(message.bot_id, message.chat_id, self._limits.chat_cap)
        if capped and 0 < self._limits.bot_cap <= len(of_bot):
            return Refused(message.bot_id, None, self._limits.bot_cap)
        self._add(Entry(message, message.attempt, tried=message.attempt > 0, position=message.id), now_ms)
        return Queued()

    def _add(self, entry: Entry, now_ms: int) -> None:
        message = entry.message
        chat = self._chat(message.bot_id, message.chat_id)
        chat.failed = chat.failed and self._is_busy(message.bot_id, message.chat_id)
        self._entries[message.id] = entry
        if message.attempt and message.ready_at_ms > now_ms:
            self._delay(entry, message.ready_at_ms)
        if not entry.standing and ((message.attempt and message.cost) or message.ready_at_ms <= now_ms):
            self._stand(entry)

    def _amend(self, message: Outgoing, entry: Entry | None, now_ms: int) -> bool:
        if entry is None or entry.lease or entry.message.cost != message.cost:
            return False
        amended = amended_by(entry.message, message, has_tried=entry.attempt > 0)
        ready_at_ms = amended.ready_at_ms
        is_moved = entry.attempt == 0 and entry.standing != (ready_at_ms <= now_ms)
        if is_moved and entry.standing:
            self._leave(entry)
        entry.message = amended
        if is_moved and ready_at_ms <= now_ms:
            self._stand(entry)
        return True

    def _instead(self, message: Outgoing, older: Entry, now_ms: int) -> Verdict:
        replaced, position = older.message, older.position
        if replaced.id > message.id:
            return Replaced(by=replaced.id)
        if PRIORITIES.index(message.priority) < PRIORITIES.index(replaced.priority):
            position = message.id
        else:
            message = structs.replace(message, priority=replaced.priority)
        stays = older.standing and position == older.position and (message.attempt or message.ready_at_ms <= now_ms)
        entry = Entry(message, message.attempt, message.attempt > 0, position, standing=bool(stays))
        if stays:  # its lane goes on waiting, and keeps its turn
            del self._entries[replaced.id]
        else:
            self._forget(older)
        self._add(entry, now_ms)
        return Queued(instead_of=replaced)

    def _waiting_edits(self, bot_id: int, chat_id: ChatId | None, replaces: str | None) -> list[Entry]:
        """Return what waits with the same ``replaces``, oldest first."""
        mine = [each for each in self._entries.values() if not each.lease and each.message.replaces == replaces]
        mine = [each for each in mine if each.path[0][1:] == (bot_id, self._resolve(bot_id, chat_id))]
        return sorted(mine, key=lambda each: each.message.id) if replaces else []

    def _lease(self, worker_id: str, slots: int, now_ms: int, connections: Connections | None) -> Leased:
        late = [entry for entry in self._entries.values() if not entry.lease and entry.expires_at_ms <= now_ms]
        expired = sorted(late, key=lambda entry: (entry.expires_at_ms, entry.message.id))[: EXPIRED_MAX * (slots > 0)]
        for entry in expired:
            self._forget(entry)
        leases: list[Lease] = []
        self._connections = connections
        for _ in range(min(slots, BATCH_MAX)):
            front = self._pick(now_ms)
            if front is None:
                break
            if front.expires_at_ms <= now_ms:
                self._take_turn(front)
                self._forget(front)
                expired.append(front)
            else:
                leases.append(self._serve(front, worker_id, now_ms))
                self._given[front.message.bot_id] += 1
        wake_at_ms = now_ms if len(late) > len(expired) else self._wake_at_ms(now_ms)
        may_go = connections is None or self._pick(now_ms)
        self._connections, self._given = None, Counter()
        gone = tuple(structs.replace(entry.message, attempt=entry.attempt) for entry in expired)
        return Leased(tuple(leases), gone, wake_at_ms, is_kept_back=not may_go and self._pick(now_ms) is not None)

    def _serve(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        message = entry.message
        entry.pays = self._pays(message, now_ms)
        for each in self._gates_of(entry):
            each.take(now_ms, message.cost)
        if entry.pays:
            self._purse(message.bot_id).take(message.cost)
        for scope in (self._ceiling, *([] if entry.pays else [self._bot(message.bot_id)])):
            if scope.spacing and message.priority in SPACING_PRIORITIES and message.cost:
                scope.spacing.spend(now_ms, message.cost)
        chat, bot = self._chat(message.bot_id, message.chat_id), self._bot(message.bot_id)
        for scope in (chat, *([] if entry.pays else [bot])) if message.cost else ():
            self._use(scope, now_ms)
        self._take_turn(entry)
        self._health[message.bot_id].begin_call(message.id, now_ms, in_failed_chat=self._failed(entry))
        self._leave(entry)
        entry.leased_at_ms = now_ms
        return self._grant(entry, worker_id, now_ms)

    def _take_turn(self, entry: Entry) -> None:
        message = entry.message
        weights = (1, self._bot(message.bot_id).weight, *[self._limits.shares[message.priority]] * 2)
        for key, weight in zip(entry.path, weights, strict=True):
            self._pass[key] = self._among(key).serve(self._pass[key], cost=message.cost or 1, weight=weight)

    def _grant(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        self._number += 1
        until_ms = now_ms + self._lease_ms
        message = structs.replace(entry.message, is_paid=entry.pays)
        entry.lease = Lease(message, entry.attempt + 1, worker_id, self.incarnation, self._number, until_ms)
        return entry.lease

    def _settle(self, settlement: says.Settlement, now_ms: int) -> Settled:
        entry, lease = self._held(settlement.lease), settlement.lease
        if entry is None:
            return Settled(held=False)
        message, bot = entry.message, self._bot(entry.message.bot_id)
        chat = self._chat(message.bot_id, message.chat_id)
        near = chat.gate is not None and chat.gate.is_near(now_ms)
        counted_at_ms = None if settlement.counted_age_ms is None else now_ms - settlement.counted_age_ms
        doubted = [scope.gate for scope in (bot, self._paid_of(message.bot_id), chat) if scope.doubt_until_ms > now_ms]
        for each in self._gates_of(entry):
            guard_ms = self._limits.guard_ms if any(each is gate for gate in doubted) else 0
            each.settle(counted_at_ms, settlement.counted_cost, guard_ms=guard_ms)
            each.give_back(message.cost - settlement.counted_cost)
        for scope in (self._ceiling, *(() if entry.pays else (bot,))):
            if scope.spacing is not None and message.priority in SPACING_PRIORITIES:
                scope.spacing.unspend(message.cost - settlement.counted_cost)
        if entry.pays:
            self._purse(message.bot_id).settle(counted_at_ms, settlement.counted_cost)
            self._purse(message.bot_id).settle(None, message.cost - settlement.counted_cost)
        message = entry.message = settlement.rest.of(message) if settlement.rest else message
        entry.lease = None
        self._last_calls[message.bot_id] = now_ms, now_ms - entry.leased_at_ms < SLOW_MS
        failing = self._judge(message, now_ms, alive=settlement.alive)
        holds: tuple[Hold, ...] = ()
        match settlement.then:
            case says.Done():
                del self._entries[message.id]
                return Settled(held=True, failing=failing)
            case says.Again(delay_ms, spent):
                entry.attempt, entry.tried = lease.attempt - (not spent), entry.tried or spent
                self._delay(entry, now_ms + delay_ms if delay_ms else 0, whole_chat=settlement.alive is False)
                if not message.cost and delay_ms:  # it waits by itself
                    entry.message = structs.replace(message, ready_at_ms=now_ms + delay_ms)
                    return Settled(held=True, failing=failing)
            case says.HoldChat(retry_after_ms):
                entry.tried, holds = True, self._throttle(entry, now_ms, now_ms + retry_after_ms, near=near)
            case says.MoveChat(to_chat_id) if message.chat_id is not None:
                entry.message = structs.replace(message, chat_id=self._resolve(message.bot_id, to_chat_id))
                self._migrate(message.bot_id, message.chat_id, to_chat_id)
            case says.PauseBot():
                bot.paused = True
        self._stand(entry)
        return Settled(held=True, holds=holds, failing=failing)

    def _judge(self, message: Outgoing, now_ms: int, *, alive: bool | None) -> FailingChange | None:
        health = self._health[message.bot_id]
        if alive is None:
            health.give_back(message.id)
            return None
        if message.cost:
            self._chat(message.bot_id, message.chat_id).failed = not alive
        if alive:
            ended = health.succeed()
            return FailingChange(begins=False, after_ms=now_ms - ended.since_ms) if ended else None
        begins = health.fail(message.chat_id, now_ms, resolve=lambda chat_id: self._resolve(message.bot_id, chat_id))
        return FailingChange(begins=True, after_ms=now_ms - health.called_since_ms) if begins else None

    def _throttle(self, entry: Entry, now_ms: int, until_ms: int, *, near: bool) -> tuple[Hold, ...]:
        message = entry.message
        bot, hold = self._bot(message.bot_id), self._hold(Hold(message.bot_id, message.chat_id, until_ms))
        chat = self._chat(message.bot_id, message.chat_id)
        if near and message.cost:
            self._lower(chat, self._limits.of_chat(message.chat_id), now_ms, until_ms, refused=1)
        if near or (not message.cost and self._limits.of_chat(message.chat_id) is None):
            return (hold,)
        bot.blames = [blame for blame in bot.blames if now_ms - blame[0] <= 2_000] + [(now_ms, message.chat_id)]
        bot_is_meant = len({self._resolve(message.bot_id, chat_id) for _, chat_id in bot.blames}) > 1
        side = self._paid_of(message.bot_id) if entry.pays else bot
        if message.cost:
            for scope in (chat, *([bot, self._paid_of(message.bot_id)] if bot_is_meant else [])):
                scope.doubt_until_ms = now_ms + 60_000
        if message.cost and bot_is_meant and not entry.pays:
            refused = sum(at_ms > now_ms - self._limits.bot.window_ms for at_ms, _ in bot.blames)
            self._lower(bot, self._limits.bot, now_ms, until_ms, refused=refused)
        if message.cost and not bot_is_meant and (side.gate is None or not side.gate.is_near(now_ms)):
            self._lower(chat, self._limits.of_chat(message.chat_id), now_ms, until_ms, refused=1)
        if not bot_is_meant:
            return (hold,)
        return hold, self._hold(Hold(message.bot_id, None, until_ms))

    def _lower(self, scope: Scope, limit: Limit | None, now_ms: int, until_ms: int, *, refused: int) -> None:
        if limit is not None and scope.gate is not None:
            counted = scope.gate.counted(now_ms)
            scope.adapted = scope.adapted or AdaptiveLimit(limit, least=self._limits.adapt_least)
            scope.adapted.lower(now_ms, until_ms=until_ms, passed=None if counted is None else counted - refused)
            self._adapt(scope, scope.adapted, now_ms)

    def _use(self, scope: Scope, now_ms: int) -> None:
        if scope.adapted is not None and scope.gate is not None:
            places = scope.adapted.places
            scope.adapted.use(now_ms, is_full=scope.gate.ready_at_ms(now_ms, 1) != now_ms)
            if scope.adapted.places != places:
                self._adapt(scope, scope.adapted, now_ms)

    def _adapt(self, scope: Scope, adapted: AdaptiveLimit, now_ms: int) -> None:
        narrow(scope.gate, scope.spacing, adapted.places, now_ms)
        scope.adapted = adapted if adapted.is_lower else None

    def _hold(self, hold: Hold) -> Hold:
        held = self._bot(hold.bot_id) if hold.chat_id is None else self._chat(hold.bot_id, hold.chat_id)
        held.hold_until_ms = max(held.hold_until_ms, hold.until_ms)
        return replace(hold, until_ms=held.hold_until_ms)

    def _delay(self, entry: Entry, until_ms: int, *, whole_chat: bool = False) -> None:
        lane = entry.path[0]
        lanes = [(priority, *lane[1:]) for priority in PRIORITIES] if whole_chat else [lane]
        for each in lanes if entry.is_counted else ():
            self._wait_until_ms[each] = max(self._wait_until_ms[each], until_ms)

    def _migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        old_id, new_id = self._resolve(bot_id, from_chat_id), self._resolve(bot_id, to_chat_id)
        if old_id == new_id:
            return
        old, new = self._chat(bot_id, old_id), self._chat(bot_id, new_id)
        new.failed = any(self._chat(bot_id, each).failed and self._is_busy(bot_id, each) for each in (old_id, new_id))
        self._aliases[bot_id, old_id] = new_id
        new.hold_until_ms = max(new.hold_until_ms, old.hold_until_ms)
        if new.gate and old.gate:
            new.gate.absorb(old.gate)
        moved = [entry for entry in self._entries.values() if entry.path[0][1:] == (bot_id, old_id)]
        moved.sort(key=lambda entry: (PRIORITIES.index(entry.message.priority), entry.position))
        stood = [entry for entry in moved if entry.standing]
        for entry in stood:
            self._leave(entry)
        for priority in PRIORITIES:
            waits_ms = self._wait_until_ms.pop((priority, bot_id, old_id), 0)
            self._wait_until_ms[priority, bot_id, new_id] = max(self._wait_until_ms[priority, bot_id, new_id], waits_ms)
            for each in (priority, uncounted(priority)):
                self._pass.pop((each, bot_id, old_id), None)
        del self._chats[bot_id, old_id]
        for entry in moved:
            entry.message = structs.replace(entry.message, chat_id=new_id)
        for entry in stood:
            self._stand(entry)

    # The lanes

    def _stand(self, entry: Entry) -> None:
        """Put a message into its lane; each level above in which nothing waited enters its turns."""
        for key in entry.path:
            if not self._standing[key]:
                self._pass[key] = self._among(key).enter(self._pass[key])
        entry.standing = True
        self._standing.update(entry.path)

    def _leave(self, entry: Entry) -> None:
        entry.standing = False
        self._standing.subtract(entry.path)
        for key in entry.path:
            if not self._standing[key]:
                self._among(key).leave()

    def _forget(self, entry: Entry | None) -> bool:
        if entry is None or entry.lease:
            return False
        del self._entries[entry.message.id]
        if entry.standing:
            self._leave(entry)
        return True

    def _turn(self, key: Key) -> int:
        """Return the pass, or for one that does not wait the pass it would enter with."""
        return self._pass[key] if self._standing[key] else copy(self._among(key)).enter(self._pass[key])

    def _among(self, key: Key) -> FairQueue:
        is_lane = len(key) == len(("priority", "bot", "chat"))
        return self._turns.setdefault(key[:-1], FairQueue(entry=STRIDE if is_lane else 0))

    # Finding things

    def _bot(self, bot_id: int) -> Scope:
        if bot_id not in self._bots:
            self._bots[bot_id] = Scope(gate(self._limits.bot), spacing(self._limits.bot, self._limits.saved_up))
        return self._bots[bot_id]

    def _paid_of(self, bot_id: int) -> Scope:
        return self._paid.setdefault(bot_id, Scope(gate(self._limits.paid)))

    def _purse(self, bot_id: int) -> WeightedWindow:
        self._paid_of(bot_id)
        return self._purses.setdefault(bot_id, WeightedWindow(self._limits.purse, grains=PURSE_GRAINS))

    def _pays(self, message: Outgoing, at_ms: int) -> bool:
        pays_at_ms = self._purse(message.bot_id).free_at_ms(self._clock(), message.cost) if message.is_paid else None
        return pays_at_ms is not None and pays_at_ms <= at_ms

    def _chat(self, bot_id: int, chat_id: ChatId | None) -> Scope:
        key = bot_id, self._resolve(bot_id, chat_id)
        if key not in self._chats:
            self._chats[key] = Scope(gate(self._limits.of_chat(key[1])))
        return self._chats[key]

    def _is_busy(self, bot_id: int, chat_id: ChatId | None) -> bool:
        """Tell whether anything of a chat waits, now or for later, or is leased and counted."""
        mine = [each for each in self._entries.values() if each.path[0][1:] == (bot_id, chat_id)]
        return any(
            (each.lease and each.is_counted)
            or each.standing
            or (not each.lease and each.message.ready_at_ms > self._clock())
            for each in mine
        )

    def _user(self, message: Outgoing) -> Scope:
        key = message.bot_id, message.user_id
        if key not in self._users:
            self._users[key] = Scope(gate(None if message.user_id is None else self._limits.user))
        return self._users[key]

    def _gates(self, bot_id: int, chat_id: ChatId | None, *more: Scope, pays: bool = False) -> list[Gate]:
        scopes = self._ceiling, self._paid_of(bot_id) if pays else self._bot(bot_id), self._chat(bot_id, chat_id), *more
        return [scope.gate for scope in scopes if scope.gate is not None]

    def _gates_of(self, entry: Entry) -> list[Gate]:
        message = entry.message
        gates = self._gates(message.bot_id, message.chat_id, self._user(message), pays=entry.pays)
        return gates if entry.is_counted else []

    def _resolve(self, bot_id: int, chat_id: ChatId | None) -> ChatId | None:
        while (bot_id, chat_id) in self._aliases:
            chat_id = self._aliases[bot_id, chat_id]
        return chat_id

    def _held(self, lease: Lease) -> Entry | None:
        entry = self._entries.get(lease.message.id)
        held = entry and entry.lease and (entry.lease.number, self.incarnation) == (lease.number, lease.incarnation)
        return entry if held else None


def amended_by(kept: Outgoing, message: Outgoing, *, has_tried: bool) -> Outgoing:
    changes: dict[str, object] = {}
    if message.method != KEPT_METHOD:
        changes |= {"method": message.method, "params": message.params}
    if message.ready_at_ms != KEPT_MS and not has_tried:
        changes["ready_at_ms"] = message.ready_at_ms
    return structs.replace(kept, **changes)
