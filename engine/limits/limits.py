"""How many in how long: the limits as versioned data, checked when they are built.

Sources: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.messages import ChatId, Priority

DAY_MS = 86_400_000

GUARD_IN_DOUBT_MS = 25
"""How much longer a place stays taken while our own count is in doubt; decision 0001 has the reason."""

PLACES_A_STAR = 10
"""What a bot may pay for with one Star, if none of it were free.

Source: https://core.telegram.org/bots/faq#how-can-i-message-all-of-my-bot-39s-subscribers-at-once
"""

PURSE_GRAINS = 1_440
"""Into how many grains the window of a purse is cut: minutes of a day."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``count`` places in any ``window_ms``; with ``burst``, a token bucket besides.

    The bucket has the capacity ``burst`` and is refilled at ``count`` a window. By itself it
    leaks: it lets ``burst`` more through than its rate in the first window (a bucket of 20
    refilled at 20 a minute passes 39 in a minute). So the window holds besides it, unless
    ``leaks`` says that the rule is itself a rate with a burst (a private chat's).
    ``count`` 0 is no limit.
    """

    count: int
    window_ms: int
    burst: int | None = None
    leaks: bool = False

    def __post_init__(self) -> None:
        if self.count < 0:
            raise SettingsError(f"a limit of {self.count} is below 0; 0 means no limit")
        if self.window_ms < 1:
            raise SettingsError(f"a window of {self.window_ms} ms is shorter than 1 ms")
        if self.burst is not None and self.burst < 1:
            raise SettingsError(f"a burst of {self.burst} lets nothing through; it must be at least 1")

    @property
    def has_window(self) -> bool:
        return not (self.leaks and self.burst)

    @property
    def places(self) -> int:
        """How many may be taken at once, or messages be under way; 0 is no limit.

        A bucket besides a window is refilled while calls are under way, so only the window counts.
        """
        if not self.count:
            return 0
        return self.count if self.has_window else self.burst or self.count

    @property
    def drains_in_ms(self) -> int:
        """How long what was sent before may weigh on a bucket that leaks, beyond its window.

        >>> Limit(1, 1_000, burst=3, leaks=True).drains_in_ms, Limit(20, 60_000).drains_in_ms
        (3000, 0)
        """
        if self.has_window or not self.burst or not self.count:
            return 0
        return -(-self.window_ms * self.burst // self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit and weight, as one value. A broker takes a newer ``version`` and ignores an older one.

    Attributes:
        ceiling: Over all bots. No rule of Telegram's; our own.
        bot: One bot over all its chats.
        paid: One bot's paid messages, which take no place of ``bot``.
        purse: How many places one bot may pay for, 0.1 Star each at most; 0 is none at all.
        chat: One private chat: about 1 a second, short bursts are tolerated.
        group: One group, supergroup or channel: a true sliding window, like those of bots and the ceiling,
            each with a bucket besides it if its ``burst`` is set.
        user: What one user may make one bot send, in all chats. No rule of Telegram's; our own.
        saved_up: Normal and low leave a bot (and the ceiling) spaced by window / count; this many
            may leave at once after a pause, and the rest of the places is left for high. The places
            of such a burst become free together, and as many slots before that all places are taken:
            with 5, an urgent message could wait for 160 ms, with 2 for one slot.
        guard_ms: How much longer a place stays taken while our own count is in doubt: after a restart, and
            for a minute after a 429 that it does not explain, in that chat, or in the bot if it is meant.
        adapt_least: A 429 lowers the limit of its chat, or of its bot if it is meant, at most to this share of
            it; it rises again as far as Telegram bears it. 1 is never.
        shares: How priorities share, by stride scheduling.
        chat_cap: How many may wait for one chat of one bot; 0 is no cap.
        bot_cap: The same for one bot.
    """

    version: int = 1
    ceiling: Limit = Limit(30, 1_000)
    bot: Limit = Limit(30, 1_000)
    paid: Limit = Limit(1_000, 1_000)
    purse: Limit = Limit(0, DAY_MS)
    chat: Limit = Limit(1, 1_000, burst=3, leaks=True)
    group: Limit = Limit(20, 60_000)
    user: Limit = Limit(0, 60_000)
    saved_up: int = 2
    guard_ms: int = GUARD_IN_DOUBT_MS
    adapt_least: float = 0.3
    shares: Mapping[Priority, int] = field(
        default_factory=lambda: {Priority.HIGH: 16, Priority.NORMAL: 4, Priority.LOW: 1}
    )
    chat_cap: int = 10_000
    bot_cap: int = 1_000_000

    def __post_init__(self) -> None:
        for priority in Priority:
            if self.shares.get(priority, 0) < 1:
                raise SettingsError(f"the share of {priority} is {self.shares.get(priority)}; at least 1")
        if not 0 < self.adapt_least <= 1:
            raise SettingsError(f"adapt_least is {self.adapt_least}; it is a share, above 0 and at most 1")
        if self.saved_up < 1:
            raise SettingsError(f"saved_up is {self.saved_up}; at least 1, or no message would ever leave")

    def of_chat(self, chat_id: ChatId | None) -> Limit | None:
        """Return the limit of one chat: a group's or a private one's, None where no chat is meant.

        >>> Limits().of_chat(-100123).count, Limits().of_chat("@news").count, Limits().of_chat(7).burst
        (20, 20, 3)
        """
        match chat_id:
            case None:
                return None
            case int():
                return self.group if chat_id < 0 else self.chat
            case str():
                return self.group if chat_id.startswith("@") else None


SPACING_PRIORITIES = (Priority.NORMAL, Priority.LOW)
"""Those that leave spaced; high may use every free place."""
