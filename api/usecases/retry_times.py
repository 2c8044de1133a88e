"""When callers of the Bot API door are to come back whose messages were taken back: so that each finds a place.

A message that is taken back leaves nothing behind in the queue, so the explanation of the next one knows nothing of
it: a hundred callers would all be asked to come back at once, and ninety of them in vain. So each limit (a chat's, a
bot's, the ceiling) has a clock here, which every promise moves on by one gap: window / count. And those that wait here
still are not counted as being before it (``WaitingCalls``): what of them is not sent soon is taken back, and promised a
time of its own. A promise takes no place: what comes meanwhile may have any that is free.

What comes back as it was asked to is recognised by what it says (``Returning``), so that newcomers do not keep it out.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import ChatId, Outgoing
from tempogram.engine.ports import Clock, Explanation

CLOCKS_MAX = 10_000
"""Clocks that are kept; those that stand in the past go first. untuned: a flood of one bot has one for each chat."""

AHEAD_MS_MAX = 300_000
"""How far promises move a clock at most beyond what the queue itself says. Many clients never come back, and those that
do are asked once more. untuned: 100 calls to one group, 9,000 of one bot."""

CEILING_AHEAD_MS_MAX = 10_000
"""The same for the ceiling, which all bots share: one bot's callers must not send those of others away for long, as the
queue gives each bot its turn. untuned."""

UNKNOWN_S = 60
"""For a message of a bot that is paused: only an operator knows until when. untuned."""

RETURNS_MAX = 10_000
"""Callers that are expected; more are newcomers when they come. untuned."""

EARLY_MS, LATE_MS = 1_000, 30_000
"""How far from its time a caller is still expected: ``retry_after`` has whole seconds, and clients add to it."""

Key = tuple[str, int, ChatId]


class RetryTimes:
    """Promises each caller a time of its own; see above."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at_ms: dict[Key, int] = {}

    def promise(self, message: Outgoing, explanation: Explanation | None, limits: Limits, *, taken_back: int) -> int:
        """Return when a message that was taken back will find a place, in milliseconds since the epoch.

        Args:
            message: What was taken back.
            explanation: Why the oldest message of the door to its chat waited; None: it is not known.
            limits: Those in force.
            taken_back: How many of those before it will be taken back, or are sent before it could come back.
        """
        now_ms = self._clock()
        if explanation is None:
            return now_ms
        if explanation.earliest_at_ms is None:
            return now_ms + UNKNOWN_S * 1_000
        times = [explanation.earliest_at_ms]
        if message.cost:
            before = max(0, explanation.before_in_line - taken_back)
            bot_id, chat_id, cost = message.bot_id, message.chat_id, message.cost
            ceiling, bot = _after(now_ms, limits.ceiling, before), _after(now_ms, limits.bot, before)
            times += [
                self._next(("ceiling", 0, 0), limits.ceiling, ceiling, cost=cost, ahead_ms=CEILING_AHEAD_MS_MAX),
                self._next(("bot", bot_id, 0), limits.bot, bot, cost=cost),
            ]
            if chat_id is not None and (limit := limits.of_chat(chat_id)) is not None:
                times.append(self._next(("chat", bot_id, chat_id), limit, times[0], cost=cost))
        return max(times)

    def expected_at(self, explanation: Explanation, limits: Limits) -> int:
        """Return when a message that keeps its place is sent at the earliest, those before it counted."""
        now_ms = self._clock()
        if explanation.earliest_at_ms is None:
            return now_ms + UNKNOWN_S * 1_000
        gaps_ms = [each.window_ms / each.count for each in (limits.ceiling, limits.bot) if each.count]
        return max(explanation.earliest_at_ms, now_ms + round(explanation.before_in_line * max(gaps_ms, default=0)))

    def _next(self, key: Key, limit: Limit, from_ms: int, *, cost: int, ahead_ms: int = AHEAD_MS_MAX) -> int:
        """Return when a limit has room after all that it was promised to, and promise it.

        Args:
            key: Of its clock.
            limit: The limit.
            from_ms: When it has room if nothing is promised.
            cost: Places that are promised.
            ahead_ms: How far its clock may be ahead of ``from_ms``.
        """
        if not limit.count:
            return from_ms
        at_ms = min(max(self._free_at_ms.get(key, 0), from_ms), from_ms + ahead_ms)
        if len(self._free_at_ms) >= CLOCKS_MAX:
            self._forget_past()
        self._free_at_ms[key] = _after(at_ms, limit, cost)
        return at_ms

    def _forget_past(self) -> None:
        now_ms = self._clock()
        left = {key: at_ms for key, at_ms in self._free_at_ms.items() if at_ms > now_ms}
        self._free_at_ms = left if len(left) < CLOCKS_MAX else {}


