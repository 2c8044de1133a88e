"""The state of one limiter: what of its limit is used, and when the next call may begin.

Where a service counts a call is not known: somewhere between the beginning of the call and its answer. A use is booked
``COUNTED_WITHIN_MS`` after the beginning, and moved to the answer when that comes earlier. So no window of the service
holds more than the limit, and a slow answer does not keep its place for ever.

TWIN  redis/lua/shared/meters.lua
"""

from __future__ import annotations

from tempogram.engine.limits.limits import Limit
from tempogram.engine.limits.spacing import Spacing
from tempogram.engine.limits.weighted_window import WeightedWindow
from tempogram.engine.services.limit import CallLimit

COUNTED_WITHIN_MS = 1_000
"""How long after its beginning a service has counted a call at the latest. untuned: a request takes far less; and the
later it is, the less of a short window is used while answers take longer than this."""

APART_GUARD_PERCENT = 2
"""How much farther apart calls begin while the one before is not answered: its bytes may have been underway longer."""

APART_GUARD_PERCENT_AT_FIRST = 100
"""The same while it is not known how quick answers are: the first calls wait for imports and connections."""

QUICKEST_OF = 32
"""The quickest of so many answers tells how long a call is on its way at least; none is known before. untuned: of more,
a route that became longer would be noticed later."""

ROUNDED_MS = 2
"""By how much a difference of times that are rounded down may be too short."""

FORGOTTEN_AFTER_MS = 1_000
"""How long a limiter of which nothing is used is remembered, with how quick answers are. untuned: calls that wait for
each other's spacing are closer."""

GRAINS = 128
"""Into how many grains the window of a larger limit is cut: so many entries at most, for 1/128 of its use. A script
reads and writes them all: twice as many take it 60 us more where three windows are full."""


