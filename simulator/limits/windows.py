"""Decides whether a call may be sent now: sliding windows, a bucket for private chats, penalties for breaking them.

Nothing here reads a clock; every function takes the time of arrival, in nanoseconds that never run back.
"""

from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from tempogram.simulator.settings import SimulatorSettings

MS = 1_000_000  # nanoseconds
SECOND = 1_000 * MS
VIOLATIONS_KEPT = 1_000
IDLE_KEPT = 10_000  # below this many chats it is not worth looking for idle ones

Scope = Literal["bot", "paid", "group", "private", "total", "webhook"]
Cause = Literal["window", "penalty", "ordered"]
BotChat = tuple[int, int]  # bot id and chat id; chat 0 stands for the bot as a whole


@dataclass(frozen=True, slots=True)
class Throttle:
    """A call that is not let through; ``cause`` says whether it broke a window or came during a wait."""

    retry_after_s: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Violation:
    """One window broken once."""

    window: Scope
    at_ns: int
    bot_id: int
    chat_id: int


@dataclass(frozen=True, slots=True)
class Busiest:
    """The most places ever taken in one window of this kind, and of which bot and chat."""

    places: int = 0
    bot_id: int = 0
    chat_id: int = 0


@dataclass(slots=True)
class Penalty:
    """A wait with an absolute end; ``ordered`` ones come from a fault and do not grow."""

    until_ns: int
    length_ns: int
    ordered: bool
    asked: int = 0


class SlidingWindow:
    """At most ``limit`` places in any span of ``span_ns``, both given by the caller at each question."""

    __slots__ = ("_taken_ns",)

    def __init__(self) -> None:
        self._taken_ns: list[int] = []

    def count(self, *, now_ns: int, span_ns: int) -> int:
        """Count the places taken in the span that ends now, and forget older ones."""
        taken_ns = self._taken_ns
        # A place taken exactly one span ago is free again.
        if taken_ns and taken_ns[0] <= now_ns - span_ns:
            del taken_ns[: bisect_right(taken_ns, now_ns - span_ns)]
        return len(taken_ns)

    def count_since(self, since_ns: int) -> int:
        """Count the places taken after a time; none is forgotten."""
        return len(self._taken_ns) - bisect_right(self._taken_ns, since_ns)

    def free_at_ns(self, cost: int, *, limit: int, now_ns: int, span_ns: int) -> int:
        """Return when ``cost`` places are free: ``now_ns`` if they are.

        What costs more than the whole window holds may go when the window is empty.
        """
        last_blocking = self.count(now_ns=now_ns, span_ns=span_ns) - max(limit - cost, 0) - 1
        return now_ns if last_blocking < 0 else self._taken_ns[last_blocking] + span_ns

    def take(self, cost: int, *, now_ns: int) -> None:
        """Take places, free or not."""
        if cost == 1:
            self._taken_ns.append(now_ns)
        else:
            self._taken_ns.extend([now_ns] * cost)

    def absorb(self, other: "SlidingWindow") -> None:
        """Take also what another window holds."""
        self._taken_ns = sorted([*self._taken_ns, *other.taken_ns])

    @property
    def taken_ns(self) -> tuple[int, ...]:
        """When each place was taken, oldest first."""
        return tuple(self._taken_ns)


