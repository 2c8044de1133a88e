"""Two brokers are driven side by side, and an auditor who knows neither watches what they hand out.

The state machine makes every verb collide with every other under limits so small that all
of them matter at once. ``World`` compares the broker under test with ``NaiveBroker``, answer
by answer; ``Audit`` holds its answers to the promises of the design, from the log alone.

    python -m tests.engine.brokers.model_command --steps 100000
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.limits.limits import SPACING_PRIORITIES, Limit, Limits
from tempogram.engine.model.messages import (
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
    Rest,
    Settlement,
    Spent,
    Then,
)
from tempogram.engine.ports import (
    Admission,
    Broker,
    Duplicate,
    Explanation,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
)
from tempogram.engine.ports import Clock as Ticks
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.naive_broker import NaiveBroker
from tests.fakes import Clock, outgoing

T = TypeVar("T")
LEASE_MS = 500
BOTS = (1, 2, 3)
CHATS: tuple[ChatId | None, ...] = (-100, "@name", 7, None)
OLD_GROUP = -5  # what -100 and @name are called before they migrate, and may be called afterwards
GROUPS: tuple[ChatId, ...] = (-100, "@name", OLD_GROUP)
LIMITS = (
    Limits(
        ceiling=Limit(5, 100), bot=Limit(3, 100), chat=Limit(1, 50, burst=3), group=Limit(4, 400),
        user=Limit(3, 200), paid=Limit(2, 100), purse=Limit(20, 2_000), saved_up=2, guard_ms=7, chat_cap=5, bot_cap=12,
    ),
    Limits(
        ceiling=Limit(0, 1), bot=Limit(6, 300), chat=Limit(2, 70, burst=2), group=Limit(2, 100),
        paid=Limit(5, 50), purse=Limit(3, 700),
        saved_up=5, guard_ms=25, chat_cap=0, bot_cap=8,
    ),
    Limits(
        ceiling=Limit(4, 300), bot=Limit(8, 100), chat=Limit(0, 1), group=Limit(3, 50),
        user=Limit(1, 300), saved_up=1, guard_ms=3, chat_cap=9, bot_cap=0,
    ),
    Limits(
        ceiling=Limit(6, 100, burst=5), bot=Limit(5, 100, burst=4), chat=Limit(3, 100), group=Limit(2, 60),
        paid=Limit(0, 1), purse=Limit(9, 5_000), saved_up=3, guard_ms=5, chat_cap=6, bot_cap=20,
    ),
)  # fmt: skip


class Broken(AssertionError):
    """A promise was not kept."""

    def __init__(self, promise: str, detail: object) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise


def must(promise: str, held: bool, detail: object = "") -> None:  # noqa: FBT001 - reads as a sentence: must("order", ...)
    if not held:
        raise Broken(promise, detail)


@dataclass(slots=True)
class Book:
    """What the auditor knows of one open message."""

    message: Outgoing
    attempt: int
    tried: bool
    place: str = ""
    lease: Lease | None = None
    leased_at_ms: int = 0


@dataclass(slots=True)
class Level:
    """A bucket as Telegram may keep it: when it is empty again, in 1/count ms."""

    empty_at: int = 0

    def has_room(self, limit: Limit, cost: int, now_ms: int) -> bool:
        spare = (limit.burst or limit.count) - cost
        return spare >= 0 and self.empty_at - now_ms * limit.count <= spare * limit.window_ms

    def pour(self, limit: Limit, cost: int, at_ms: int) -> None:
        self.empty_at = max(self.empty_at, at_ms * limit.count) + cost * limit.window_ms


Place = tuple[int, ...]
Scope = tuple[int | ChatId | None, ...]
"""() is the ceiling, (bot,) a bot, (bot, chat) a chat, ("paid", bot) what a bot pays for."""


@dataclass(slots=True)
class Audit:
    """Holds a broker to its promises, from what it was told and what it answered."""

    limits: Limits
    books: dict[str, Book] = field(default_factory=dict)
    accepted: int = 0
    ended: int = 0
    number: int = 0
    spent: defaultdict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    counted: defaultdict[Scope, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    levels: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    guarded: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    spaced: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    holds: defaultdict[Scope, int] = field(default_factory=lambda: defaultdict(int))
    waits: defaultdict[Scope, int] = field(default_factory=lambda: defaultdict(int))
    said: defaultdict[tuple[int, int | None], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """When each user made a bot say something, and what that cost."""
    paused: set[int] = field(default_factory=set)
    lowered: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Until when a bot or one of its chats may use less than its limit, after a 429."""
    names: dict[Scope, ChatId] = field(default_factory=dict)
    quiet_until: tuple[int | None] | None = None  # what the last lease said, while nothing else happened

    # What is said to the broker

    def admitted(
        self, messages: Sequence[Outgoing], answer: Admission, now_ms: int, slots: int, *, capped: bool
    ) -> None:
        self.quiet_until = None
        for message, verdict in zip(messages, answer.verdicts, strict=True):
            match verdict:
                case Duplicate():
                    must("once in", message.id in self.books, message)
                case Refused():
                    must("caps", capped and self._is_full(message), message)
                case Replaced(by):
                    must("edits", self._replaceable(message) == by > message.id, message)
                    self.accepted += 1
                    self.ended += 1
                case Queued(instead_of):
                    must("once in", message.id not in self.books, message)
                    must("caps", bool(instead_of) or not (capped and self._is_full(message)), message)
                    must("edits", self._replaceable(message) == (instead_of.id if instead_of else None), message)
                    self.accepted += 1
                    self._keep(message, self.books[instead_of.id] if instead_of else None)
        self.leased(answer.leased, now_ms, slots)

    def leased(self, answer: Leased, now_ms: int, slots: int) -> None:
        if self.quiet_until is not None and (answer.leases or answer.expired):
            (until_ms,) = self.quiet_until
            must("wake", until_ms is not None and until_ms <= now_ms, f"{answer} came before {until_ms}")
        must("slots", len(answer.leases) <= min(slots, BATCH_MAX), answer)
        for message in answer.expired:
            must("expiry", not self.books[message.id].lease and _expiry(message) <= now_ms, message)
            self._end(message.id)
        for lease in answer.leases:
            self._given(lease, now_ms)
        must("expiry", slots > 0 or not answer.expired, answer)
        must("expiry", not slots or len(answer.expired) == BATCH_MAX or not self._late(now_ms), self._late(now_ms))
        if len(answer.leases) < min(slots, BATCH_MAX):
            self._nothing_is_kept_back(now_ms)
            must("wake", answer.wake_at_ms is None or answer.wake_at_ms > now_ms, answer)
        self.quiet_until = (answer.wake_at_ms,)

    def recovered(self, leases: Sequence[Lease], now_ms: int) -> None:
        self.quiet_until = None
        for lease in leases:
            book = self.books[lease.message.id]
            must("recover", book.lease is not None and book.lease.expires_at_ms <= now_ms, lease)
            must("fencing", lease.number > self.number, lease)
            self.number, book.lease = lease.number, lease

    def extended(self, leases: Sequence[Lease], answers: Sequence[bool], until_ms: int) -> None:
        self.quiet_until = None
        for lease, answer in zip(leases, answers, strict=True):
            book = self._holder(lease)
            must("fencing", answer == (book is not None), lease)
            if book is not None and book.lease is not None:
                book.lease = structs.replace(book.lease, expires_at_ms=until_ms)

    def settled(self, settlement: Settlement, answer: Settled, now_ms: int) -> None:
        self.quiet_until = None
        book = self._holder(settlement.lease)
        must("fencing", answer.held == (book is not None), settlement)
        if book is None:
            return
        book.lease = None
        message, scope = book.message, self._scope(book.message)
        if settlement.counted_age_ms is not None:
            paid = settlement.lease.message.is_paid
            counted = structs.replace(message, cost=settlement.counted_cost, is_paid=paid)
            self._count(counted, now_ms - settlement.counted_age_ms + 1)
            who = message.bot_id, message.user_id
            self.said[who].append((now_ms - settlement.counted_age_ms + 1, counted.cost))
        if settlement.rest is not None:
            message = book.message = settlement.rest.of(message)
        for hold in answer.holds:
            self.held(hold)
        match settlement.then:
            case Done():
                self._end(message.id)
            case Again(delay_ms, spent):
                book.attempt += spent
                book.tried = book.tried or spent
                self._wait(message, now_ms + delay_ms)
            case HoldChat(retry_after_ms):
                book.tried = True
                self.lowered[message.bot_id] = now_ms + 10 * 400  # ten places a limit at most, 400 ms a window
                must("hold", self.holds[scope[: 1 + (scope[1] is not None)]] >= now_ms + retry_after_ms, answer)
            case MoveChat(to_chat_id):
                self.migrated(message.bot_id, message.chat_id, to_chat_id)
            case PauseBot():
                self.paused.add(message.bot_id)

    def held(self, hold: Hold) -> None:
        self.quiet_until = None
        scope = (hold.bot_id,) if hold.chat_id is None else (hold.bot_id, self._name(hold.bot_id, hold.chat_id))
        self.holds[scope] = max(self.holds[scope], hold.until_ms)

    def _keep(self, message: Outgoing, older: Book | None) -> None:
        place = message.id
        if older is not None:
            must("edits", older.message.id < message.id, message)
            self._end(older.message.id)
            if PRIORITIES.index(older.message.priority) <= PRIORITIES.index(message.priority):
                message, place = structs.replace(message, priority=older.message.priority), older.place
        self.books[message.id] = Book(message, message.attempt, tried=message.attempt > 0, place=place)
        if message.attempt:
            self._wait(message, message.ready_at_ms)

    def _replaceable(self, message: Outgoing) -> str | None:
        """Return the one to which a message and its like come down: the newest that waits, if of its method."""
        waiting = [book.message for book in self.books.values() if not book.lease and message.replaces is not None]
        edits = [each for each in waiting if (self._scope(each), each.replaces) == self._edit_of(message)]
        newest = max(edits, key=lambda each: each.id, default=None)
        return newest.id if newest is not None and newest.method == message.method else None

    def _edit_of(self, message: Outgoing) -> tuple[Scope, str | None]:
        return self._scope(message), message.replaces

    def dropped(self, bot_id: int, chat_id: ChatId, replaces: str, answer: Sequence[Outgoing]) -> None:
        self.quiet_until = None
        for message in answer:
            book = self.books[message.id]
            must("edits", not book.lease and self._edit_of(book.message) == self._edit_of(message), message)
            self._end(message.id)
        left = [book.message for book in self.books.values() if not book.lease]
        gone = ((bot_id, self._name(bot_id, chat_id)), replaces)
        must("edits", not any(self._edit_of(each) == gone for each in left), left)

    def cancelled(self, message_id: str, *, answer: bool) -> None:
        self.quiet_until = None
        book = self.books.get(message_id)
        must("cancel", answer == (book is not None and not book.lease), message_id)
        if answer:
            self._end(message_id)

    def migrated(self, bot_id: int, from_chat_id: ChatId | None, to_chat_id: ChatId) -> None:
        self.quiet_until = None
        old, new = self._name(bot_id, from_chat_id), self._name(bot_id, to_chat_id)
        if old == new or old is None or new is None:
            return
        self.names[bot_id, old] = new
        limit = self.limits.of_chat(old)
        if limit is None or limit.burst is None:  # a bucket does not know when each was counted
            self.counted[bot_id, new] += self.counted.pop((bot_id, old), [])
        for ends in (self.holds, self.waits):
            for scope in [scope for scope in ends if scope[:2] == (bot_id, old)]:
                moved = (bot_id, new, *scope[2:])
                ends[moved] = max(ends[moved], ends.pop(scope))

    def restored(self, sends: Sequence[PastSend], spent: Sequence[Spent]) -> None:
        for each in spent:
            self.spent[each.bot_id].append((each.at_ms + 1, each.cost))
        for send in sends:
            sent = outgoing("", bot_id=send.bot_id, chat_id=send.chat_id, cost=send.cost, is_paid=send.is_paid)
            self._count(sent, send.counted_at_ms + 1, is_spent=False)

    def stood(self, stats: QueueStats) -> None:
        retry = [book for book in self.books.values() if book.tried and not book.lease]
        must("nothing lost", self.accepted == len(self.books) + self.ended, stats)
        must("stats", sum(stats.waiting.values()) + stats.retry == len(self.books), stats)
        must("stats", stats.retry == len(retry), stats)
        must("stats", stats.leased == sum(book.lease is not None for book in self.books.values()), stats)

    # What must hold of every lease

    def _given(self, lease: Lease, now_ms: int) -> None:
        must("one holder", lease.message.id in self.books, lease)
        book = self.books[lease.message.id]
        message, scope = book.message, self._scope(book.message)
        must("one holder", book.lease is None, lease)
        must("fencing", lease.number > self.number, lease)
        must("one in flight", not self._is_busy(scope), lease)
        must("send_at", message.attempt > 0 or message.ready_at_ms <= now_ms, lease)
        must("expiry", _expiry(message) > now_ms, lease)
        must("backoff", self.waits[(*scope, message.priority)] <= now_ms, lease)
        must("order", self._is_head(book, now_ms), lease)
        must("attempts", lease.attempt == book.attempt + 1, lease)
        must("pause", message.bot_id not in self.paused, lease)
        must("hold", self.holds[scope] <= now_ms and self.holds[scope[:1]] <= now_ms, lease)
        paid = lease.message.is_paid
        must("stars", not paid or (message.is_paid and self._stars_left(message, now_ms)), lease)
        must("stars", paid or not message.is_paid or not self._stars_left(message, now_ms - 5), lease)
        message = structs.replace(message, is_paid=paid)
        must("window", self._has_room(message, now_ms, guard_ms=0), lease)
        must("user window", self._user_has_room(message, now_ms, guard_ms=0), lease)
        must("spacing", self._is_spaced(message, now_ms), lease)
        for part, limit in self._spacings(message):
            self.spaced[part].pour(limit, message.cost, now_ms)
        self.number, book.lease, book.leased_at_ms = lease.number, lease, now_ms

    def _nothing_is_kept_back(self, now_ms: int) -> None:
        waiting = [book for book in self.books.values() if not book.lease and self._is_due(book, now_ms)]
        for book in waiting:
            message, scope = book.message, self._scope(book.message)
            pays = self._stars_left(message, now_ms - 5)
            if message.is_paid and pays != self._stars_left(message, now_ms):
                continue  # what was spent is free again within these 5 ms: it may wait for either window
            message = structs.replace(message, is_paid=message.is_paid and pays)
            somebody_may_save_up = any(other.message.cost > 1 for other in waiting if other is not book)
            free = (
                self._is_head(book, now_ms)
                and not self._is_busy(scope)
                and message.bot_id not in self.paused
                and self.lowered[message.bot_id] <= now_ms
                and max(self.holds[scope], self.holds[scope[:1]], self.waits[(*scope, message.priority)]) <= now_ms
                and self._has_room(message, now_ms, guard_ms=self.limits.guard_ms)
                and self._user_has_room(message, now_ms, guard_ms=self.limits.guard_ms)
                and self._is_spaced(message, now_ms)
            )
            must("busy", not free or somebody_may_save_up, message)

    def _has_room(self, message: Outgoing, now_ms: int, *, guard_ms: int) -> bool:
        scope = self._scope(message)
        return all(
            (self.guarded if guard_ms else self.levels)[part].has_room(
                limit, self._in_flight(part) + min(message.cost, limit.burst), now_ms
            )
            if limit.burst
            else self._in_flight(part) + self._counted(part, limit, now_ms - guard_ms) + min(message.cost, limit.count)
            <= limit.count
            for part, limit in self._limits_of(scope, paid=message.is_paid)
        )

    def _user_has_room(self, message: Outgoing, now_ms: int, *, guard_ms: int) -> bool:
        limit, who = self.limits.user, (message.bot_id, message.user_id)
        if message.user_id is None or not limit.count:
            return True
        flying = [book.message for book in self.books.values() if book.lease]
        in_flight = sum(other.cost for other in flying if (other.bot_id, other.user_id) == who)
        counted = [
            min(cost, limit.count) for at_ms, cost in self.said[who] if at_ms + limit.window_ms > now_ms - guard_ms
        ]
        return in_flight + sum(counted) + min(message.cost, limit.count) <= limit.count

    def _stars_left(self, message: Outgoing, now_ms: int) -> bool:
        """Tell whether a bot may still pay for a message; what it spent counts for its window at least."""
        part, limit = ("paid", message.bot_id), self.limits.purse
        spent = [cost for at_ms, cost in self.spent[message.bot_id] if at_ms + limit.window_ms > now_ms]
        return sum(spent) + self._in_flight(part) + message.cost <= limit.count

    def _in_flight(self, part: Scope) -> int:
        leases = [book.lease for book in self.books.values() if book.lease]
        if part[:1] == ("paid",):
            return sum(
                each.message.cost for each in leases if ("paid", each.message.bot_id) == part and each.message.is_paid
            )
        free = [each for each in leases if len(part) != 1 or not each.message.is_paid]
        scopes = [(self._scope(self.books[each.message.id].message), each.message.cost) for each in free]
        return sum(cost for scope, cost in scopes if scope[: len(part)] == part)

    def _counted(self, part: Scope, limit: Limit, now_ms: int) -> int:
        return sum(min(cost, limit.count) for at_ms, cost in self.counted[part] if at_ms + limit.window_ms > now_ms)

    def _is_spaced(self, message: Outgoing, now_ms: int) -> bool:
        return all(
            self.spaced[part].has_room(limit, min(message.cost, limit.burst or 1), now_ms)
            for part, limit in self._spacings(message)
        )

    def _spacings(self, message: Outgoing) -> list[tuple[Scope, Limit]]:
        if message.priority not in SPACING_PRIORITIES:
            return []
        return [
            (part, replace(limit, burst=min(self.limits.saved_up, limit.count)))
            for part, limit in self._limits_of((message.bot_id,), paid=message.is_paid)
            if part[:1] != ("paid",)
        ]

    def _limits_of(self, scope: Scope, *, paid: bool) -> list[tuple[Scope, Limit]]:
        of_chat = self.limits.of_chat(scope[1]) if len(scope) > 1 else None
        of_bot = (("paid", scope[0]), self.limits.paid) if paid else (scope[:1], self.limits.bot)
        limits = [(scope[:0], self.limits.ceiling), of_bot, (scope, of_chat)]
        return [(part, limit) for part, limit in limits if limit is not None and limit.count]

    def _is_head(self, book: Book, now_ms: int) -> bool:
        lane = (self._scope(book.message), book.message.priority)
        return not any(
            (self._scope(other.message), other.message.priority) == lane
            for other in self.books.values()
            if not other.lease and self._is_due(other, now_ms) and other.place < book.place
        )

    def _is_due(self, book: Book, now_ms: int) -> bool:
        return book.message.attempt > 0 or book.message.ready_at_ms <= now_ms

    def _is_busy(self, scope: Scope) -> bool:
        return any(book.lease and self._scope(book.message) == scope for book in self.books.values())

    def _is_full(self, message: Outgoing) -> bool:
        scope = self._scope(message)
        waiting = [self._scope(book.message) for book in self.books.values() if not book.lease]
        caps = ((scope, 0 if scope[1] is None else self.limits.chat_cap), (scope[:1], self.limits.bot_cap))
        return any(0 < cap <= sum(other[: len(part)] == part for other in waiting) for part, cap in caps)

    def _late(self, now_ms: int) -> list[Outgoing]:
        waiting = [book.message for book in self.books.values() if not book.lease]
        return [message for message in waiting if _expiry(message) <= now_ms]

    # Keeping the books

    def _holder(self, lease: Lease) -> Book | None:
        book = self.books.get(lease.message.id)
        return book if book and book.lease and book.lease.number == lease.number else None

    def _count(self, message: Outgoing, at_ms: int, *, is_spent: bool = True) -> None:
        if message.is_paid and is_spent:
            self.spent[message.bot_id].append((at_ms, message.cost))
        for part, limit in self._limits_of(self._scope(message), paid=message.is_paid):
            self.counted[part] = [place for place in self.counted[part] if place[0] > at_ms - 100_000]
            self.counted[part].append((at_ms, message.cost))
            self.levels[part].pour(limit, message.cost, at_ms)
            self.guarded[part].pour(limit, message.cost, at_ms + self.limits.guard_ms)

    def _wait(self, message: Outgoing, until_ms: int) -> None:
        lane = (*self._scope(message), message.priority)
        self.waits[lane] = max(self.waits[lane], until_ms)

    def _end(self, message_id: str) -> None:
        del self.books[message_id]
        self.ended += 1

    def _scope(self, message: Outgoing) -> Scope:
        return message.bot_id, self._name(message.bot_id, message.chat_id)

    def _name(self, bot_id: int, chat_id: ChatId | None) -> ChatId | None:
        while (bot_id, chat_id) in self.names:
            chat_id = self.names[bot_id, chat_id]
        return chat_id