def _after(from_ms: int, limit: Limit, places: int) -> int:
    """Return when so many places have been given out, one after the other."""
    return from_ms + round(places * limit.window_ms / limit.count) if limit.count else from_ms


class WaitingCalls:
    """The messages of the door that wait, by chat, and how many a bot has."""

    def __init__(self) -> None:
        self._of_chat: dict[tuple[int, ChatId | None], dict[str, None]] = {}
        self._of_bot: Counter[int] = Counter()

    @contextmanager
    def including(self, message: Outgoing) -> Iterator[None]:
        """Count a message until the block ends."""
        self._of_bot[message.bot_id] += 1
        self.join(message)
        try:
            yield
        finally:
            self.leave(message)
            self._of_bot[message.bot_id] -= 1
            if not self._of_bot[message.bot_id]:
                del self._of_bot[message.bot_id]

    def join(self, message: Outgoing) -> None:
        """Take a message for one that waits."""
        self._of_chat.setdefault((message.bot_id, message.chat_id), {})[message.id] = None

    def leave(self, message: Outgoing) -> None:
        """Take a message for one that is being taken back. It counts still: the queue may have it for a while."""
        key = message.bot_id, message.chat_id
        self._of_chat.get(key, {}).pop(message.id, None)
        if not self._of_chat.get(key, True):
            del self._of_chat[key]

    def oldest(self, message: Outgoing) -> str:
        """Return the id of the oldest message to the same chat."""
        return next(iter(self._of_chat[message.bot_id, message.chat_id]))

    def of_bot(self, bot_id: int) -> int:
        return self._of_bot[bot_id]


class Returning:
    """The callers that were asked to come back, by a fingerprint of what they say."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_ms: dict[bytes, tuple[int, int]] = {}  # when, and for which bot
        self._in_order: list[tuple[int, bytes]] = []  # a heap
        self._of_bot: Counter[int] = Counter()

    def expect(self, fingerprint: bytes, bot_id: int, at_ms: int) -> None:
        """Expect a caller at a time."""
        self._forget_late()
        if len(self._due_ms) >= RETURNS_MAX or fingerprint in self._due_ms:
            return
        self._due_ms[fingerprint] = at_ms, bot_id
        self._of_bot[bot_id] += 1
        heapq.heappush(self._in_order, (at_ms, fingerprint))

    def comes_back(self, fingerprint: bytes) -> bool:
        """Tell whether a caller is expected now, and expect it no more."""
        self._forget_late()
        at_ms, _ = self._due_ms.get(fingerprint, (None, 0))
        if at_ms is None or self._clock() < at_ms - EARLY_MS:
            return False
        self._forget(fingerprint)
        return True

    def is_any_expected(self, bot_id: int) -> bool:
        """Tell whether any caller of a bot is to come back yet."""
        self._forget_late()
        return self._of_bot[bot_id] > 0

    def _forget(self, fingerprint: bytes) -> None:
        _, bot_id = self._due_ms.pop(fingerprint)
        self._of_bot[bot_id] -= 1
        if not self._of_bot[bot_id]:
            del self._of_bot[bot_id]

    def _forget_late(self) -> None:
        late_ms = self._clock() - LATE_MS
        while self._in_order and self._in_order[0][0] < late_ms:
            at_ms, fingerprint = heapq.heappop(self._in_order)
            if self._due_ms.get(fingerprint, (None, 0))[0] == at_ms:
                self._forget(fingerprint)
