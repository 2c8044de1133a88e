"""Every promise is broken on purpose once, to see that the audit or the model notices.

The audit is left alone with the broken broker, without the model; only what no log of one
broker can show (which turn it was) is left to the comparison with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec import structs

from tempogram.engine.brokers.memory import broker, queue
from tempogram.engine.brokers.memory.admissions import Admissions
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.memory.holds import Holds
from tempogram.engine.brokers.memory.lanes import BotState, Chat, Entry, Group, Lane, Line, User
from tempogram.engine.brokers.memory.leases import Leases, Question
from tempogram.engine.brokers.memory.queue import Queue
from tempogram.engine.brokers.memory.settlements import Settlements
from tempogram.engine.limits import windows as windows_module
from tempogram.engine.limits.fair_queue import FairQueue
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.limits.weighted_window import WeightedWindow
from tempogram.engine.limits.windows import Bucket, Gate, Window
from tempogram.engine.model.messages import ChatId, Hold, HoldChat, Lease, Outgoing, Settlement
from tempogram.engine.ports import Broker, Clock, Leased, QueueStats, Refused, Verdict
from tests.engine.brokers.audit import Broken
from tests.engine.brokers.machine import LEASE_MS, BrokerMachine, Make, budget, naive

Patch = tuple[object, str, object]


class ForgetsWhatIsInFlight(Window):
    def take(self, now_ms: int, cost: int) -> None:
        super().take(now_ms, cost)
        super().settle(now_ms, cost)

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        pass


class KeepsWhatNeverLeft(Window):
    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        if counted_at_ms is not None:
            super().settle(counted_at_ms, cost, guard_ms=guard_ms)


class ForgetsOnMigration(Window):
    def absorb(self, other: Gate) -> None:
        if isinstance(other, Window):
            self._in_flight += other._in_flight


class CountsFromTheLease(Bucket):
    def take(self, now_ms: int, cost: int) -> None:
        self.spend(now_ms, cost)

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        if counted_at_ms is None:
            self._drained_at -= cost * self._limit.window_ms


def windows(kind: type[Window]) -> Patch:
    return (
        queue,
        "gate",
        lambda limit: kind(limit) if type(windows_module.gate(limit)) is Window else windows_module.gate(limit),
    )


def a_millisecond_too_early(limit: Limit | None) -> Gate | None:
    return windows_module.gate(limit and replace(limit, window_ms=max(1, limit.window_ms - 1)))


def buckets_by_the_lease(limit: Limit | None) -> Gate | None:
    return CountsFromTheLease(limit) if limit and limit.count and not limit.has_window else windows_module.gate(limit)


def no_bucket_besides_a_window(limit: Limit | None) -> Gate | None:
    return windows_module.gate(replace(limit, burst=None) if limit and limit.has_window else limit)


def by(choice: Callable[[Entry], tuple[bool, str]], *, last: bool = False) -> Patch:
    """Return a lane that chooses its head in another order than by id."""

    def head(self: Lane, entries: dict[str, Entry]) -> Entry | None:
        mine = [each for each in entries.values() if each.lane is self and each.is_due and not each.number]
        return (max if last else min)(mine, key=choice, default=None)

    return Lane, "head", head


class TwoInFlight(Queue):
    def _offer(self, lane: Lane, now_ms: int) -> None:
        in_flight, lane.chat.in_flight = lane.chat.in_flight, 0
        super()._offer(lane, now_ms)
        lane.chat.in_flight = in_flight


class HoldsNothing(Holds):
    def hold(self, bot: BotState, chat_id: ChatId | None, until_ms: int, now_ms: int) -> Hold:
        return Hold(bot.bot_id, chat_id, until_ms)


class SettlesForAnyWorker(Leases):
    def held(self, lease: Lease) -> Entry | None:
        return self.leased.get(lease.message.id)


class SpendsAnAttemptOnWaiting(Settlements):
    def _end(self, entry: Entry, settlement: Settlement, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        entry.attempt += isinstance(settlement.then, HoldChat)
        return super()._end(entry, settlement, now_ms, is_near=is_near)


class LosesWhatIsTriedAgain(Settlements):
    def _give_back(self, entry: Entry, now_ms: int) -> None:
        del self._queue.entries[entry.message.id]


class PausesNothing(MemoryBroker):
    async def pause(self, bot_id: int, *, paused: bool) -> None:
        pass


class ExpiresNothing(Queue):
    def expire_some(self, now_ms: int) -> list[Outgoing]:
        return []


class RefusesNothing(Admissions):
    def _refusal(self, bot: BotState, chat: Chat) -> Refused | None:
        return None


class RefusesTooSoon(Admissions):
    def _refusal(self, bot: BotState, chat: Chat) -> Refused | None:
        return Refused(bot.bot_id, chat.chat_id, 1) if chat.waiting else None


class TakesTheSameTwice(Admissions):
    def admit(self, message: Outgoing, now_ms: int, *, capped: bool) -> Verdict:
        known = self._queue.entries.get(message.id)
        if known is not None and not known.number:  # of one that was tried the stats may show it first
            self._queue.remove(known, now_ms)
        return super().admit(message, now_ms, capped=capped)


class BacksOffFromNothing(Queue):
    def _lane_ready_at_ms(self, lane: Lane, head: Entry, now_ms: int) -> int | None:
        lane.wait_until_ms = 0
        return super()._lane_ready_at_ms(lane, head, now_ms)


class SendsBeforeItsTime(Admissions):
    def admit(self, message: Outgoing, now_ms: int, *, capped: bool) -> Verdict:
        return super().admit(
            message if message.attempt else structs.replace(message, ready_at_ms=0), now_ms, capped=capped
        )


class WakesTooLate(Queue):
    def earliest(self, wake_at_ms: int | None) -> int | None:
        earliest = super().earliest(wake_at_ms)
        return None if earliest is None else earliest + 5


class KeepsOneBack(Leases):
    def _choose(self, question: Question) -> tuple[Entry | None, int | None]:
        entry, wake_at_ms = super()._choose(question)
        return (None, question.now_ms + 1) if entry is not None and entry.message.bot_id == 2 else (entry, wake_at_ms)


class RecoversTooEarly(Leases):
    def give(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        lease = super().give(entry, worker_id, now_ms)
        entry.lease_until_ms = now_ms
        return lease


class CancelsWhatIsLeased(MemoryBroker):
    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        cancelled = await super().cancel(message_ids)
        return [
            done or message_id in self._leases.leased for done, message_id in zip(cancelled, message_ids, strict=True)
        ]


class AmendsWhatIsLeased(MemoryBroker):
    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        amended = await super().amend(messages)
        return [done or each.id in self._leases.leased for done, each in zip(amended, messages, strict=True)]


class AmendsNoContent(Queue):
    def amend(self, message: Outgoing, now_ms: int) -> bool:
        kept = self.entries[message.id].message if message.id in self.entries else message
        return super().amend(structs.replace(message, params=kept.params), now_ms)


class AmendsNoTime(Queue):
    def amend(self, message: Outgoing, now_ms: int) -> bool:
        kept = self.entries[message.id].message if message.id in self.entries else message
        return super().amend(structs.replace(message, ready_at_ms=kept.ready_at_ms), now_ms)


class ForgetsTheTried(MemoryBroker):
    async def stats(self) -> QueueStats:
        return replace(await super().stats(), retry=0)


class LeasesMoreThanAsked(Leases):
    def lease(self, worker_id: str, slots: int, now_ms: int, connections: Connections | None = None) -> Leased:
        return super().lease(worker_id, slots + 1, now_ms, connections)


class SharesOutNothing(Leases):
    def _front(self, group: Group, question: Question) -> Line | None:
        return group.front()


class KeepsNothingForHigh(Leases):
    def _is_left_for_high(self, question: Question) -> bool:
        return False


class NoTurns(FairQueue):
    """Each keeps the pass with which it came, so that ties decide."""

    def serve(self, its_pass: int, *, cost: int, weight: int) -> int:
        return its_pass


class StrictPriorities(Queue):
    def __init__(self, limits: Limits, *, clock: Clock) -> None:
        super().__init__(limits, clock=clock)
        self.turns = NoTurns()


class TheLowestBotFirst(StrictPriorities):
    def __init__(self, limits: Limits, *, clock: Clock) -> None:
        super().__init__(limits, clock=clock)
        self.turns = FairQueue()
        for group in self.groups.values():
            group.turns = NoTurns()


class NothingSavesUp(Queue):
    def _saved_up_until_ms(self, front: Entry, now_ms: int) -> int | None:
        return now_ms


class BlamesNoBot(Holds):
    def throttle(self, entry: Entry, until_ms: int, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        return super().throttle(entry, until_ms, now_ms, is_near=True)


class LowersNothing(Queue):
    def lower_limit(
        self, scope: Chat | BotState, limit: Limit | None, now_ms: int, *, until_ms: int, refused: int
    ) -> None:
        pass


class KnowsNoUsers(Queue):
    def user(self, bot: BotState, message: Outgoing) -> User | None:
        return None


class OffersWhatIsUncountedAlways(Queue):
    def _offer_uncounted(self, bot: BotState, now_ms: int) -> int | None:
        for line in bot.uncounted_lines.values():
            line.offered = line.front()
            if line.offered is not None:
                line.group.offer(line)
        return None


class PaysLater(WeightedWindow):
    def settle(self, counted_at_ms: int | None, cost: int) -> None:
        super().settle(None, cost)


class PaysWithoutEnd(Leases):
    def give(self, entry: Entry, worker_id: str, now_ms: int) -> Lease:
        lease = super().give(entry, worker_id, now_ms)
        return structs.replace(lease, message=structs.replace(lease.message, is_paid=entry.message.is_paid))


class FillsNoPaidWindow(Queue):
    def gates_of(self, entry: Entry) -> tuple[Gate | None, ...]:
        gates = super().gates_of(entry)
        return (gates[0], None, *gates[2:]) if entry.pays else gates


class HoldsNoFailingBot(Queue):
    def reoffer(self, bot: BotState, now_ms: int) -> None:
        failing, bot.health.failing = bot.health.failing, None
        super().reoffer(bot, now_ms)
        bot.health.failing = failing


class TriesNoFailingBotAgain(Queue):
    def reoffer(self, bot: BotState, now_ms: int) -> None:
        is_paused, bot.is_paused = bot.is_paused, bot.is_paused or bot.health.failing is not None
        super().reoffer(bot, now_ms)
        bot.is_paused = is_paused


class DelaysOnlyTheLaneThatFailed(Settlements):
    def _end(self, entry: Entry, settlement: Settlement, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        return super()._end(entry, structs.replace(settlement, alive=None), now_ms, is_near=is_near)


PATCHES: list[tuple[str, Patch]] = [
    ("window or busy", windows(ForgetsWhatIsInFlight)),
    ("window", (queue, "gate", a_millisecond_too_early)),
    ("window", (queue, "gate", buckets_by_the_lease)),
    ("pace", (queue, "gate", no_bucket_besides_a_window)),
    ("window", windows(ForgetsOnMigration)),
    ("busy", windows(KeepsWhatNeverLeft)),
    ("spacing", (queue, "spacing", lambda *_: None)),
    ("edits", (Chat, "replaced_by", lambda *_: None)),
    ("stars", (queue, "WeightedWindow", PaysLater)),
    ("order", by(lambda entry: (False, entry.message.id), last=True)),
    ("order", by(lambda entry: (entry.tried, entry.message.id))),
]
CLASSES: list[tuple[str, type]] = [
    ("one in flight", TwoInFlight),
    ("user window", KnowsNoUsers),
    ("stars", PaysWithoutEnd),
    ("window", FillsNoPaidWindow),
    ("hold", HoldsNothing),
    ("fencing", SettlesForAnyWorker),
    ("attempts", SpendsAnAttemptOnWaiting),
    ("stats or nothing lost or busy", LosesWhatIsTriedAgain),
    ("pause", PausesNothing),
    ("pause or hold", OffersWhatIsUncountedAlways),
    ("expiry or busy", ExpiresNothing),
    ("caps", RefusesNothing),
    ("caps", RefusesTooSoon),
    ("once in or stats", TakesTheSameTwice),
    ("backoff", BacksOffFromNothing),
    ("backoff", DelaysOnlyTheLaneThatFailed),
    ("trials", HoldsNoFailingBot),
    ("busy", TriesNoFailingBotAgain),
    ("send_at", SendsBeforeItsTime),
    ("wake", WakesTooLate),
    ("busy", KeepsOneBack),
    ("recover", RecoversTooEarly),
    ("cancel", CancelsWhatIsLeased),
    ("amend", AmendsWhatIsLeased),
    ("amend", AmendsNoContent),
    ("send_at or busy or order", AmendsNoTime),
    ("stats", ForgetsTheTried),
    ("slots", LeasesMoreThanAsked),
    ("model", SharesOutNothing),
    ("model", KeepsNothingForHigh),
    ("model", StrictPriorities),
    ("model", TheLowestBotFirst),
    ("model", NothingSavesUp),
    ("model", BlamesNoBot),
    ("model", LowersNothing),
]

SEARCHES = 6
EXAMPLES = 1_000
"""How many runs a search looks at: most faults show within 20, the latest within some 500."""


@pytest.mark.parametrize(("promise", "kind"), CLASSES, ids=lambda value: getattr(value, "__name__", value))
def test_a_broker_that_breaks_a_promise_is_found_out(promise: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    part = next(base for base in kind.__mro__ if hasattr(broker, base.__name__))
    monkeypatch.setattr(broker, part.__name__, kind)

    assert is_found(promise)


@pytest.mark.parametrize(("promise", "patch"), PATCHES)
def test_a_part_that_breaks_a_promise_is_found_out(promise: str, patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*patch)

    assert is_found(promise)


@pytest.mark.parametrize("kind", [kind for _, kind in CLASSES])
def test_a_broken_broker_replaces_methods_that_exist(kind: type) -> None:
    assert [name for name in vars(kind) if not any(hasattr(base, name) for base in kind.__mro__[1:])] == []


def test_a_broker_that_keeps_its_promises_is_accused_of_nothing() -> None:
    assert broken_promise(model=True, examples=EXAMPLES // 10) == ""


def is_found(promise: str) -> bool:
    """Search as often as needed, each time by other chances: what is searched for is rare, not hidden."""
    searches = (broken_promise(model=promise == "model", by_seed=number) for number in range(SEARCHES))
    return any(each in broken for broken in searches for each in promise.split(" or "))


def broken_promise(*, model: bool, examples: int = EXAMPLES, by_seed: int = 0) -> str:
    """Run the broker, with whatever part of it is patched, until it breaks a promise; return which one."""

    def make(limits: Limits, clock: Clock) -> Broker:
        return broker.MemoryBroker(limits, clock=clock, lease_ms=LEASE_MS, incarnation=1)

    @seed(by_seed)
    class Machine(BrokerMachine):
        brokers: ClassVar[tuple[Make, Make | None]] = (make, naive if model else None)

    try:
        run_state_machine_as_test(Machine, settings=settings(budget(examples, shrink=False), derandomize=False))
    except Broken as broken:
        return broken.promise
    return ""