def _expiry(message: Outgoing) -> int:
    return 1 << 62 if message.expires_at_ms is None else message.expires_at_ms


def run(verb: Coroutine[Any, Any, T]) -> T:
    """Run a verb of a broker that lives in memory: it never has to wait for anything."""
    try:
        verb.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError(f"{verb} waits")


Make = Callable[[Limits, Ticks], Broker]


def memory(limits: Limits, clock: Ticks) -> Broker:
    return MemoryBroker(limits, clock=clock, lease_ms=LEASE_MS, incarnation=1)


def naive(limits: Limits, clock: Ticks) -> Broker:
    return NaiveBroker(limits, clock=clock, lease_ms=LEASE_MS, incarnation=1)


class World:
    """A broker under test, the model beside it (or none), the audit of both, and what a worker has in hand."""

    def __init__(self, limits: Limits, make: Make = memory, model: Make | None = naive) -> None:
        self.clock = Clock()
        self.audit = Audit(limits)
        self.broker = make(limits, self.clock)
        self.model = model(limits, self.clock) if model else None
        self.leases: list[Lease] = []  # every one ever given and not settled, stale ones too
        self.seen: list[Outgoing] = []
        self.counted_at_ms: dict[str, int] = {}
        self.wakes_early = 0

    def admit(self, messages: Sequence[Outgoing], slots: int, *, capped: bool) -> None:
        answer = self._both(lambda broker: broker.admit(messages, worker_id="w", slots=slots, capped=capped))
        self.audit.admitted(messages, answer, self.clock(), slots, capped=capped)
        self.seen = [*self.seen, *messages][-40:]
        self.leases += answer.leased.leases

    def lease(self, slots: int) -> None:
        answer = self._both(lambda broker: broker.lease(worker_id="w", slots=slots))
        self.audit.leased(answer, self.clock(), slots)
        self.leases += answer.leases

    def settle(self, picks: Sequence[tuple[int, Then, int | None]]) -> None:
        settlements = [self._settlement(pick, then, age) for pick, then, age in picks if self.leases]
        answers = self._both(lambda broker: broker.settle(settlements))
        for settlement, answer in zip(settlements, answers, strict=True):
            self.audit.settled(settlement, answer, self.clock())

    def extend(self, picks: Sequence[int], by_ms: int) -> None:
        leases = [self.leases[pick % len(self.leases)] for pick in picks if self.leases]
        answers = self._both(lambda broker: broker.extend(leases, by_ms=by_ms))
        self.audit.extended(leases, answers, self.clock() + by_ms)

    def recover(self, slots: int) -> None:
        leases = self._both(lambda broker: broker.recover(worker_id="r", slots=slots))
        self.audit.recovered(leases, self.clock())
        self.leases += leases

    def hold(self, hold: Hold) -> None:
        self._both(lambda broker: broker.hold([hold]))
        self.audit.held(hold)

    def cancel(self, picks: Sequence[int]) -> None:
        ids = [self.seen[pick % len(self.seen)].id for pick in picks if self.seen]
        answers = self._both(lambda broker: broker.cancel(ids))
        for message_id, answer in zip(ids, answers, strict=True):
            self.audit.cancelled(message_id, answer=answer)

    def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> None:
        answer = self._both(lambda broker: broker.drop(bot_id, chat_id, replaces))
        self.audit.dropped(bot_id, chat_id, replaces, answer)

    def pause(self, bot_id: int, *, paused: bool) -> None:
        self._both(lambda broker: broker.pause(bot_id, paused=paused))
        self.audit.quiet_until = None
        (self.audit.paused.add if paused else self.audit.paused.discard)(bot_id)

    def weigh(self, bot_id: int, weight: int) -> None:
        self._both(lambda broker: broker.weigh(bot_id, weight))
        self.audit.quiet_until = None

    def migrate(self, bot_id: int, old: ChatId, new: ChatId) -> None:
        self._both(lambda broker: broker.migrate(bot_id, old, new))
        self.audit.migrated(bot_id, old, new)

    def restore(self, sends: Sequence[PastSend], wait_until_ms: dict[int, int], spent: Sequence[Spent]) -> None:
        self._both(lambda broker: broker.restore(sends, wait_until_ms=wait_until_ms, spent=spent))
        self.audit.restored(sends, spent)
        for bot_id, until_ms in wait_until_ms.items():
            self.audit.held(Hold(bot_id, None, until_ms))

    def look(self) -> None:
        self.audit.stood(self._both(lambda broker: broker.stats()))
        ids = [message.id for message in self.seen]
        known = self._both(lambda broker: broker.knows(ids))
        must("nothing lost", known == [message_id in self.audit.books for message_id in ids], ids)
        self.explained()

    def explained(self) -> None:
        """Ask about a few: who waits has an explanation, and nobody else."""
        for message in self.seen[-3:]:
            told = self._explained(message.id)
            book = self.audit.books.get(message.id)
            must("explain", (told is None) == (book is None or book.lease is not None), told)

    def _explained(self, message_id: str) -> Explanation | None:
        return self._both(lambda broker: broker.explain(message_id))

    def _settlement(self, pick: int, then: Then, age: int | None) -> Settlement:
        """Telegram counted it between its lease and now; ``age`` of 100 is all of that time ago."""
        lease = self.leases.pop(pick % len(self.leases))
        book = self.audit.books.get(lease.message.id)
        since_ms = self.clock() - book.leased_at_ms if book else 0
        is_half = lease.message.cost > 2 and isinstance(then, Done | HoldChat) and age is not None
        rest = Rest("sendMediaGroup", b"{}", lease.message.cost - 2) if is_half else None
        return Settlement(lease, then, None if age is None else since_ms * age // 100, rest)

    def _both(self, verb: Callable[[Broker], Coroutine[Any, Any, T]]) -> T:
        answer = run(verb(self.broker))
        if self.model is not None:
            self._compare(answer, run(verb(self.model)))
        return answer

    def _compare(self, ours: object, model: object) -> None:
        match ours, model:
            case Admission(), Admission():
                must("model", ours.verdicts == model.verdicts, f"{ours} but the model {model}")
                self._compare(ours.leased, model.leased)
            case Leased(), Leased():
                must(
                    "model",
                    replace(ours, wake_at_ms=None) == replace(model, wake_at_ms=None),
                    f"{ours} but the model {model}",
                )
                self._compare_wakes(ours.wake_at_ms, model.wake_at_ms)
            case _:
                must("model", ours == model, f"{ours} but the model {model}")

    def _compare_wakes(self, ours: int | None, model: int | None) -> None:
        """Ours may be too early, never too late."""
        now_ms = self.clock()
        late = model is not None and (ours is None or ours > model)
        must("model wake", not late, f"{ours} is later than {model}, it is {now_ms}")
        must(
            "model wake", ours is None or ours > now_ms or model == now_ms, f"{ours} instead of {model}, it is {now_ms}"
        )
        self.wakes_early += ours != model


EDITS = (("edit:1", "editMessageText"), ("edit:1", "editMessageText"), ("edit:1", "editMessageReplyMarkup"))
indexes = st.integers(0, 30)
ages = st.none() | st.integers(0, 100)
soon = st.integers(0, 60) | st.integers(0, 3_000)
groups = st.sampled_from(GROUPS)
thens = st.one_of(
    st.just(Done()),
    st.builds(Again, st.sampled_from((0, 1, 30, 400)), st.booleans()),
    st.builds(HoldChat, st.integers(1, 2_500)),
    st.builds(MoveChat, groups),
    st.just(PauseBot()),
)


@dataclass(frozen=True)
class Draft:
    """A message before it has an id and times."""

    bot_id: int
    chat_id: ChatId | None
    priority_index: int
    cost: int
    jitter: int
    ready_in_ms: int
    expires_in_ms: int | None
    attempt: int
    edit: tuple[str, str] | None = None  # what it changes, and by which method
    user_id: int | None = None
    is_paid: bool = False


drafts = st.builds(
    Draft,
    bot_id=st.sampled_from(BOTS),
    chat_id=st.sampled_from((*CHATS, OLD_GROUP)),
    priority_index=st.integers(0, 2),
    cost=st.sampled_from((1, 1, 1, 2, 3, 4)),
    jitter=st.integers(0, 30),
    ready_in_ms=st.just(0) | st.integers(-5, 400),
    expires_in_ms=st.none() | st.integers(0, 800),
    attempt=st.sampled_from((0, 0, 0, 2)),
    edit=st.sampled_from((None, None, None, *EDITS)),
    user_id=st.sampled_from((None, 501, 502)),
    is_paid=st.booleans(),
)


class BrokerMachine(RuleBasedStateMachine):
    """Every verb in any order, and time that passes."""

    brokers: ClassVar[tuple[Make, Make | None]] = (memory, naive)
    steps: ClassVar[int] = 0
    early: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = World(LIMITS[0], *self.brokers)
        self.count = 0

    @initialize(limits=st.sampled_from(LIMITS), sent_ago_ms=st.lists(st.integers(0, 300), max_size=4), wait_ms=soon)
    def begin(self, limits: Limits, sent_ago_ms: list[int], wait_ms: int) -> None:
        self.world = World(limits, *self.brokers)
        sends = [
            PastSend(1, (-100, 7)[ago_ms % 2], self.world.clock() - ago_ms, 1, is_paid=ago_ms % 3 == 0)
            for ago_ms in sent_ago_ms
        ]
        spent = [Spent(1, send.counted_at_ms, 1) for send in sends]
        self.world.restore(sends, {2: self.world.clock() + wait_ms} if sends else {}, spent)

    @rule(batch=st.lists(drafts, min_size=1, max_size=6), slots=st.sampled_from((0, 0, 1, 3, 60)), capped=st.booleans())
    def admit(self, batch: list[Draft], slots: int, capped: bool) -> None:  # noqa: FBT001 - hypothesis names it
        few = len(self.world.audit.books) < 25  # the model looks at all of them, again and again
        self.world.admit([self._message(draft) for draft in batch], slots, capped=capped or not few)

    @rule(pick=indexes, slots=st.integers(0, 2))
    def admit_again(self, pick: int, slots: int) -> None:
        if self.world.seen:
            self.world.admit([self.world.seen[pick % len(self.world.seen)]], slots, capped=True)

    @rule(slots=st.sampled_from((0, 1, 2, 60)))
    def lease(self, slots: int) -> None:
        self.world.lease(slots)

    @rule(
        bot_id=st.sampled_from(BOTS),
        chat_id=st.sampled_from((*CHATS, OLD_GROUP)),
        latency_ms=st.integers(0, 60),
        moves_to=st.none() | groups,
    )
    def send_a_few(self, bot_id: int, chat_id: ChatId | None, latency_ms: int, moves_to: ChatId | None) -> None:
        """Fill one chat's limit, and perhaps go on with it under another name."""
        for name in (chat_id, chat_id if moves_to is None or chat_id not in GROUPS else moves_to):
            if chat_id is not None and name is not None and name != chat_id:
                self.world.migrate(bot_id, chat_id, name)
            for _ in range(4):
                who = 501 if bot_id == BOTS[-1] else None
                is_paid = bot_id == BOTS[1]
                draft = Draft(
                    bot_id, name, 0, 1, 0, ready_in_ms=0, expires_in_ms=None, attempt=0, user_id=who, is_paid=is_paid
                )
                self.world.admit([self._message(draft)], 2, capped=True)
                self.world.clock.advance(latency_ms)
                self.world.settle([(-1, Done(), 0)])

    @rule(picks=st.lists(indexes, min_size=2, max_size=4), retry_after_ms=soon)
    def be_throttled(self, picks: list[int], retry_after_ms: int) -> None:
        """Telegram throttles several calls at once, before it counted any."""
        self.world.lease(3)
        self.world.settle([(pick, HoldChat(retry_after_ms), None) for pick in picks])

    @rule()
    def sleep_until_woken(self) -> None:
        """Lease all, wait as told, and lease again; the audit looks whether it could have been sooner."""
        self.world.lease(BATCH_MAX)
        (until_ms,) = self.world.audit.quiet_until or (None,)
        if until_ms is not None and until_ms - self.world.clock() > 1:
            self.world.clock.now_ms = until_ms - 1
            self.world.lease(BATCH_MAX)
            self.world.clock.now_ms = until_ms
        self.world.lease(BATCH_MAX)

    @precondition(lambda self: self.world.leases)
    @rule(picks=st.lists(st.tuples(indexes, thens, ages), min_size=1, max_size=4))
    def settle(self, picks: list[tuple[int, Then, int | None]]) -> None:
        self.world.settle(picks)

    @precondition(lambda self: self.world.leases)
    @rule(age=ages)
    def settle_all(self, age: int | None) -> None:
        self.world.settle([(0, Done(), age)] * min(len(self.world.leases), BATCH_MAX))

    @precondition(lambda self: self.world.leases)
    @rule(picks=st.lists(indexes, min_size=1, max_size=3), by_ms=st.integers(0, 900))
    def extend(self, picks: list[int], by_ms: int) -> None:
        self.world.extend(picks, by_ms)

    @precondition(lambda self: self.world.leases)
    @rule(late_ms=st.sampled_from((0, LEASE_MS)), slots=st.sampled_from((1, 60)))
    def recover(self, late_ms: int, slots: int) -> None:
        self.world.clock.advance(late_ms)
        self.world.recover(slots)

    @rule(bot_id=st.sampled_from(BOTS), chat_id=st.sampled_from(CHATS), for_ms=soon)
    def hold(self, bot_id: int, chat_id: ChatId | None, for_ms: int) -> None:
        self.world.hold(Hold(bot_id, chat_id, self.world.clock() + for_ms))

    @rule(picks=st.lists(indexes, min_size=1, max_size=4))
    def cancel(self, picks: list[int]) -> None:
        self.world.cancel(picks)

    @rule(bot_id=st.sampled_from(BOTS), chat_id=st.sampled_from((-100, 7)))
    def drop(self, bot_id: int, chat_id: ChatId) -> None:
        self.world.drop(bot_id, chat_id, EDITS[0][0])

    @rule(bot_id=st.sampled_from(BOTS), paused=st.sampled_from((False, False, True)))
    def pause(self, bot_id: int, paused: bool) -> None:  # noqa: FBT001 - hypothesis names it
        self.world.pause(bot_id, paused=paused)

    @rule(bot_id=st.sampled_from(BOTS), weight=st.integers(1, 5))
    def weigh(self, bot_id: int, weight: int) -> None:
        self.world.weigh(bot_id, weight)

    @rule(bot_id=st.sampled_from(BOTS), old=groups, new=groups)
    def migrate(self, bot_id: int, old: ChatId, new: ChatId) -> None:
        self.world.migrate(bot_id, old, new)

    @rule(ms=st.integers(1, 60))
    def a_moment_passes(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @rule(ms=st.sampled_from((100, 400, 1_000, 5_000, 70_000)))
    def a_while_passes(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @invariant()
    def everything_is_accounted_for(self) -> None:
        type(self).steps += 1
        self.world.look()

    def teardown(self) -> None:
        type(self).early += self.world.wakes_early

    def _message(self, draft: Draft) -> Outgoing:
        now_ms = self.world.clock()
        self.count += 1
        return outgoing(
            f"{self.count * 10 + draft.jitter:06}{self.count:06}",
            bot_id=draft.bot_id,
            chat_id=draft.chat_id,
            priority=PRIORITIES[draft.priority_index],
            cost=draft.cost,
            ready_at_ms=now_ms + draft.ready_in_ms if draft.ready_in_ms else 0,
            expires_at_ms=None if draft.expires_in_ms is None else now_ms + draft.expires_in_ms,
            attempt=draft.attempt,
            replaces=draft.edit[0] if draft.edit else None,
            method=draft.edit[1] if draft.edit else "sendMessage",
            user_id=draft.user_id,
            is_paid=draft.is_paid,
        )


def budget(examples: int, *, shrink: bool = True) -> settings:
    """Return settings for ``examples`` runs of up to 50 steps."""
    return settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        derandomize=True,
    )


TestMemoryBrokerAgainstTheModel = BrokerMachine.TestCase
TestMemoryBrokerAgainstTheModel.settings = budget(100)
