"""What a strict service would say of each call that begins: an account of every use, without any cleverness.

A service counts a call at any time between its beginning and its answer, or a second after its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tempogram.engine.services.calls import Call
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.meter import COUNTED_WITHIN_MS


def must(holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
    assert holds, sentence


@dataclass
class Use:
    """What one call uses at one limiter."""

    call: Call
    units: int
    began_ms: int
    counted_ms: int  # at the latest
    is_counted: bool  # there was a count when it began
    is_over: bool = False


@dataclass
class StrictLimiter:
    """One limiter, as the service has it."""

    name: str
    limit: CallLimit
    version: int = 1
    held_until_ms: int = 0
    left: int = 0
    said_until_ms: int = 0
    said_wins: bool = False
    uses: list[Use] = field(default_factory=list)
    poured: list[tuple[int, int]] = field(default_factory=list)  # when, and how much, under the limit of now
    last_ms: int = -1
    apart_ms: int = 0  # at least, from the last to the next
    agreed_until_ms: int = 0
    probes: int = 0
    votes: dict[str, int] = field(default_factory=dict)

    def change(self, limit: CallLimit, now_ms: int) -> None:
        self._pass(now_ms)
        for use in self.uses:
            is_free = use.counted_ms + self.limit.window_ms <= now_ms  # a longer window does not find it again
            use.is_counted = use.is_counted and not is_free and bool(limit.count)
        self.limit, self.version, self.poured = limit, self.version + 1, []
        self.apart_ms = min(self.apart_ms, limit.apart_ms)

    def begin(self, call: Call, cost: int, now_ms: int) -> None:
        """Judge a call that has begun."""
        self._pass(now_ms)
        limit = self.limit
        must(now_ms >= self.held_until_ms, f"{call.call_id} began at {self.name}, which is held")
        must(now_ms >= self.agreed_until_ms, f"{call.call_id} began at {self.name}, of which two say that it fails")
        running = self.running()
        must(not self.probes or running < self.probes, f"{self.name} is probed by more than {self.probes}")
        must(not limit.concurrency or running < limit.concurrency, f"{running} already run at {self.name}")
        must(now_ms >= self.last_ms + self.apart_ms, f"{call.call_id} is too close to the one before at {self.name}")
        if now_ms < self.said_until_ms:
            must(self.left >= cost, f"{call.call_id} costs {cost} of {self.left} that are left of {self.name}")
            self.left -= cost
        if limit.count and not (now_ms < self.said_until_ms and self.said_wins):
            used = self.used(now_ms)
            must(used + min(cost, limit.count) <= limit.count, f"{used} of {self.name} are used, and {cost} more began")
        if limit.burst:
            self._pour(cost, now_ms)
        self.last_ms, self.apart_ms = now_ms, limit.apart_ms
        self.uses.append(Use(call, cost, now_ms, now_ms + COUNTED_WITHIN_MS, bool(limit.count)))

    def end(self, call: Call, used: int, now_ms: int) -> None:
        use = next(use for use in self.uses if use.call is call and not use.is_over)
        if now_ms < self.said_until_ms:
            self.left += use.units - used
        use.counted_ms, use.is_over = min(now_ms, use.counted_ms), True
        if used > use.units and self.limit.count:
            self.uses.append(Use(call, used - use.units, use.began_ms, now_ms, is_counted=True, is_over=True))
        use.units = min(use.units, used)

    def believe(self, left: int, until_ms: int, of: int | None, now_ms: int) -> None:
        self._pass(now_ms)
        if until_ms <= now_ms:
            return
        self.left, self.said_until_ms = max(0, left - self.running()), until_ms
        self.said_wins = of is not None and bool(self.limit.count) and of <= self.limit.count

    def released(self) -> None:
        """Go by our own count again, from an operator's word on."""
        self.held_until_ms = self.said_until_ms = 0
        self.said_wins = False

    def running(self) -> int:
        return sum(not use.is_over for use in self.uses)

    def used(self, now_ms: int) -> int:
        """Return how much a window that ends now may hold."""
        since_ms = now_ms - self.limit.window_ms
        return sum(use.units for use in self.uses if use.is_counted and use.counted_ms > since_ms)

    def forget(self, call: Call) -> None:
        """Have a call run no more of which nothing will be heard; it was counted."""
        for use in self.uses:
            use.is_over = use.is_over or use.call is call

    def _pour(self, cost: int, now_ms: int) -> None:
        """Judge that no more begin at once than fit."""
        limit = self.limit
        assert limit.burst
        units = min(cost, limit.burst)
        for first_ms, poured in reversed(self.poured):
            units += poured
            fits = (units - limit.burst) * limit.window_ms <= (now_ms - first_ms) * limit.count
            must(fits, f"{units} units began at {self.name} within {now_ms - first_ms} ms")
        self.poured.append((now_ms, cost))

    def _pass(self, now_ms: int) -> None:
        """When the window of the service ends, what was used in it is no more."""
        if self.said_until_ms and now_ms >= self.said_until_ms:
            if self.said_wins:
                for use in self.uses:
                    use.is_counted = use.is_counted and use.counted_ms > self.said_until_ms
            self.said_until_ms = 0
