"""Drives a queue of calls through all that is said to it, in any order, and has a strict account judge what begins.

python -m tests.engine.services.model_command --steps 100000
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tempogram.engine.services.calls import Call, Charge, Limiter
from tempogram.engine.services.limit import CallLimit
from tests.engine.services.strict_account import StrictLimiter, must
from tests.fakes import Clock

NAMES = ("a", "b", "c", "d")
LIMITS = (
    CallLimit(count=3, window_ms=1_000),
    CallLimit(count=1, window_ms=50),
    CallLimit(count=5, window_ms=3_000, concurrency=2),
    CallLimit(count=4, window_ms=1_000, burst=2),
    CallLimit(count=8, window_ms=2_000),
    CallLimit(concurrency=1),
    CallLimit(concurrency=3),
    CallLimit(apart_ms=200),
    CallLimit(apart_ms=10, concurrency=2),
    CallLimit(),
)
BEAT_MS = 1_000
LONG_MS = 20_000
"""More than any window, lease or pause lasts."""


class Process(Protocol):
    """What one process says to the queue; the ids of its calls that begin come back, in any order."""

    def ask(self, call: Call) -> list[str]: ...
    def end(self, call: Call, used: Sequence[int] | None) -> list[str]: ...
    def hold(self, limiter: Limiter, until_ms: int) -> list[str]: ...
    def believe(self, limiter: Limiter, left: int, until_ms: int, of: int | None) -> list[str]: ...
    def fails(self, limiter: Limiter, until_ms: int, probes: int) -> list[str]: ...
    def well(self, limiter: Limiter) -> list[str]: ...
    def look(self) -> list[str]: ...


class Backend(Protocol):
    """Where processes meet."""

    lease_ms: int
    """0: there is only one process, which cannot be outlived."""

    def process(self, clock: Clock, name: str) -> Process: ...
    def empty(self) -> None: ...


limits, names = st.sampled_from(LIMITS), st.sampled_from(NAMES)
charged = st.lists(
    st.tuples(names, st.sampled_from((1, 1, 1, 0, 2, 9))), min_size=1, max_size=4, unique_by=lambda c: c[0]
)
picks = st.integers(0, 1_000)
soon_ms = st.sampled_from((-5_000, 0, 1, 40, 700, 5_000))


class QueueMachine(RuleBasedStateMachine):
    """Many processes, four limiters whose limits change, and a judge."""

    make: ClassVar[Callable[[], Backend]]
    steps: ClassVar[int] = 0

    @initialize(given=st.tuples(limits, limits, limits, limits), processes=st.integers(1, 3))
    def begin(self, given: tuple[CallLimit, ...], processes: int) -> None:
        self.clock, self.backend = Clock(), type(self).make()
        self.strict = {name: StrictLimiter(name, limit) for name, limit in zip(NAMES, given, strict=True)}
        self.living: dict[str, Process] = {}
        self.dead_ms: dict[str, int] = {}
        self.calls: dict[str, tuple[Call, str]] = {}  # that wait or run, with their process
        self.order: dict[str, tuple[int, int]] = {}  # of those that wait
        self.numbers = 0
        self.has_changed = False
        for _ in range(processes if self.backend.lease_ms else 1):
            self._add_process()
        for process in self.living.values():
            process.look()
        self.clock.advance(LONG_MS)  # the queue began long ago

    def teardown(self) -> None:
        if hasattr(self, "clock") and sys.exc_info()[0] is None:  # else something was found already
            self._everything_ends()

    @rule(charges=charged, priority=st.sampled_from((2, 5, 8)), pick=picks)
    def ask(self, charges: list[tuple[str, int]], priority: int, pick: int) -> None:
        self.numbers += 1
        who = self._one(pick, sorted(self.living))
        call = Call(
            tuple(Charge(self._limiter(name), cost) for name, cost in charges), priority, call_id=str(self.numbers)
        )
        self.calls[call.call_id] = call, who
        self.order[call.call_id] = priority, self.numbers
        self._hear(self.living[who].ask(call))

    @rule(pick=picks, used=st.sampled_from((None, 0, 1, 3)))
    def end(self, pick: int, used: int | None) -> None:
        """End a call that runs, or take back one that waits."""
        ours = sorted(call_id for call_id, (_, who) in self.calls.items() if who in self.living)
        if ours:
            self._end(self._one(pick, ours), used)

    @rule(name=names, in_ms=st.sampled_from((1, 40, 3_000, 900_000)), pick=picks)
    def hold(self, name: str, in_ms: int, pick: int) -> None:
        strict, until_ms = self.strict[name], self.clock() + in_ms
        strict.held_until_ms = max(strict.held_until_ms, until_ms)
        self._hear(self._any(pick).hold(self._limiter(name), until_ms))

    @rule(name=names, pick=picks)
    def release(self, name: str, pick: int) -> None:
        self.strict[name].released()
        self._hear(self._any(pick).hold(self._limiter(name), 0))

    @rule(
        name=names,
        left=st.sampled_from((-3, 0, 2, 50)),
        in_ms=soon_ms,
        of=st.sampled_from((None, 1, 4, 500)),
        pick=picks,
    )
    def believe(self, name: str, left: int, in_ms: int, of: int | None, pick: int) -> None:
        until_ms = self.clock() + in_ms
        self.strict[name].believe(left, until_ms, of, self.clock())
        self._hear(self._any(pick).believe(self._limiter(name), left, until_ms, of))

    @rule(name=names, limit=limits)
    def change(self, name: str, limit: CallLimit) -> None:
        """The next call that passes it brings the new limit; before, none does."""
        self.has_changed = True
        self.strict[name].change(limit, self.clock())
        self.ask([(name, 1)], 9, 0)

    @rule(ms=st.sampled_from((1, 10, 49, 200, 999, 1_000, 3_001)))
    def advance(self, ms: int) -> None:
        self._pass(ms)

    @precondition(lambda self: self.backend.lease_ms)
    @rule(name=names, in_ms=st.sampled_from((3_000, 9_000)), probes=st.sampled_from((1, 2)), pick=picks)
    def fails(self, name: str, in_ms: int, probes: int, pick: int) -> None:
        strict, who, until_ms = self.strict[name], self._one(pick, sorted(self.living)), self.clock() + in_ms
        strict.votes = {each: until for each, until in strict.votes.items() if until > self.clock()} | {who: until_ms}
        if len(strict.votes) >= 2:
            strict.agreed_until_ms, strict.probes = max(strict.agreed_until_ms, until_ms), probes
        self._hear(self.living[who].fails(self._limiter(name), until_ms, probes))

    @precondition(lambda self: self.backend.lease_ms)
    @rule(name=names, pick=picks)
    def well(self, name: str, pick: int) -> None:
        self._well(name)
        self._hear(self._any(pick).well(self._limiter(name)))

    @precondition(lambda self: self.backend.lease_ms and len(self.living) > 1)
    @rule(pick=picks)
    def kill(self, pick: int) -> None:
        """Nothing is heard of a process any more; another one starts."""
        who = self._one(pick, sorted(self.living))
        del self.living[who]
        self.dead_ms[who] = self.clock()
        self._add_process()

    @precondition(lambda self: self.backend.lease_ms and not self.has_changed)
    @rule()
    def empty(self) -> None:
        """Redis forgets everything; a change of a limit, too, until a call brings it again."""
        self.backend.empty()
        for name, strict in self.strict.items():
            strict.held_until_ms = strict.said_until_ms = 0
            strict.poured = []
            self._well(name)
        self.order = {call_id: (priority, -1) for call_id, (priority, _) in self.order.items()}
        for call, who in list(self.calls.values()):
            if who not in self.living:
                self._lose(call)
        self._pass(BEAT_MS)

    def _well(self, name: str) -> None:
        strict = self.strict[name]
        strict.agreed_until_ms, strict.probes, strict.votes = 0, 0, {}

    def _add_process(self) -> None:
        self.numbers += 1
        name = f"p{self.numbers}"
        self.living[name] = self.backend.process(self.clock, name)

    def _any(self, pick: int) -> Process:
        return self.living[self._one(pick, sorted(self.living))]

    @staticmethod
    def _one(pick: int, of: list[str]) -> str:
        return of[pick % len(of)]

    def _limiter(self, name: str) -> Limiter:
        strict = self.strict[name]
        return Limiter(name, strict.limit, strict.version)

    def _end(self, call_id: str, used: int | None) -> None:
        call, who = self.calls.pop(call_id)
        uses = [charge.cost if used is None else used for charge in call.charges]
        if self.order.pop(call_id, None) is None:
            for charge, units in zip(call.charges, uses, strict=True):
                self.strict[charge.limiter.name].end(call, units, self.clock())
        self._hear(self.living[who].end(call, uses))

    def _pass(self, ms: int) -> None:
        """Let time pass in which each process is heard of."""
        while ms > 0:
            self.clock.advance(min(ms, BEAT_MS))
            ms -= BEAT_MS
            for who, since_ms in list(self.dead_ms.items()):
                if self.clock() >= since_ms + self.backend.lease_ms:
                    self._bury(who)
            self._hear([])

    def _bury(self, who: str) -> None:
        del self.dead_ms[who]
        for call in [call for call, of in self.calls.values() if of == who]:
            self._lose(call)

    def _lose(self, call: Call) -> None:
        del self.calls[call.call_id]
        self.order.pop(call.call_id, None)
        for charge in call.charges:
            self.strict[charge.limiter.name].forget(call)

    def _hear(self, begun: list[str]) -> None:
        """Judge what begins now, until nothing does."""
        type(self).steps += 1
        while True:
            for process in self.living.values():
                begun += process.look()
            if not begun:
                return
            for call_id in sorted(begun, key=self._weight):  # within a millisecond the heaviest was the last
                self._begins(call_id)
            for call_id in begun:
                self._nothing_was_overtaken_by(call_id, begun)
            begun = []

    def _weight(self, call_id: str) -> int:
        return max(charge.cost for charge in self.calls[call_id][0].charges)

    def _begins(self, call_id: str) -> None:
        must(call_id in self.order, f"{call_id} began though it did not wait")
        self.was_before = {**getattr(self, "was_before", {}), call_id: self.order.pop(call_id)}
        call, _ = self.calls[call_id]
        for charge in call.charges:
            self.strict[charge.limiter.name].begin(call, charge.cost, self.clock())

    def _nothing_was_overtaken_by(self, call_id: str, begun: list[str]) -> None:
        """Of calls that pass the same limiters the first in line begins first."""
        mine = self.was_before[call_id]
        passed = {charge.limiter.name for charge in self.calls[call_id][0].charges}
        for other_id, theirs in self.order.items():
            other, who = self.calls[other_id]
            same = {charge.limiter.name for charge in other.charges} == passed
            is_first = theirs < mine if -1 not in (theirs[1], mine[1]) else theirs[0] < mine[0]
            must(
                not (same and is_first and who in self.living),
                f"{self.calls[call_id]} {mine} overtook {other} {theirs}",
            )

    def _everything_ends(self) -> None:
        """Nothing starves, and in the end all places are free."""
        for name in NAMES:
            self.release(name, 0)
            if self.backend.lease_ms:
                self.well(name, 0)
        for _ in range(10 + len(self.calls)):
            self._end_all_that_run()
            if self.calls:
                self._pass(LONG_MS // 4)
        must(not self.calls, f"{len(self.calls)} calls never began")
        self._pass(LONG_MS)
        self.ask([(name, 1) for name in NAMES], 5, 0)
        must(not self.order, "all places are free, and a call waits")
        must(list(self._busy()) == [1] * len(NAMES), "a place was not given back")

    def _end_all_that_run(self) -> None:
        while running := [each for each in self.calls if each not in self.order and self.calls[each][1] in self.living]:
            self._end(running[0], None)

    def _busy(self) -> Iterator[int]:
        for name in NAMES:
            yield self.strict[name].running()
