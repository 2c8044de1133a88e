"""A limit that a 429 lowers, because Telegram counts otherwise than we do, until its true height is found.

Left at once, then felt for, as TCP shares a line of unknown width; and the height that failed is remembered, as in
CUBIC: fast up to just under it, then a long stay, then one place more as a probe. A probe that fails doubles the next
stay; one that does not is followed by ever larger steps, as the height that failed is history.

A limit rises only by windows in which it was full: what nothing has used shows nothing. So it needs no timer. It is
asked at each lease, and a window begins at the end of the hold, because nothing is sent before.

Sources: Chiu, Jain: Analysis of the Increase and Decrease Algorithms for Congestion Avoidance, 1989;
https://www.rfc-editor.org/rfc/rfc9438 (CUBIC); https://www.rfc-editor.org/rfc/rfc7661 (only what is used may grow).
"""

from __future__ import annotations

from math import ceil

from tempogram.engine.limits.limits import Limit

DOWN_PERCENT = 70
"""What is left of the height that failed, for a start. As in CUBIC; TCP halved before.

untuned: half of the way back is made by the next window that is used."""

PATIENCE = 16
"""How many windows a limit stays just under the height that failed, before the first probe.

untuned: ``HOLDS_STAYED`` is longer where a hold is."""

PATIENCE_MAX = 256
"""The longest stay; untuned: some minutes for a bot, some hours for a group."""

HOLDS_STAYED = 10
"""A stay is at least so many times as long as the hold, so that failed probes cost a tenth of the time at most."""

KEPT_MS = 3_600_000
"""How long a limit that is not used is remembered as lowered.

untuned: shorter, and a bot that sends once an hour meets the same 429 each time; longer only takes memory."""

DOUBT_MS = 60_000
"""How long a 429 that our count does not explain makes us keep the guard: one window of a group.

untuned: while it is kept, each place stays taken for ``Limits.guard_ms`` longer, some percent of a second."""

BLAME_MS = 2_000
"""Two chats throttled within this time, neither near its limit: the bot is meant. From the design."""


class AdaptiveLimit:
    """How many places are used of a limit.

    >>> adapted = AdaptiveLimit(Limit(20, 60_000), least=0.3)
    >>> adapted.lower(0, until_ms=5_000, passed=12); adapted.places
    9
    >>> adapted.use(65_000, is_full=True); adapted.places
    11
    """

    __slots__ = (
        "_failed",
        "_held_until_ms",
        "_least",
        "_patience",
        "_rises_at_ms",
        "_stayed",
        "_step",
        "_waited",
        "_window_ms",
        "full",
        "kept_until_ms",
        "places",
    )

    def __init__(self, limit: Limit, *, least: float) -> None:
        self.full = self.places = limit.places
        self.kept_until_ms = 0
        self._least = max(1, ceil(self.full * least))
        self._window_ms = limit.window_ms
        self._failed = self.full
        self._held_until_ms = 0
        self._rises_at_ms = 0
        self._patience = PATIENCE
        self._waited = 0  # windows at the height just under the one that failed
        self._stayed = 0  # the height at which it stayed before it probed
        self._step = 1  # above 1 while it probes

    def lower(self, now_ms: int, *, until_ms: int, passed: int | None) -> None:
        """Take fewer places, after a 429 that holds until a time.

        Only once for a hold, because calls that were under way together are one sign. ``passed`` is how many calls of
        this window Telegram has taken, None if that is unknown. Where it is so few that they cannot be the reason, the
        height that failed is what we use now.
        """
        is_new = now_ms >= self._held_until_ms
        self._held_until_ms = max(self._held_until_ms, until_ms)
        self._rises_at_ms = self._held_until_ms + self._window_ms
        self.kept_until_ms = self._held_until_ms + KEPT_MS
        if not is_new:
            return
        if passed is None or not self._least <= passed < self.places:
            passed = self.places - 1
        is_probe = self._step > 1
        self._failed = max(passed, self._stayed) + 1 if is_probe else passed + 1
        start = self._failed - 1 if is_probe else self._failed * DOWN_PERCENT // 100
        self.places = min(self.places, max(self._least, start))
        stay = HOLDS_STAYED * (until_ms - now_ms) // self._window_ms
        self._patience = min(PATIENCE_MAX, max(2 * self._patience if is_probe else self._patience, stay))
        self._waited, self._step = 0, 1

    def use(self, now_ms: int, *, is_full: bool) -> None:
        """Note that a place was taken; ``is_full`` if none is left. Rise, if a window was full since the last time."""
        if now_ms >= self.kept_until_ms:
            self.places = self.full
        self.kept_until_ms = max(self.kept_until_ms, now_ms + KEPT_MS)
        if not is_full or now_ms < self._rises_at_ms:
            return
        self._rises_at_ms = now_ms + self._window_ms
        below = self._failed - 1 - self.places
        if below > 0:
            self.places += (below + 1) // 2
        elif self._step == 1 and self._waited < self._patience:
            self._waited += 1
        else:
            self._stayed = self.places if self._step == 1 else self._stayed
            self.places = min(self.full, self.places + self._step)
            self._step *= 2

    @property
    def is_lower(self) -> bool:
        return self.places < self.full
