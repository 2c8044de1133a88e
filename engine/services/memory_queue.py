"""The queue of calls of one process: who may call now, and who waits for which limiter.

1. A call that must wait stands at exactly one limiter, one of its own that lets nothing through now.
2. At each limiter calls stand by priority, then by arrival; a call that comes later waits behind those before it at any
   of its limiters, so nothing overtakes what waits for the same.
3. When a limiter may let something through (a call ended, a time came), its first calls are tried: each goes, or moves
   to another of its limiters, or stays, and then everything behind it stays, too.

So what waits for one limiter holds up nothing that does not pass it, and costs nothing until the limiter's time comes.

TWIN  redis/lua/shared/call_queue.lua
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from heapq import heappop, heappush

from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.meter import COUNTED_WITHIN_MS, Meter
from tempogram.engine.services.state import LimiterState, WaitingCall, starting

COVER_MS = 1_000
"""How long units that the database has as used may be taken: one write a second for each limit."""

RECLAIM_MS = 2_500
"""How long after Redis was emptied nothing begins where calls under way count: each process says its own soon."""

SWEEP_MIN = 1_000
"""From so many limiters on, those at which nothing is used are forgotten. untuned: each takes about 1 kB."""


class MemoryCallQueue:
    """See ``CallQueue``; the time is passed in, in milliseconds, and never steps back.

    Args:
        begun: Gets each call that waited and may begin now; it has its places.
        keeps_uses: Calls of a limiter that ``is_kept`` wait until ``cover`` says that the database has their use.
        started_at_ms: Where a window is not kept nothing begins for its length from then on; None: it does at once.
    """

    def __init__(
        self, begun: Callable[[Call], None], *, keeps_uses: bool = False, started_at_ms: int | None = None
    ) -> None:
        self._begun = begun
        self._keeps_uses = keeps_uses
        self._started_at_ms = started_at_ms
        self._gates: dict[str, _Gate] = {}
        self._arrivals = 0
        self._looks: list[tuple[int, str]] = []  # a heap: when to look at which limiter; some are outdated
        self._sweep_at = SWEEP_MIN
        self._wanted: set[str] = set()
        self.waiting = 0

    def ask(self, now_ms: int, call: Call) -> bool:
        """Begin a call if it may, and return True; else it waits, and ``begun`` gets it when it may."""
        self._arrivals += 1
        call.arrival, call.asked_at_ms = self._arrivals, now_ms
        return self._try(call, now_ms)

    def end(self, now_ms: int, call: Call, used: Sequence[int] | None = None) -> None:
        """End a call that began; ``used`` says what it cost at each of its limiters, None: what was thought.

        A call that was never made has used 0.
        """
        for place, charge in enumerate(call.charges):
            meter = self._gates[charge.limiter.name].meter
            spent = charge.cost if used is None else used[place]
            meter.settle(call.began_at_ms, now_ms, charge.cost, spent)
            meter.release()
        for charge in call.charges:
            self._serve(self._gates[charge.limiter.name], now_ms)

    def withdraw(self, now_ms: int, call: Call) -> None:
        """Take back a call that waits."""
        gate = self._gates[call.stands_at]
        call.stands_at = ""
        self.waiting -= 1
        self._serve(gate, now_ms)

    def look(self, now_ms: int) -> int | None:
        """Let begin what may by now; return when to look again, None if nothing waits for a time."""
        while self._looks:
            at_ms, name = self._looks[0]
            gate = self._gates.get(name)
            if gate is not None and gate.looks_at_ms == at_ms:
                if at_ms > now_ms:
                    return at_ms
                gate.looks_at_ms = 0
                heappop(self._looks)
                self._serve(gate, now_ms)
            else:
                heappop(self._looks)
        return None

    def change(self, limiter: Limiter, now_ms: int) -> None:
        """Go by a newer version of a limit, if anything is known of the limiter."""
        if limiter.name in self._gates:
            self._gate(limiter, now_ms)

    def hold(self, limiter: Limiter, now_ms: int, until_ms: int, by: str) -> None:
        """Let nothing begin at a limiter before a time; calls under way go on."""
        self._gate(limiter, now_ms).meter.hold(until_ms, by)

    def release_hold(self, limiter: Limiter, now_ms: int) -> None:
        """End a hold, and the service's own word; what holds since the start stays."""
        gate = self._gates.get(limiter.name)
        if gate is not None:
            gate.meter.release_hold(self._begins_at_ms(gate.meter.limit))
            self._serve(gate, now_ms)

    def believe(self, limiter: Limiter, now_ms: int, *, left: int, until_ms: int, of: int | None = None) -> None:
        """Take a service's word: so much is left until a time. Calls under way may not be counted in it yet.

        A word of the past says nothing: the window that it is of is over.
        """
        if until_ms <= now_ms:
            return
        gate = self._gate(limiter, now_ms)
        gate.meter.believe(max(0, left - gate.meter.busy), until_ms, of=of)
        self._serve(gate, now_ms)

    def cover(self, name: str, now_ms: int, units: int) -> None:
        """Say that the database has so many units as used until ``COVER_MS`` from now; what was covered before ends."""
        gate = self._gates.get(name)
        if gate is not None:  # else it was forgotten, as nothing waits any more
            gate.meter.cover(now_ms + COVER_MS, units)
            self._serve(gate, now_ms)

    def restore(self, name: str, now_ms: int, uses: Sequence[tuple[int, int]]) -> None:
        """Count what the database knows: milliseconds since the epoch, and units; only the first time."""
        gate = self._gates.get(name)
        if gate is None or gate.meter.is_restored:
            return
        for at_ms, units in uses:
            gate.meter.spend(min(at_ms, now_ms), units)
        gate.meter.is_restored, gate.meter.wanted_at_ms = True, 0
        self._serve(gate, now_ms)

    def state(self, limiter: Limiter, now_ms: int) -> LimiterState:
        """Return what is seen of a limiter; of one that is not known as much as if it were."""
        gate = self._gates.get(limiter.name)
        if gate is None:
            gate = _Gate(limiter, begins_at_ms=self._begins_at_ms(limiter.limit))
        meter = gate.meter
        if gate.version < limiter.version:
            meter = deepcopy(meter)
            meter.reform(limiter.limit, now_ms)
        is_held = meter.held_until_ms > now_ms
        return LimiterState(
            name=gate.name,
            limit=meter.limit,
            under_way=meter.busy,
            waiting=len(gate.line()),
            left=meter.left(now_ms),
            free_at_ms=meter.ready_at_ms(now_ms, 1),
            held_until_ms=meter.held_until_ms if is_held else 0,
            held_by=starting(meter.held_by) if is_held else "",
        )

    def line(self, now_ms: int, is_asked: Callable[[Call], bool]) -> list[WaitingCall]:
        """Return those of the waiting calls that are asked for, the first to come first at each limiter."""
        return [
            WaitingCall.at(
                self.state(call.charge_at(gate.name).limiter, now_ms),
                call_id=call.call_id,
                operation=call.operation,
                priority=call.priority,
                asked_at_ms=call.asked_at_ms,
                ahead=ahead,
                now_ms=now_ms,
            )
            for gate in self._gates.values()
            for ahead, call in enumerate(gate.line())
            if is_asked(call)
        ]

    def window_ms(self, name: str) -> int:
        return self._gates[name].meter.limit.window_ms

    def wants(self, now_ms: int) -> list[tuple[str, int]]:
        """Return the limiters that wait for the database, each once in ``COVER_MS``.

        With each stands how many units are to be covered, or -1: its uses are to be restored.
        """
        asked = []
        for name in self._wanted:
            if (gate := self._gates.get(name)) is None:
                continue
            if now_ms < gate.meter.wanted_at_ms + COVER_MS:
                self._look_at(gate, gate.meter.wanted_at_ms + COVER_MS)
                continue
            gate.meter.wanted_at_ms = now_ms
            self._look_at(gate, now_ms + COVER_MS)  # the database may refuse
            until_ms = now_ms + COVER_MS + COUNTED_WITHIN_MS
            units = gate.meter.to_cover(until_ms, gate.meter.used_since_cover + gate.units_waiting())
            asked.append((name, units if gate.meter.is_restored else -1))
        self._wanted.clear()
        return asked

    def _try(self, call: Call, now_ms: int) -> bool:
        # First of all: a new limit may let others begin.
        gates = [self._gate(charge.limiter, now_ms) for charge in call.charges]
        for gate, charge in zip(gates, call.charges, strict=True):
            if (gate.waiting and gate.is_before(call)) or not self._lets_through(gate, charge.cost, now_ms):
                call.stands_at = gate.name
                heappush(gate.waiting, call)
                self.waiting += 1
                return False
        call.stands_at = ""
        call.began_at_ms = now_ms
        for gate, charge in zip(gates, call.charges, strict=True):
            gate.meter.take(now_ms, charge.cost)
        return True

    def _serve(self, gate: _Gate, now_ms: int) -> None:
        while (head := gate.head()) is not None:
            if not self._lets_through(gate, head.cost_at(gate.name), now_ms):
                return
            heappop(gate.waiting)
            self.waiting -= 1
            if self._try(head, now_ms):
                self._begun(head)

    def _lets_through(self, gate: _Gate, cost: int, now_ms: int) -> bool:
        meter = gate.meter
        ready_at_ms = meter.ready_at_ms(now_ms, cost)
        if ready_at_ms is None:
            return False
        if ready_at_ms > now_ms:
            self._look_at(gate, ready_at_ms)
            return False
        if self._keeps_uses and meter.limit.is_kept and not (meter.is_restored and meter.is_covered(now_ms, cost)):
            self._wanted.add(gate.name)
            return False
        return True

    def _look_at(self, gate: _Gate, at_ms: int) -> None:
        if not gate.looks_at_ms or at_ms < gate.looks_at_ms:
            gate.looks_at_ms = at_ms
            heappush(self._looks, (at_ms, gate.name))

    def _gate(self, limiter: Limiter, now_ms: int) -> _Gate:
        gate = self._gates.get(limiter.name)
        if gate is None:
            if len(self._gates) >= self._sweep_at:
                self._sweep(now_ms)
            gate = self._gates[limiter.name] = _Gate(limiter, begins_at_ms=self._begins_at_ms(limiter.limit))
            gate.meter.is_restored = not (self._keeps_uses and limiter.limit.is_kept)
        elif gate.version < limiter.version:
            gate.version = limiter.version
            gate.meter.reform(limiter.limit, now_ms)
            self._serve(gate, now_ms)
        return gate

    def _begins_at_ms(self, limit: CallLimit) -> int:
        if self._started_at_ms is None or (limit.is_kept and self._keeps_uses):
            return 0
        return self._started_at_ms + max(limit.window_ms, limit.apart_ms)

    def _sweep(self, now_ms: int) -> None:
        for name, gate in list(self._gates.items()):
            if gate.head() is None and gate.meter.is_forgotten(now_ms):
                del self._gates[name]
        self._sweep_at = max(SWEEP_MIN, 2 * len(self._gates))


class _Gate:
    """One limiter, and the calls that wait for it."""

    __slots__ = ("looks_at_ms", "meter", "name", "version", "waiting")

    def __init__(self, limiter: Limiter, *, begins_at_ms: int) -> None:
        self.name = limiter.name
        self.version = limiter.version
        self.meter = Meter(limiter.limit, begins_at_ms=begins_at_ms)
        self.waiting: list[Call] = []  # a heap; calls that stand elsewhere by now are passed over
        self.looks_at_ms = 0  # 0: only when something happens

    def head(self) -> Call | None:
        """Return the first of those that wait."""
        waiting = self.waiting
        while waiting and waiting[0].stands_at != self.name:
            heappop(waiting)
        return waiting[0] if waiting else None

    def line(self) -> list[Call]:
        """Return those that wait, the first first."""
        return sorted(call for call in self.waiting if call.stands_at == self.name)

    def units_waiting(self) -> int:
        return sum(call.cost_at(self.name) for call in self.waiting if call.stands_at == self.name)

    def is_before(self, call: Call) -> bool:
        """Tell whether a call waits that comes before this one."""
        head = self.head()
        return head is not None and head < call
