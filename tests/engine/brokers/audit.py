"""Holds a broker to the promises of the design, from the log of what it was asked and answered alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from msgspec import structs

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
    Settlement,
    Spent,
)
from tempogram.engine.ports import (
    Admission,
    Duplicate,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
)
from tempogram.engine.ports.broker import BATCH_MAX, EXPIRED_MAX
from tests.engine.brokers.naive_broker import amended_by
from tests.fakes import outgoing


class Broken(AssertionError):
    """A promise was not kept."""

    def __init__(self, promise: str, detail: object) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise


def must(promise: str, held: bool, detail: object = "") -> None:  # noqa: FBT001 - reads as a sentence: must("order", ...)
    if not held:
        raise Broken(promise, detail)


@dataclass(slots=True)
class OpenMessage:
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

    def give_back(self, limit: Limit, cost: int) -> None:
        self.empty_at -= cost * limit.window_ms


Place = tuple[int, ...]
Scope = tuple[int | ChatId | None, ...]
"""() is the ceiling, (bot,) a bot, (bot, chat) a chat, ("paid", bot) what a bot pays for."""


@dataclass(slots=True)
class Audit:
    """Holds a broker to its promises, from what it was asked and what it answered."""

    limits: Limits
    open_messages: dict[str, OpenMessage] = field(default_factory=dict)
    accepted: int = 0
    ended: int = 0
    number: int = 0
    spent: defaultdict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    counted: defaultdict[Scope, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    levels: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    guarded: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    paced: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    """The buckets besides windows, from which a place is spent at the lease."""
    spaced: defaultdict[Scope, Level] = field(default_factory=lambda: defaultdict(Level))
    holds: defaultdict[Scope, int] = field(default_factory=lambda: defaultdict(int))
    waits: defaultdict[Scope, int] = field(default_factory=lambda: defaultdict(int))
    said: defaultdict[tuple[int, int | None], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """When each user made a bot say something, and what that cost."""
    paused: set[int] = field(default_factory=set)
    lowered: set[int] = field(default_factory=set)
    """Until when a bot or one of its chats may use less than its limit, after a 429."""
    trials: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """While a bot is failing: when it began to, twice, and when each trial began."""
    trial_began_ms: dict[str, int] = field(default_factory=dict)
    """When the last trial of each message began, by its id."""
    names: dict[Scope, ChatId] = field(default_factory=dict)
    senders: set[int] = field(default_factory=set)
    """Bots that ever had a lease."""
    quiet_until: tuple[int | None] | None = None  # what the last lease said, while nothing else happened

    # What is said to the broker

    def admitted(
        self, messages: Sequence[Outgoing], answer: Admission, now_ms: int, slots: int, *, capped: bool
    ) -> None:
        self.quiet_until = None
        for message, verdict in zip(messages, answer.verdicts, strict=True):
            match verdict:
                case Duplicate():
                    must("once in", message.id in self.open_messages, message)
                case Refused():
                    must("caps", capped and self._is_full(message), message)
                case Replaced(by):
                    must("edits", self._replaceable(message) == by > message.id, message)
                    self.accepted += 1
                    self.ended += 1
                case Queued(instead_of):
                    must("once in", message.id not in self.open_messages, message)
                    must("caps", bool(instead_of) or not (capped and self._is_full(message)), message)
                    must("edits", self._replaceable(message) == (instead_of.id if instead_of else None), message)
                    self.accepted += 1
                    self._keep(message, self.open_messages[instead_of.id] if instead_of else None)
        self.leased(answer.leased, now_ms, slots)

    def leased(self, answer: Leased, now_ms: int, slots: int, *, are_connections_shared: bool = False) -> None:
        # What saves up lets others pass where its bot may have no further connection of the worker that asks.
        if self.quiet_until is not None and not are_connections_shared and (answer.leases or answer.expired):
            (until_ms,) = self.quiet_until
            must("wake", until_ms is not None and until_ms <= now_ms, f"{answer} came before {until_ms}")
        must("slots", len(answer.leases) <= min(slots, BATCH_MAX), answer)
        for message in answer.expired:
            must("expiry", not self.open_messages[message.id].lease and _expiry(message) <= now_ms, message)
            self._end(message.id)
        for lease in answer.leases:
            self._given(lease, now_ms)
        must("expiry", slots > 0 or not answer.expired, answer)
        late = self._late(now_ms)
        must("expiry", not slots or len(answer.expired) >= EXPIRED_MAX or not late, late)
        must("wake", not slots or not late or answer.wake_at_ms == now_ms, answer)
        passed_over = max(0, len(answer.expired) - EXPIRED_MAX)  # each has had the turn of a lease
        if len(answer.leases) + passed_over < min(slots, BATCH_MAX) and not late:
            if not are_connections_shared:
                self._nothing_is_kept_back(now_ms)
            must("wake", answer.wake_at_ms is None or answer.wake_at_ms > now_ms, answer)
        self.quiet_until = None if answer.is_kept_back else (answer.wake_at_ms,)

    def recovered(self, leases: Sequence[Lease], now_ms: int) -> None:
        self.quiet_until = None
        for lease in leases:
            found = self.open_messages[lease.message.id]
            must("recover", found.lease is not None and found.lease.expires_at_ms <= now_ms, lease)
            must("fencing", lease.number > self.number, lease)
            self.number, found.lease = lease.number, lease

    def extended(self, leases: Sequence[Lease], answers: Sequence[bool], until_ms: int) -> None:
        self.quiet_until = None
        for lease, answer in zip(leases, answers, strict=True):
            found = self._holder(lease)
            must("fencing", answer == (found is not None), lease)
            if found is not None and found.lease is not None:
                found.lease = structs.replace(found.lease, expires_at_ms=until_ms)

    def settled(self, settlement: Settlement, answer: Settled, now_ms: int) -> None:
        self.quiet_until = None
        found = self._holder(settlement.lease)
        must("fencing", answer.held == (found is not None), settlement)
        if found is None:
            return
        found.lease = None
        message, scope = found.message, self._scope(found.message)
        if settlement.counted_age_ms is not None and message.cost:
            paid = settlement.lease.message.is_paid
            counted = structs.replace(message, cost=settlement.counted_cost, is_paid=paid)
            self._count(counted, now_ms - settlement.counted_age_ms + 1)
            user = message.bot_id, message.user_id
            self.said[user].append((now_ms - settlement.counted_age_ms + 1, counted.cost))
        if settlement.counted_cost != message.cost:
            gone = structs.replace(
                message, cost=message.cost - settlement.counted_cost, is_paid=settlement.lease.message.is_paid
            )
            self._give_back(gone)
        if settlement.rest is not None:
            message = found.message = settlement.rest.of(message)
        for hold in answer.holds:
            self.held(hold)
        if answer.failing is not None:
            must("failing", answer.failing.begins != bool(settlement.alive), answer)
            self.trials[message.bot_id] = [now_ms] * 2 if answer.failing.begins else []
        began_ms = self.trial_began_ms.pop(message.id, None)
        if settlement.alive is None and began_ms in (times_ms := self.trials[message.bot_id])[2:]:
            times_ms.remove(began_ms)  # no call was made, so it was no trial
        match settlement.then:
            case Done():
                self._end(message.id)
            case Again(delay_ms, spent):
                found.attempt += spent
                found.tried = found.tried or spent
                lanes = PRIORITIES if settlement.alive is False and message.cost else (message.priority,)
                for priority in lanes:
                    self._wait(structs.replace(message, priority=priority), now_ms + delay_ms)
                if not message.cost and delay_ms:
                    found.message = structs.replace(message, ready_at_ms=now_ms + delay_ms)
            case HoldChat(retry_after_ms):
                found.tried = True
                if message.cost:
                    self.lowered.add(message.bot_id)  # until it was used for long enough
                must("hold", self.holds[scope[: 1 + (scope[1] is not None)]] >= now_ms + retry_after_ms, answer)
            case MoveChat(to_chat_id):
                self.migrated(message.bot_id, message.chat_id, to_chat_id)
            case PauseBot():
                self.paused.add(message.bot_id)

    def held(self, hold: Hold) -> None:
        self.quiet_until = None
        scope = (hold.bot_id,) if hold.chat_id is None else (hold.bot_id, self._name(hold.bot_id, hold.chat_id))
        self.holds[scope] = max(self.holds[scope], hold.until_ms)

    def _keep(self, message: Outgoing, older: OpenMessage | None) -> None:
        place = message.id
        if older is not None:
            must("edits", older.message.id < message.id, message)
            self._end(older.message.id)
            if PRIORITIES.index(older.message.priority) <= PRIORITIES.index(message.priority):
                message, place = structs.replace(message, priority=older.message.priority), older.place
        self.open_messages[message.id] = OpenMessage(message, message.attempt, tried=message.attempt > 0, place=place)
        if message.attempt:
            self._wait(message, message.ready_at_ms)

    def _replaceable(self, message: Outgoing) -> str | None:
        """Return the one to which a message and its like come down: the newest that waits, if of its method."""
        waiting = [
            found.message for found in self.open_messages.values() if not found.lease and message.replaces is not None
        ]
        edits = [each for each in waiting if (self._scope(each), each.replaces) == self._edit_of(message)]
        newest = max(edits, key=lambda each: each.id, default=None)
        return newest.id if newest is not None and newest.method == message.method else None

    def _edit_of(self, message: Outgoing) -> tuple[Scope, str | None]:
        return self._scope(message), message.replaces

    def dropped(self, bot_id: int, chat_id: ChatId, replaces: str, answer: Sequence[Outgoing]) -> None:
        self.quiet_until = None
        for message in answer:
            found = self.open_messages[message.id]
            must("edits", not found.lease and self._edit_of(found.message) == self._edit_of(message), message)
            self._end(message.id)
        left = [found.message for found in self.open_messages.values() if not found.lease]
        gone = ((bot_id, self._name(bot_id, chat_id)), replaces)
        must("edits", not any(self._edit_of(each) == gone for each in left), left)

    def cancelled(self, message_id: str, *, answer: bool) -> None:
        self.quiet_until = None
        found = self.open_messages.get(message_id)
        must("cancel", answer == (found is not None and not found.lease), message_id)
        if answer:
            self._end(message_id)

    def amended(self, message: Outgoing, *, answer: bool) -> None:
        self.quiet_until = None
        found = self.open_messages.get(message.id)
        may_change = found is not None and not found.lease and found.message.cost == message.cost
        must("amend", answer == may_change, message)
        if found is not None and answer:
            found.message = amended_by(found.message, message, has_tried=found.attempt > 0)

    def migrated(self, bot_id: int, from_chat_id: ChatId | None, to_chat_id: ChatId) -> None:
        self.quiet_until = None
        old, new = self._name(bot_id, from_chat_id), self._name(bot_id, to_chat_id)
        if old == new or old is None or new is None:
            return
        self.names[bot_id, old] = new
        limit = self.limits.of_chat(old)
        if limit is None or limit.has_window:  # a bucket does not know when each was counted
            self.counted[bot_id, new] += self.counted.pop((bot_id, old), [])
        paced = self.paced.pop((bot_id, old), Level())
        self.paced[bot_id, new].empty_at = max(self.paced[bot_id, new].empty_at, paced.empty_at)
        for ends in (self.holds, self.waits):
            for scope in [scope for scope in ends if scope[:2] == (bot_id, old)]:
                moved = (bot_id, new, *scope[2:])
                ends[moved] = max(ends[moved], ends.pop(scope))

    def restored(self, sends: Sequence[PastSend], spent: Sequence[Spent], now_ms: int) -> None:
        for each in spent:
            self.spent[each.bot_id].append((min(each.at_ms, now_ms) + 1, each.cost))
        for send in sends:
            sent = outgoing("", bot_id=send.bot_id, chat_id=send.chat_id, cost=send.cost, is_paid=send.is_paid)
            at_ms = min(send.counted_at_ms, now_ms)
            self._count(sent, at_ms + 1, is_spent=False)
            self._pour_paced(sent, at_ms)

    def stood(self, stats: QueueStats) -> None:
        retry = [found for found in self.open_messages.values() if found.tried and not found.lease]
        must("nothing lost", self.accepted == len(self.open_messages) + self.ended, stats)
        must("stats", sum(stats.waiting.values()) + stats.retry == len(self.open_messages), stats)
        must("stats", stats.retry == len(retry), stats)
        must("stats", stats.leased == sum(found.lease is not None for found in self.open_messages.values()), stats)

    # What must hold of every lease

    def _given(self, lease: Lease, now_ms: int) -> None:
        must("one holder", lease.message.id in self.open_messages, lease)
        found = self.open_messages[lease.message.id]
        message, scope = found.message, self._scope(found.message)
        must("one holder", found.lease is None, lease)
        must("fencing", lease.number > self.number, lease)
        must("send_at", self._is_due(found, now_ms), lease)
        content = message.method, message.params
        must("amend", (lease.message.method, lease.message.params) == content, lease)
        must("expiry", _expiry(message) > now_ms, lease)
        must("attempts", lease.attempt == found.attempt + 1, lease)
        must("pause", message.bot_id not in self.paused, lease)
        must("hold", self.holds[scope] <= now_ms and self.holds[scope[:1]] <= now_ms, lease)
        if times_ms := self.trials[message.bot_id]:  # two of each kind of chat are a second apart
            must("trials", now_ms - times_ms[-2] >= 1_000, lease)
            times_ms.append(now_ms)
            self.trial_began_ms[message.id] = now_ms
        paid = lease.message.is_paid
        must("stars", not paid or (message.is_paid and self._stars_left(message, now_ms)), lease)
        must("stars", paid or not message.is_paid or not self._stars_surely_left(message, now_ms), lease)
        message = structs.replace(message, is_paid=paid)
        if message.cost:
            self._given_places(found, message, now_ms)
        self.number, found.lease, found.leased_at_ms = lease.number, lease, now_ms
        self.senders.add(message.bot_id)

    def _given_places(self, found: OpenMessage, message: Outgoing, now_ms: int) -> None:
        scope = self._scope(message)
        must("one in flight", not self._is_busy(scope), message)
        must("backoff", self.waits[(*scope, message.priority)] <= now_ms, message)
        must("order", self._is_head(found, now_ms), message)
        must("window", self._has_room(message, now_ms, guard_ms=0), message)
        must("pace", self._is_paced(message, now_ms), message)
        must("user window", self._user_has_room(message, now_ms, guard_ms=0), message)
        must("spacing", self._is_spaced(message, now_ms), message)
        must("kept for high", not self._is_left_for_high(message), message)
        must("half a ceiling", not self._has_too_many_places(message), message)
        for part, limit in self._spacings(message):
            self.spaced[part].pour(limit, message.cost, now_ms)
        self._pour_paced(message, now_ms)

    def _is_left_for_high(self, message: Outgoing) -> bool:
        """Tell whether a message takes the last place but one, or one of the last fifteenth, from an urgent one."""
        places = self.limits.ceiling.places
        left = places - self._in_flight(())
        is_last = 0 < left <= max(places > 1, places // 15)
        return is_last and len(self.senders) > 1 and message.priority in SPACING_PRIORITIES

    def _has_too_many_places(self, message: Outgoing) -> bool:
        """Tell whether its bot has half of the ceiling's places while others have calls, too."""
        places, all_of_them = self.limits.ceiling.places, self._in_flight(())
        flying = [found.message for found in self.open_messages.values() if found.lease]
        mine = sum(other.cost for other in flying if other.bot_id == message.bot_id)
        return 0 < places <= min(2 * mine, 2 * all_of_them) and mine < all_of_them and len(self.senders) > 1

    def _nothing_is_kept_back(self, now_ms: int) -> None:
        waiting = [found for found in self.open_messages.values() if not found.lease and self._is_due(found, now_ms)]
        for found in waiting:
            message, scope = found.message, self._scope(found.message)
            pays = self._stars_surely_left(message, now_ms)
            if message.is_paid and pays != self._stars_left(message, now_ms):
                continue  # what was spent is free again within these 5 ms: it may wait for either window
            message = structs.replace(message, is_paid=message.is_paid and pays)
            another_may_save_up = any(other.message.cost > 1 for other in waiting if other is not found)
            free = message.bot_id not in self.paused and not self._is_between_trials(message.bot_id, now_ms)
            free = free and max(self.holds[scope], self.holds[scope[:1]]) <= now_ms
            if message.cost:
                free = free and not another_may_save_up and self._may_take_places(found, message, now_ms)
            must("busy", not free, message)

    def _may_take_places(self, found: OpenMessage, message: Outgoing, now_ms: int) -> bool:
        scope = self._scope(message)
        return (
            self._is_head(found, now_ms)
            and not self._is_busy(scope)
            and message.bot_id not in self.lowered
            and self.waits[(*scope, message.priority)] <= now_ms
            and self._has_room(message, now_ms, guard_ms=self.limits.guard_ms)
            and self._is_paced(message, now_ms)
            and self._user_has_room(message, now_ms, guard_ms=self.limits.guard_ms)
            and self._is_spaced(message, now_ms)
            and not self._may_be_left_to_others()
        )

    def _may_be_left_to_others(self) -> bool:
        """Tell whether the ceiling's places may be shared out: half of them are kept by calls, and bots are several."""
        places = self.limits.ceiling.places
        return 0 < places <= 2 * self._in_flight(()) and len(self.senders) > 1

    def _is_between_trials(self, bot_id: int, now_ms: int) -> bool:
        """Tell whether a bot that is failing may be held: not for longer than the longest time between two trials."""
        times_ms = self.trials[bot_id]
        return bool(times_ms) and now_ms - times_ms[-1] < 30_000

    def _has_room(self, message: Outgoing, now_ms: int, *, guard_ms: int) -> bool:
        scope = self._scope(message)
        return all(
            (self.guarded if guard_ms else self.levels)[part].has_room(
                limit, self._in_flight(part) + min(message.cost, limit.places), now_ms
            )
            if not limit.has_window
            else self._in_flight(part) + self._counted(part, limit, now_ms - guard_ms) + min(message.cost, limit.count)
            <= limit.count
            for part, limit in self._limits_of(scope, paid=message.is_paid)
        )

    def _is_paced(self, message: Outgoing, now_ms: int) -> bool:
        return all(
            self.paced[part].has_room(limit, min(message.cost, limit.burst or 1), now_ms)
            for part, limit in self._paces(message)
        )

    def _pour_paced(self, message: Outgoing, at_ms: int) -> None:
        for part, limit in self._paces(message):
            self.paced[part].pour(limit, message.cost, at_ms)

    def _give_back(self, message: Outgoing) -> None:
        for part, limit in self._paces(message):
            self.paced[part].give_back(limit, message.cost)
        for part, limit in self._spacings(message):
            self.spaced[part].give_back(limit, message.cost)

    def _paces(self, message: Outgoing) -> list[tuple[Scope, Limit]]:
        limits = self._limits_of(self._scope(message), paid=message.is_paid)
        return [(part, limit) for part, limit in limits if limit.burst and limit.has_window]

    def _user_has_room(self, message: Outgoing, now_ms: int, *, guard_ms: int) -> bool:
        limit, user = self.limits.user, (message.bot_id, message.user_id)
        if message.user_id is None or not limit.count:
            return True
        flying = [found.message for found in self.open_messages.values() if found.lease]
        in_flight = sum(other.cost for other in flying if (other.bot_id, other.user_id) == user)
        counted = [
            min(cost, limit.count) for at_ms, cost in self.said[user] if at_ms + limit.window_ms > now_ms - guard_ms
        ]
        return in_flight + sum(counted) + min(message.cost, limit.count) <= limit.count

    def _stars_left(self, message: Outgoing, now_ms: int) -> bool:
        """Tell whether a bot may still pay for a message; what it spent counts for its window at least."""
        part, limit = ("paid", message.bot_id), self.limits.purse
        spent = [cost for at_ms, cost in self.spent[message.bot_id] if at_ms + limit.window_ms > now_ms]
        return sum(spent) + self._in_flight(part) + message.cost <= limit.count

    def _stars_surely_left(self, message: Outgoing, now_ms: int) -> bool:
        """Tell the same for a purse that counts in grains of 5 ms, and what is settled late with what came after it."""
        in_order = list(accumulate(self.spent[message.bot_id], lambda last, spent: (max(last[0], spent[0]), spent[1])))
        true, self.spent[message.bot_id] = self.spent[message.bot_id], in_order
        is_left = self._stars_left(message, now_ms - 5)
        self.spent[message.bot_id] = true
        return is_left

    def _in_flight(self, part: Scope) -> int:
        leases = [found.lease for found in self.open_messages.values() if found.lease]
        if part[:1] == ("paid",):
            return sum(
                each.message.cost for each in leases if ("paid", each.message.bot_id) == part and each.message.is_paid
            )
        free = [each for each in leases if len(part) != 1 or not each.message.is_paid]
        scopes = [(self._scope(self.open_messages[each.message.id].message), each.message.cost) for each in free]
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

    def _is_head(self, found: OpenMessage, now_ms: int) -> bool:
        lane = (self._scope(found.message), found.message.priority)
        return not any(
            (self._scope(other.message), other.message.priority) == lane
            for other in self.open_messages.values()
            if not other.lease and other.message.cost and self._is_due(other, now_ms) and other.place < found.place
        )

    def _is_due(self, found: OpenMessage, now_ms: int) -> bool:
        return (found.message.attempt > 0 and found.message.cost > 0) or found.message.ready_at_ms <= now_ms

    def _is_busy(self, scope: Scope) -> bool:
        flying = [found.message for found in self.open_messages.values() if found.lease and found.message.cost]
        return any(self._scope(message) == scope for message in flying)

    def _is_full(self, message: Outgoing) -> bool:
        scope = self._scope(message)
        waiting = [self._scope(found.message) for found in self.open_messages.values() if not found.lease]
        caps = ((scope, 0 if scope[1] is None else self.limits.chat_cap), (scope[:1], self.limits.bot_cap))
        return any(0 < cap <= sum(other[: len(part)] == part for other in waiting) for part, cap in caps)

    def _late(self, now_ms: int) -> list[Outgoing]:
        waiting = [found.message for found in self.open_messages.values() if not found.lease]
        return [message for message in waiting if _expiry(message) <= now_ms]

    # What the audit keeps

    def _holder(self, lease: Lease) -> OpenMessage | None:
        found = self.open_messages.get(lease.message.id)
        return found if found and found.lease and found.lease.number == lease.number else None

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
        if message.cost:  # what is uncounted waits by itself
            self.waits[lane] = max(self.waits[lane], until_ms)

    def _end(self, message_id: str) -> None:
        del self.open_messages[message_id]
        self.ended += 1

    def _scope(self, message: Outgoing) -> Scope:
        return message.bot_id, self._name(message.bot_id, message.chat_id)

    def _name(self, bot_id: int, chat_id: ChatId | None) -> ChatId | None:
        while (bot_id, chat_id) in self.names:
            chat_id = self.names[bot_id, chat_id]
        return chat_id


def _expiry(message: Outgoing) -> int:
    return 1 << 62 if message.expires_at_ms is None else message.expires_at_ms