class Meter:
    """One limiter. The time is passed in, in milliseconds; it never steps back.

    >>> meter = Meter(CallLimit(count=2, window_ms=1_000))
    >>> meter.take(0, 1); meter.take(0, 1)
    >>> meter.ready_at_ms(0, 1)
    2001
    >>> meter.settle(0, 40, 1, 1); meter.release()
    >>> meter.ready_at_ms(40, 1)
    1041
    """

    __slots__ = (
        "_answers",
        "_apart_at_ms",
        "_began_at_ms",
        "_bucket",
        "_quickest_ms",
        "_quickest_of_last_ms",
        "_said_fell",
        "_said_fell_before",
        "_said_left",
        "_said_until_ms",
        "_said_wins",
        "_since_ms",
        "_window",
        "busy",
        "covered",
        "covered_until_ms",
        "held_by",
        "held_until_ms",
        "is_restored",
        "limit",
        "used_since_cover",
        "wanted_at_ms",
    )

    def __init__(self, limit: CallLimit, *, begins_at_ms: int = 0) -> None:
        self.limit = limit
        self.busy = 0  # calls that are under way
        self.covered = 0  # units that the database has as used until a time, and no call has taken yet
        self.covered_until_ms = 0
        self.used_since_cover = 0
        self.wanted_at_ms = 0  # when the database was last asked
        self.is_restored = True  # what the database knows of its uses is counted
        self.held_until_ms = begins_at_ms
        self.held_by = ""
        self._window = _window_of(limit)
        self._since_ms = -1  # calls that began by then are not in the window
        self._bucket = _bucket_of(limit)
        self._apart_at_ms = 0  # when the next may begin
        self._began_at_ms = -1  # when the last began
        self._quickest_ms = 0  # how soon an answer comes at least; 0: not known yet
        self._quickest_of_last_ms = 0  # of the last ``_answers``
        self._answers = 0
        self._said_left = 0  # what the service said is left, until a time
        self._said_until_ms = 0
        self._said_fell = 0  # how much less was left than calls of ours explain, by the service's last word
        self._said_fell_before = 0  # and by the one before
        self._said_wins = False  # over our own count; else it only holds back

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        """Return when a call of this cost may begin: ``now_ms`` or later, None until another one ends."""
        concurrency = self.limit.concurrency
        if concurrency and self.busy >= concurrency:
            return None
        ready_at_ms = max(now_ms, self.held_until_ms, self._apart_at_ms)
        if self._said_until_ms:
            ready_at_ms = max(ready_at_ms, self._said_at_ms(now_ms, cost))
        if self._window is not None and not (self._said_until_ms and self._said_wins):
            free_at_ms = self._window.free_at_ms(now_ms, min(cost, self.limit.count))
            if free_at_ms is None:
                return None
            ready_at_ms = max(ready_at_ms, free_at_ms)
        if self._bucket is not None:
            ready_at_ms = max(ready_at_ms, self._bucket.free_at_ms(now_ms, cost))
        return ready_at_ms

    def take(self, now_ms: int, cost: int) -> None:
        """Begin a call."""
        limit = self.limit
        if limit.apart_ms and self.is_forgotten(now_ms):
            self._quickest_ms = self._answers = 0
        self.busy += 1
        if limit.apart_ms:
            self._began_at_ms = now_ms
            guard_percent = APART_GUARD_PERCENT if self._quickest_ms else APART_GUARD_PERCENT_AT_FIRST
            self._apart_at_ms = now_ms + limit.apart_ms + limit.apart_ms * guard_percent // 100
        if self._window is not None:
            self._window.spend(now_ms + COUNTED_WITHIN_MS, cost)
        if self._bucket is not None:
            self._bucket.spend(now_ms, cost)
        if now_ms < self._said_until_ms:
            self._said_left -= cost
        self.covered -= min(cost, self.covered)
        self.used_since_cover += cost

    def settle(self, began_at_ms: int, now_ms: int, cost: int, used: int) -> None:
        """Say that a call was answered, and what it turned out to have cost."""
        if self.limit.apart_ms and used:
            self._space(began_at_ms, now_ms)
        if self._window is not None:
            counted_at_ms = began_at_ms + COUNTED_WITHIN_MS
            if began_at_ms > self._since_ms:
                self._window.move(counted_at_ms, min(now_ms, counted_at_ms), cost, min(cost, used))
            if used > cost:
                self._window.spend(now_ms, used - cost)
        if now_ms < self._said_until_ms:
            self._said_left += cost - used

    def _space(self, began_at_ms: int, now_ms: int) -> None:
        """Say when the next may begin after an answer: what it took longer than others may have passed on the way."""
        took_ms = now_ms - began_at_ms
        self._quickest_ms = min(self._quickest_ms, took_ms)
        if self._began_at_ms == began_at_ms:
            self._apart_at_ms = began_at_ms + self.limit.apart_ms + took_ms - self._quickest_ms + ROUNDED_MS
        self._quickest_of_last_ms = min(self._quickest_of_last_ms, took_ms) if self._answers else took_ms
        self._answers += 1
        if self._answers == QUICKEST_OF:
            self._quickest_ms, self._answers = self._quickest_of_last_ms, 0

    def release(self) -> None:
        """Say that a call is over, however it ended."""
        self.busy -= self.busy > 0

    def spend(self, at_ms: int, cost: int) -> None:
        """Count a use of which nothing else is known."""
        if self._window is not None:
            self._window.spend(at_ms, cost)

    def cover(self, until_ms: int, units: int) -> None:
        """Say that the database has so many units as used, which calls may take until a time."""
        self.covered, self.covered_until_ms, self.used_since_cover = units, until_ms, 0

    def to_cover(self, until_ms: int, wanted: int) -> int:
        """Return how many of the units that are wanted may be used until a time: more would count after a restart."""
        room = self.limit.count
        if self._window is not None and not (self._said_until_ms and self._said_wins):
            room -= self._window.taken_at(until_ms)
        return max(1, min(wanted, room))

    def is_covered(self, now_ms: int, cost: int) -> bool:
        """Tell whether the database has a use of this cost; what costs more than the limit needs all of it."""
        return now_ms < self.covered_until_ms and self.covered >= min(cost, self.limit.count)

    def is_forgotten(self, now_ms: int) -> bool:
        """Tell whether nothing has been used for so long that a new one may take its place."""
        return self.is_idle(now_ms - FORGOTTEN_AFTER_MS)

    def is_idle(self, now_ms: int) -> bool:
        """Tell whether nothing is used."""
        if self.busy or max(self.held_until_ms, self._apart_at_ms, self._said_until_ms, self.covered_until_ms) > now_ms:
            return False
        is_used = self._window is not None and self._window.taken(now_ms) > 0
        return not is_used and (self._bucket is None or self._bucket.is_drained(now_ms))

    def left(self, now_ms: int) -> int | None:
        """Return how many units may be used now, be it not at once; None: any number."""
        if self._said_until_ms:
            self._said_at_ms(now_ms, 0)
        is_said = now_ms < self._said_until_ms
        rooms = [self._said_left] if is_said else []
        if self._window is not None and not (is_said and self._said_wins):
            rooms.append(self.limit.count - self._window.taken(now_ms))
        if self._bucket is not None:
            rooms.append(self._bucket.room(now_ms))
        return max(0, min(rooms)) if rooms else None

    def reform(self, limit: CallLimit, now_ms: int) -> None:
        """Go on under another limit; what is used stays used."""
        window, bucket = self._window, self._bucket
        self.limit, self._window, self._bucket = limit, _window_of(limit), _bucket_of(limit)
        if window is not None and self._window is not None:
            window.taken(now_ms)  # a longer window must not find again what was free
            window.reform(Limit(limit.count, limit.window_ms), grains=_grains_of(limit))
            self._window = window
        else:
            self._since_ms = now_ms
        if bucket is not None and self._bucket is not None:
            self._bucket.go_on_from(bucket)

    def hold(self, until_ms: int, by: str) -> None:
        """Begin nothing before a time."""
        if until_ms > self.held_until_ms:
            self.held_until_ms, self.held_by = until_ms, by

    def release_hold(self, until_ms: int) -> None:
        """End a hold, and what the service said of what is left; but hold until a time, 0 for none."""
        self.held_until_ms, self.held_by = until_ms, ""
        self._said_left, self._said_until_ms, self._said_wins = 0, 0, False

    def believe(self, left: int, until_ms: int, *, of: int | None = None) -> None:
        """Take the service's word for what is left until a time, at which all of it is there again.

        Args:
            left: Units, those of calls that are under way not counted.
            until_ms: When the service's own window ends.
            of: What the service says its limit is; of a larger one than ours the word only holds back.
        """
        limit = self.limit
        self._said_fell_before = self._said_fell
        self._said_fell = max(0, self._said_left - left) if self._said_until_ms else 0
        self._said_left, self._said_until_ms = left, until_ms
        self._said_wins = bool(limit.count) and of is not None and of <= limit.count

    def _said_at_ms(self, now_ms: int, cost: int) -> int:
        if now_ms < self._said_until_ms:  # others may use as much again before a call of ours arrives
            left = self._said_left - max(self._said_fell, self._said_fell_before)
            return now_ms if left >= cost else self._said_until_ms
        if self._said_wins and self._window is not None:
            self._window.clear(self._said_until_ms)
        self._said_until_ms = 0
        return now_ms


def _window_of(limit: CallLimit) -> WeightedWindow | None:
    if not limit.count:
        return None
    return WeightedWindow(Limit(limit.count, limit.window_ms), grains=_grains_of(limit))


def _grains_of(limit: CallLimit) -> int:
    return limit.window_ms if limit.count <= GRAINS else GRAINS


def _bucket_of(limit: CallLimit) -> Spacing | None:
    if not limit.count or limit.burst is None:
        return None
    return Spacing(Limit(limit.count, limit.window_ms, burst=limit.burst))