@dataclass(slots=True)
class Windows:
    """All windows and penalties of the simulated Telegram."""

    settings: SimulatorSettings
    violations: deque[Violation] = field(default_factory=lambda: deque(maxlen=VIOLATIONS_KEPT))
    violations_by_window: Counter[str] = field(default_factory=Counter)
    busiest: dict[str, Busiest] = field(default_factory=dict)
    _total: SlidingWindow = field(default_factory=SlidingWindow)
    _bots: dict[int, SlidingWindow] = field(default_factory=dict)
    _paid: dict[int, SlidingWindow] = field(default_factory=dict)
    _groups: dict[BotChat, SlidingWindow] = field(default_factory=dict)
    _webhooks: dict[int, SlidingWindow] = field(default_factory=dict)
    # When a private chat's bucket is full again; GCRA calls it the theoretical arrival time.
    _privates_full_at_ns: dict[BotChat, int] = field(default_factory=dict)
    _penalties: dict[BotChat, Penalty] = field(default_factory=dict)
    _look_for_idle_at: int = IDLE_KEPT

    def admit(self, bot_id: int, chat_id: int, cost: int, *, now_ns: int, is_paid: bool = False) -> Throttle | None:
        """Take ``cost`` places in every window of this chat, or none and say how long to wait.

        Args:
            bot_id: The bot that sends.
            chat_id: Negative for groups, supergroups and channels.
            cost: Messages in this call: the items of an album, the messages of a forward.
            now_ns: When the request had fully arrived.
            is_paid: It uses the bot's paid window instead of its free one.
        """
        if self._penalties:
            waiting = self._standing_penalty(bot_id, chat_id, now_ns)
            if waiting is not None:
                return waiting
        broken = self._broken(bot_id, chat_id, cost, now_ns, is_paid=is_paid)
        if broken:
            self._note_violations(broken, bot_id, chat_id, now_ns)
            refusing = {scope: at for scope, at in broken.items() if scope != "total" or self.settings.total_enforced}
            if refusing:
                return self._punish(refusing, bot_id, chat_id, now_ns)
        self._take(bot_id, chat_id, cost, now_ns, is_paid=is_paid)
        return None

    def above_free(self, bot_id: int, cost: int, *, now_ns: int) -> int:
        """Return how many of the last ``cost`` places of a bot are beyond what it may send for nothing.

        Source: https://core.telegram.org/bots/faq#how-can-i-message-all-of-my-bot-39s-subscribers-at-once
        """
        limit, span_ns = self.settings.bot_limit, self.settings.bot_window_ms * MS
        windows = (of.get(bot_id) for of in (self._bots, self._paid))
        taken = sum(window.count_since(now_ns - span_ns) for window in windows if window is not None)
        return min(cost, max(0, taken - limit)) if limit else 0

    def admit_webhook(self, bot_id: int, *, now_ns: int) -> Throttle | None:
        """Let ``setWebhook`` through once a second for each bot."""
        limit, span_ns = self.settings.webhook_limit, self.settings.webhook_window_ms * MS
        window = self._webhooks.setdefault(bot_id, SlidingWindow())
        free_at_ns = window.free_at_ns(1, limit=limit, now_ns=now_ns, span_ns=span_ns) if limit else now_ns
        if free_at_ns > now_ns:
            self._note_violations({"webhook": free_at_ns}, bot_id, 0, now_ns)
            return Throttle(_seconds_until(free_at_ns, now_ns), "window")
        window.take(1, now_ns=now_ns)
        return None

    def hold(self, bot_id: int, chat_id: int, *, for_s: int, now_ns: int) -> None:
        """Refuse everything to one chat of a bot (chat 0: to all of them) until a time, as ordered."""
        length_ns = for_s * SECOND
        self._penalties[bot_id, chat_id] = Penalty(now_ns + length_ns, length_ns, ordered=True)

    def take(self, bot_id: int, chat_id: int, cost: int, *, now_ns: int) -> None:
        """Take places without asking whether they are free."""
        self._take(bot_id, chat_id, cost, now_ns)

    def move(self, chat_id: int, to_chat_id: int) -> None:
        """Move what all bots took of one group, and their waits there, to the supergroup that it became."""
        for place in [place for place in self._groups if place[1] == chat_id]:
            new_place = (place[0], to_chat_id)
            self._groups.setdefault(new_place, SlidingWindow()).absorb(self._groups.pop(place))
        for place in [place for place in self._penalties if place[1] == chat_id]:
            self._penalties[place[0], to_chat_id] = self._penalties.pop(place)

    def _standing_penalty(self, bot_id: int, chat_id: int, now_ns: int) -> Throttle | None:
        standing = [
            penalty
            for place in ((bot_id, 0), (bot_id, chat_id))
            if (penalty := self._penalties.get(place)) is not None and not self._is_over(place, penalty, now_ns)
        ]
        if not standing:
            return None
        for penalty in standing:
            self._grow(penalty, now_ns)
        longest = max(standing, key=lambda penalty: penalty.until_ns)
        return Throttle(_seconds_until(longest.until_ns, now_ns), "ordered" if longest.ordered else "penalty")

    def _is_over(self, place: BotChat, penalty: Penalty, now_ns: int) -> bool:
        if penalty.until_ns > now_ns:
            return False
        del self._penalties[place]
        return True

    def _grow(self, penalty: Penalty, now_ns: int) -> None:
        penalty.asked += 1
        if penalty.ordered or penalty.asked <= self.settings.penalty_patience:
            return
        cap_ns = self.settings.penalty_cap_s * SECOND
        penalty.length_ns = min(round(penalty.length_ns * self.settings.penalty_growth), cap_ns)
        penalty.until_ns = max(penalty.until_ns, now_ns + penalty.length_ns)

    def _broken(self, bot_id: int, chat_id: int, cost: int, now_ns: int, *, is_paid: bool) -> dict[Scope, int]:
        """Return the windows without room, each with the time at which it has room."""
        settings = self.settings
        broken: dict[Scope, int] = {}
        scope, limit, window_ms, windows = self._of_bot(is_paid=is_paid)
        if limit and (bot := windows.get(bot_id)):
            free_at_ns = bot.free_at_ns(cost, limit=limit, now_ns=now_ns, span_ns=window_ms * MS)
            if free_at_ns > now_ns:
                broken[scope] = free_at_ns
        chat_free_at_ns = self._chat_free_at_ns(bot_id, chat_id, cost, now_ns)
        if chat_free_at_ns > now_ns:
            broken["group" if chat_id < 0 else "private"] = chat_free_at_ns
        if settings.total_limit:
            free_at_ns = self._total.free_at_ns(
                cost, limit=settings.total_limit, now_ns=now_ns, span_ns=settings.total_window_ms * MS
            )
            if free_at_ns > now_ns:
                broken["total"] = free_at_ns
        return broken

    def _of_bot(self, *, is_paid: bool) -> tuple[Scope, int, int, dict[int, SlidingWindow]]:
        if is_paid:
            return "paid", self.settings.paid_limit, self.settings.paid_window_ms, self._paid
        return "bot", self.settings.bot_limit, self.settings.bot_window_ms, self._bots

    def _chat_free_at_ns(self, bot_id: int, chat_id: int, cost: int, now_ns: int) -> int:
        settings = self.settings
        if chat_id >= 0:
            return self._private_free_at_ns((bot_id, chat_id), cost, now_ns)
        group = self._groups.get((bot_id, chat_id))
        if group is None or not settings.group_limit:
            return now_ns
        return group.free_at_ns(cost, limit=settings.group_limit, now_ns=now_ns, span_ns=settings.group_window_ms * MS)

    def _private_free_at_ns(self, place: BotChat, cost: int, now_ns: int) -> int:
        full_at_ns = self._privates_full_at_ns.get(place)
        if full_at_ns is None or not self.settings.private_limit:
            return now_ns
        # An album larger than the bucket goes when the bucket is full, and is paid off afterwards.
        may_be_missing = max(self.settings.private_burst - cost, 0)
        return full_at_ns - may_be_missing * self._private_refill_ns()

    def _private_refill_ns(self) -> int:
        return self.settings.private_window_ms * MS // self.settings.private_limit

    def _take(self, bot_id: int, chat_id: int, cost: int, now_ns: int, *, is_paid: bool = False) -> None:
        settings = self.settings
        scope, _, window_ms, windows = self._of_bot(is_paid=is_paid)
        bot = windows.get(bot_id)
        if bot is None:
            bot = windows[bot_id] = SlidingWindow()
        self._take_window(scope, bot, window_ms, (bot_id, 0), cost, now_ns)
        self._take_window("total", self._total, settings.total_window_ms, (0, 0), cost, now_ns)
        place = (bot_id, chat_id)
        if chat_id < 0:
            group = self._groups.get(place)
            if group is None:
                group = self._new_group(place, now_ns)
            self._take_window("group", group, settings.group_window_ms, place, cost, now_ns)
        elif settings.private_limit:
            full_at_ns = max(self._privates_full_at_ns.get(place, 0), now_ns)
            self._privates_full_at_ns[place] = full_at_ns + cost * self._private_refill_ns()
            self._forget_idle(now_ns)

    def _take_window(
        self, scope: Scope, window: SlidingWindow, window_ms: int, place: BotChat, cost: int, now_ns: int
    ) -> None:
        window.take(cost, now_ns=now_ns)
        places = window.count(now_ns=now_ns, span_ns=window_ms * MS)
        busiest = self.busiest.get(scope)
        if busiest is None or places > busiest.places:
            self.busiest[scope] = Busiest(places, *place)

    def _new_group(self, place: BotChat, now_ns: int) -> SlidingWindow:
        self._forget_idle(now_ns)
        group = self._groups[place] = SlidingWindow()
        return group

    def _forget_idle(self, now_ns: int) -> None:
        """Drop chats whose windows are empty; amortised, since the mark doubles with what is in use."""
        if len(self._groups) + len(self._privates_full_at_ns) < self._look_for_idle_at:
            return
        span_ns = self.settings.group_window_ms * MS
        self._groups = {
            place: group for place, group in self._groups.items() if group.count(now_ns=now_ns, span_ns=span_ns)
        }
        self._privates_full_at_ns = {
            place: full_at_ns for place, full_at_ns in self._privates_full_at_ns.items() if full_at_ns > now_ns
        }
        self._penalties = {place: penalty for place, penalty in self._penalties.items() if penalty.until_ns > now_ns}
        in_use = len(self._groups) + len(self._privates_full_at_ns)
        self._look_for_idle_at = max(IDLE_KEPT, 2 * in_use)

    def _note_violations(self, broken: dict[Scope, int], bot_id: int, chat_id: int, now_ns: int) -> None:
        for scope in broken:
            self.violations_by_window[scope] += 1
            self.violations.append(Violation(scope, now_ns, bot_id, chat_id))

    def _punish(self, broken: dict[Scope, int], bot_id: int, chat_id: int, now_ns: int) -> Throttle:
        waits_s = []
        for scope, free_at_ns in broken.items():
            is_of_bot = scope in {"bot", "paid"}
            wait_s = self.settings.bot_penalty_s if is_of_bot else _seconds_until(free_at_ns, now_ns)
            waits_s.append(wait_s)
            # The ceiling over all bots is no single bot's fault: it refuses, and holds none.
            if scope != "total":
                place = (bot_id, 0 if is_of_bot else chat_id)
                length_ns = wait_s * SECOND
                self._penalties[place] = Penalty(now_ns + length_ns, length_ns, ordered=False)
        return Throttle(max(waits_s), "window")


def _seconds_until(at_ns: int, now_ns: int) -> int:
    """Round up to whole seconds, at least one.

    >>> _seconds_until(2_000_000_001, 0), _seconds_until(5, 0)
    (3, 1)
    """
    return max(1, -((now_ns - at_ns) // SECOND))
