"""Places that calls keep until they end, shared out among bots: a worker's connections, and those of the ceiling.

A call that hangs keeps its place until the time-out, so a rate does not bound how many places a bot has. While more
than half of them are free, any bot may take one. Of the other half

-   the last few are kept for high;
-   a bot that has less than its *share* may take one. A share is what each bot would have if all that were active
    lately had the same of all places but those few;
-   so may a *quick* bot above its share, as it soon gives back what it borrows: while it has less than half of all,
    and more than a quarter is free. (Bots that begin to hang are quick at first, and all of them borrow.)

So bots that hang, however many, leave the others half of the places or their shares, and at first a quarter. A bot
beside which no other was ever seen may take every place.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

KEPT_PART = 15
"""One place in so many is kept for high: 2 of the ceiling's 30, 6 of a worker's 100 connections.

untuned: an answer to a user needs one for as long as a call takes, and shares bound what bots that hang may take."""

ACTIVE_MS = 10_000
"""How long a bot stays active after its last call has ended, and until the next multiple of it.

untuned: longer leaves places unused where all calls are slow, shorter lets bots that hang take those of bots that
write seldom."""

SLOW_MS = 500
"""How long a call takes that shows that its bot is slow: several times as long as Telegram does.

Until then the spacing lets at most half of a limit of 30 a second go."""

NEVER = -2


class BotCalls:
    """What one bot has under way.

    Attributes:
        taken: Places that its calls keep.
        began_ms: When each call under way began, the oldest first.
        was_slow: The last call that ended was.
        period: In which its last call ended.
    """

    __slots__ = ("began_ms", "period", "taken", "was_slow")

    def __init__(self) -> None:
        self.taken = 0
        self.began_ms: dict[Hashable, int] = {}
        self.was_slow = False
        self.period = NEVER

    def is_quick(self, now_ms: int) -> bool:
        """Tell whether its last call was, and those under way may still be; without one nothing shows it."""
        if self.was_slow or not self.began_ms:
            return False
        return now_ms - next(iter(self.began_ms.values())) < SLOW_MS


class Pool:
    """``places`` of one kind, and who has them; 0 is no bound.

    >>> pool = Pool(30)
    >>> for number in range(14): pool.begin(7, number, 1, now_ms=0)
    >>> pool.begin(8, "a", 1, now_ms=0)
    >>> pool.may_begin(7, 100), pool.may_begin(7, 600), pool.may_begin(8, 600)
    (True, False, True)
    >>> pool.end(8, "a", 1, now_ms=600)
    >>> pool.may_begin(7, 600)
    True
    """

    __slots__ = ("_bots", "_ended_before", "_ended_now", "_period", "_with_calls", "places", "taken")

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self._bots: dict[int, BotCalls] = {}
        self._with_calls: dict[int, BotCalls] = {}
        self._period = 0  # of the clock
        self._ended_now = 0  # bots without a call whose last one ended in this period
        self._ended_before = 0  # in the one before

    @property
    def is_any_bots(self) -> bool:
        """Whether more than half of the places are free, so that any bot may take one."""
        return 2 * self.taken < self.places or not self.places

    @property
    def is_shared(self) -> bool:
        """Whether more than one bot ever had a place."""
        return len(self._bots) > 1

    def begin(self, bot_id: int, call: Hashable, cost: int, now_ms: int) -> None:
        bot = self._bots.get(bot_id)
        if bot is None:
            bot = self._bots[bot_id] = BotCalls()
        if not bot.began_ms:
            self._begin_first(bot_id, bot, now_ms)
        bot.began_ms[call] = now_ms
        bot.taken += cost
        self.taken += cost

    def _begin_first(self, bot_id: int, bot: BotCalls, now_ms: int) -> None:
        self._pass_time(now_ms)
        self._with_calls[bot_id] = bot
        if bot.period == self._period:
            self._ended_now -= 1
        elif bot.period == self._period - 1:
            self._ended_before -= 1

    def end(self, bot_id: int, call: Hashable, cost: int, now_ms: int) -> None:
        bot = self._bots[bot_id]
        bot.was_slow = now_ms - bot.began_ms.pop(call) >= SLOW_MS
        bot.taken -= cost
        self.taken -= cost
        if not bot.began_ms:
            self._pass_time(now_ms)
            del self._with_calls[bot_id]
            bot.period = self._period
            self._ended_now += 1

    def may_begin(self, bot_id: int, now_ms: int, *, free: int | None = None, more: int = 0) -> bool:
        """Tell whether a bot may take a place, if one is free.

        A question that gives several says how many are ``free`` still, and how many ``more`` the bot has by now.
        """
        places = self.places
        if free is None:
            free = places - self.taken
        if 2 * free > places or not places or not self.is_shared:
            return True
        bot = self._bots.get(bot_id)
        taken = more if bot is None else bot.taken + more
        if taken < self.share(now_ms):
            return True
        return bot is not None and bot.is_quick(now_ms) and 2 * taken < places < 4 * free

    def is_left_for_high(self, *, free: int | None = None) -> bool:
        """Tell whether only places are free that are kept for high."""
        if free is None:
            free = self.places - self.taken
        return self.places > 0 and free <= kept_of(self.places) and self.is_shared

    def share(self, now_ms: int) -> int:
        """Return how many places each active bot may have, whatever the others do."""
        return max(1, (self.places - kept_of(self.places)) // max(1, self.active(now_ms)))

    def active(self, now_ms: int) -> int:
        """Count the bots that have a call under way, or had one in this period or the one before."""
        self._pass_time(now_ms)
        return len(self._with_calls) + self._ended_now + self._ended_before

    def changes_at_ms(self, now_ms: int) -> int | None:
        """Return when shares may grow though no call ends; None: they do not."""
        self._pass_time(now_ms)
        return (self._period + 1) * ACTIVE_MS if self._ended_now or self._ended_before else None

    def slow_at_ms(self, bot_id: int, now_ms: int) -> int | None:
        """Return when a quick bot will be slow if no call ends; None if it is not quick."""
        bot = self._bots.get(bot_id)
        return next(iter(bot.began_ms.values())) + SLOW_MS if bot is not None and bot.is_quick(now_ms) else None

    def counts(self, now_ms: int) -> Iterator[tuple[int, int, bool]]:
        """Yield each bot that has a call under way: its id, its places, and whether it is quick."""
        for bot_id, bot in self._with_calls.items():
            yield bot_id, bot.taken, bot.is_quick(now_ms)

    def _pass_time(self, now_ms: int) -> None:
        period = now_ms // ACTIVE_MS
        if period > self._period:
            self._ended_before = self._ended_now if period == self._period + 1 else 0
            self._ended_now = 0
            self._period = period


@dataclass(frozen=True, slots=True)
class Connections:
    """A worker's connections, as it asks for messages to send with them.

    Attributes:
        free: Those that neither a call has nor another question asks for.
        at_ms: When it asks, by the clock of the pool.
    """

    pool: Pool
    free: int
    at_ms: int

    def are_any_bots_after(self, leases: int) -> bool:
        """Tell whether more than half of them are free even after so many leases."""
        return 2 * (self.free - leases) > self.pool.places


def kept_of(places: int) -> int:
    """Return how many of so many places are kept for high.

    >>> [kept_of(places) for places in (1, 2, 30, 100)]
    [0, 1, 2, 6]
    """
    return min(max(1, places // KEPT_PART), places - 1)
