"""Drives two brokers side by side through every verb, in any order, under limits so small that all matter at once.

``World`` compares the broker under test with ``NaiveBroker``, answer by answer; ``Audit`` watches it alone.

    python -m tests.engine.brokers.model_command --steps 100000
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import Connections, Pool
from tempogram.engine.model.messages import (
    KEPT_METHOD,
    KEPT_MS,
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
    Explanation,
    Leased,
)
from tempogram.engine.ports import Clock as Ticks
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.audit import Audit, must
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
        ceiling=Limit(5, 100), bot=Limit(3, 100), chat=Limit(1, 50, burst=3, leaks=True), group=Limit(4, 400),
        user=Limit(3, 200), paid=Limit(2, 100), purse=Limit(20, 2_000), saved_up=2, guard_ms=7, chat_cap=5, bot_cap=12,
    ),
    Limits(
        ceiling=Limit(0, 1), bot=Limit(6, 300), chat=Limit(2, 70, burst=2, leaks=True), group=Limit(2, 100, burst=1),
        paid=Limit(5, 50), purse=Limit(3, 700),
        saved_up=5, guard_ms=25, chat_cap=0, bot_cap=8,
    ),
    Limits(
        ceiling=Limit(4, 300), bot=Limit(8, 100), chat=Limit(0, 1), group=Limit(3, 50),
        user=Limit(1, 300), saved_up=1, guard_ms=3, chat_cap=9, bot_cap=0,
    ),
    Limits(
        ceiling=Limit(6, 100, burst=3), bot=Limit(5, 100, burst=2), chat=Limit(3, 100), group=Limit(2, 60),
        paid=Limit(0, 1), purse=Limit(9, 5_000), saved_up=3, guard_ms=5, chat_cap=6, bot_cap=20,
    ),
)  # fmt: skip


def run(verb: Coroutine[Any, Any, T]) -> T:
    """Run a verb of a broker that lives in memory: it never has to wait for anything."""
    try:
        verb.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError(f"{verb} waits")


Make = Callable[[Limits, Ticks], Broker]
Pick = tuple[int, Then, int | None, bool | None]
"""Which lease, what follows, how long ago it was counted, and what it tells of Telegram."""
Amendment = tuple[int, int, int]

CONTENT_IS_KEPT = 9
"""The number of an amendment of the time alone."""

TIME_IS_KEPT = -5
"""The ``ready_in_ms`` of an amendment of the content alone."""
"""Which message that was seen, what it says from now on, and in how many ms it may go."""


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

    def lease_for_few_connections(self, calls: Sequence[tuple[int, int]], asked_for_others: int) -> None:
        """Lease for a worker with ``calls`` under way, each of a bot and of an age, and six connections in all."""
        pool = Pool(6)
        for number, (bot_id, age_ms) in enumerate(calls):
            pool.begin(bot_id, number, 1, self.clock() - age_ms)
        connections = Connections(pool, max(0, 6 - len(calls) - asked_for_others), self.clock())
        slots = connections.free
        answer = self._both(lambda broker: broker.lease(worker_id="w", slots=slots, connections=connections))
        self.audit.leased(answer, self.clock(), slots, are_connections_shared=True)
        self.leases += answer.leases

    def settle(self, picks: Sequence[Pick]) -> None:
        settlements = [self._settlement(*pick) for pick in picks if self.leases]
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

    def amend(self, amendments: Sequence[Amendment]) -> None:
        messages = [self._amended(*each) for each in amendments if self.seen]
        answers = self._both(lambda broker: broker.amend(messages))
        for message, answer in zip(messages, answers, strict=True):
            self.audit.amended(message, answer=answer)

    def _amended(self, pick: int, number: int, ready_in_ms: int) -> Outgoing:
        message = self.seen[pick % len(self.seen)]
        method = EDITS[number % len(EDITS)][1] if message.replaces else message.method
        ready_at_ms = self.clock() + ready_in_ms if ready_in_ms else 0
        if number == CONTENT_IS_KEPT:
            method = KEPT_METHOD
        if ready_in_ms == TIME_IS_KEPT:
            ready_at_ms = KEPT_MS
        return structs.replace(message, method=method, params=b"%d" % number, ready_at_ms=ready_at_ms)

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
        self.audit.restored(sends, spent, self.clock())
        for bot_id, until_ms in wait_until_ms.items():
            self.audit.held(Hold(bot_id, None, until_ms))

    def look(self) -> None:
        self.audit.stood(self._both(lambda broker: broker.stats()))
        ids = [message.id for message in self.seen]
        known = self._both(lambda broker: broker.knows(ids))
        must("nothing lost", known == [message_id in self.audit.open_messages for message_id in ids], ids)
        self.explained()

    def explained(self) -> None:
        """Ask about a few: what waits has an explanation, and nothing else."""
        for message in self.seen[-3:]:
            answer = self._explained(message.id)
            found = self.audit.open_messages.get(message.id)
            must("explain", (answer is None) == (found is None or found.lease is not None), answer)

    def _explained(self, message_id: str) -> Explanation | None:
        return self._both(lambda broker: broker.explain(message_id))

    def _settlement(self, pick: int, then: Then, age: int | None, alive: bool | None) -> Settlement:  # noqa: FBT001
        """Telegram counted it between its lease and now; ``age`` of 100 is all of that time ago."""
        lease = self.leases.pop(pick % len(self.leases))
        found = self.audit.open_messages.get(lease.message.id)
        since_ms = self.clock() - found.leased_at_ms if found else 0
        is_half = lease.message.cost > 2 and isinstance(then, Done | HoldChat) and age is not None
        rest = Rest("sendMediaGroup", b"{}", lease.message.cost - 2) if is_half else None
        is_refused = rest is None and alive is True and age is not None and pick % 2 == 1
        return Settlement(lease, then, None if age is None else since_ms * age // 100, rest, alive, is_refused)

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
                mine, its = (replace(leased, wake_at_ms=None, is_kept_back=False) for leased in (ours, model))
                must("model", mine == its, f"{ours} but the model {model}")
                asks_again = ours.is_kept_back or ours.wake_at_ms == self.clock()
                must("model wake", asks_again or not model.is_kept_back, f"{ours} but the model {model}")
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
    cost=st.sampled_from((0, 1, 1, 1, 2, 3, 4)),  # 0 is uncounted
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

    @initialize(limits=st.sampled_from(LIMITS), sent_ago_ms=st.lists(st.integers(-100, 300), max_size=4), wait_ms=soon)
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
        few = len(self.world.audit.open_messages) < 25  # the model looks at all of them, again and again
        self.world.admit([self._message(draft) for draft in batch], slots, capped=capped or not few)

    @rule(pick=indexes, slots=st.integers(0, 2))
    def admit_again(self, pick: int, slots: int) -> None:
        if self.world.seen:
            self.world.admit([self.world.seen[pick % len(self.world.seen)]], slots, capped=True)

    @rule(slots=st.sampled_from((0, 1, 2, 60)))
    def lease(self, slots: int) -> None:
        self.world.lease(slots)

    @rule(bot_id=st.sampled_from(BOTS), other_bot_id=st.sampled_from(BOTS))
    def a_bot_floods(self, bot_id: int, other_bot_id: int) -> None:
        """Let one bot have as many calls under way as it may beside one of another, and neither be answered."""
        for each, chats in ((other_bot_id, CHATS[:1]), (bot_id, CHATS)):
            drafts_of_it = [Draft(each, chat_id, 0, 1, 0, 0, None, 0) for chat_id in chats]
            self.world.admit([self._message(draft) for draft in drafts_of_it], BATCH_MAX, capped=True)

    @rule(
        calls=st.lists(st.tuples(st.sampled_from(BOTS), st.sampled_from((0, 100, 600))), max_size=6),
        asked_for_others=st.sampled_from((0, 0, 1)),
    )
    def lease_for_few_connections(self, calls: list[tuple[int, int]], asked_for_others: int) -> None:
        self.world.lease_for_few_connections(sorted(calls, key=lambda call: -call[1]), asked_for_others)

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
                user_id = 501 if bot_id == BOTS[-1] else None
                is_paid = bot_id == BOTS[1]
                draft = Draft(
                    bot_id,
                    name,
                    0,
                    1,
                    0,
                    ready_in_ms=0,
                    expires_in_ms=None,
                    attempt=0,
                    user_id=user_id,
                    is_paid=is_paid,
                )
                self.world.admit([self._message(draft)], 2, capped=True)
                self.world.clock.advance(latency_ms)
                self.world.settle([(-1, Done(), 0, True)])

    @rule(picks=st.lists(indexes, min_size=2, max_size=4), retry_after_ms=soon)
    def be_throttled(self, picks: list[int], retry_after_ms: int) -> None:
        """Telegram throttles several calls at once, before it counted any."""
        self.world.lease(3)
        self.world.settle([(pick, HoldChat(retry_after_ms), None, True) for pick in picks])

    @rule(
        bot_id=st.sampled_from(BOTS),
        delay_ms=st.sampled_from((0, 30, 400)),
        gap_ms=st.sampled_from((300, 700, 1_000)),
        times=st.integers(3, 12),
    )
    def fail_for_a_while(self, bot_id: int, delay_ms: int, gap_ms: int, times: int) -> None:
        """Let every call of a bot fail, so that it is tried now and then, if its chats are two or more."""
        drafts_of_bot = [Draft(bot_id, chat_id, 1, 1, 0, 0, None, 0) for chat_id in CHATS[:3]]
        self.world.admit([self._message(draft) for draft in drafts_of_bot], 0, capped=True)
        for _ in range(times):
            self.world.lease(3)
            mine = [at for at, lease in enumerate(self.world.leases) if lease.message.bot_id == bot_id]
            self.world.settle([(at, Again(delay_ms), None, False) for at in reversed(mine[-4:])])
            self.world.clock.advance(gap_ms)

    @rule()
    def sleep_until_woken(self) -> None:
        """Lease all, wait until the time it says, and lease again; the audit checks that nothing could go sooner."""
        self.world.lease(BATCH_MAX)
        (until_ms,) = self.world.audit.quiet_until or (None,)
        if until_ms is not None and until_ms - self.world.clock() > 1:
            self.world.clock.now_ms = until_ms - 1
            self.world.lease(BATCH_MAX)
            self.world.clock.now_ms = until_ms
        self.world.lease(BATCH_MAX)

    @precondition(lambda self: self.world.leases)
    @rule(picks=st.lists(st.tuples(indexes, thens, ages, st.sampled_from((None, False, True))), min_size=1, max_size=4))
    def settle(self, picks: list[Pick]) -> None:
        self.world.settle(picks)

    @precondition(lambda self: self.world.leases)
    @rule(age=ages)
    def settle_all(self, age: int | None) -> None:
        self.world.settle([(0, Done(), age, None)] * min(len(self.world.leases), BATCH_MAX))

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

    @rule(amendments=st.lists(st.tuples(indexes, st.integers(0, 9), st.just(0) | st.integers(-5, 400)), max_size=4))
    def amend(self, amendments: list[Amendment]) -> None:
        self.world.amend(amendments)

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
            replaces=draft.edit[0] if draft.edit and draft.cost else None,
            method=draft.edit[1] if draft.edit and draft.cost else "sendMessage",
            user_id=draft.user_id,
            is_paid=draft.is_paid and draft.cost > 0,
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
