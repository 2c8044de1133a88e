"""When a bot is failing, and when it is tried meanwhile.

A call *fails* when nothing shows that Telegram has taken it in: a 5xx, no connection, a time-out. A bot whose calls all
fail is held, but for a trial now and then; one whose calls fail in some chats is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tempogram.engine.model.messages import ChatId

FAILURES_MIN = 5
"""Fewer calls that failed are no evidence. untuned: with fewer, little is sent in vain."""

CHATS_MIN = 2
"""If only one chat fails, it waits by itself for its retry, and the bot need not."""

FAILING_AFTER_MS = 2_000
"""How long nothing must have succeeded: the calls of some chats may fail together though others would succeed.

untuned: a bot that sends to others succeeds in far less; and calls that hang have taken longer when they fail."""

TRIAL_MS_MIN = 1_000
TRIAL_MS_MAX = 30_000
"""Between two trials of a bot: at first the shorter, then twice as long after each, up to the longer.

untuned: a trial costs one call, and the longer is the longest that a bot waits after it could send again."""


class Trials:
    """When the next trial may begin. The time to the one after it is twice as long, whatever becomes of it.

    So a trial that hangs delays no other. One that makes no call was none: another may begin at once.

    >>> trials = Trials(0)
    >>> trials.at_ms
    1000
    >>> trials.begin("a", 1_000); trials.at_ms
    3000
    >>> trials.give_back("a"); trials.at_ms
    True
    1000
    """

    __slots__ = ("_message_id", "_pause_before_ms", "_pause_ms", "at_ms")

    def __init__(self, now_ms: int) -> None:
        self._message_id = ""  # of the last trial
        self._pause_ms = self._pause_before_ms = TRIAL_MS_MIN
        self.at_ms = now_ms + TRIAL_MS_MIN

    def begin(self, message_id: str, now_ms: int) -> None:
        self._message_id, self._pause_before_ms = message_id, self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, TRIAL_MS_MAX)
        self.at_ms = now_ms + self._pause_ms

    def give_back(self, message_id: str) -> bool:
        """Undo the last trial; False if it was none of this message."""
        is_last = self._message_id == message_id
        if is_last:
            self.at_ms -= self._pause_ms
            self._message_id, self._pause_ms = "", self._pause_before_ms
        return is_last


class Failing:
    """How long a bot has been failing, and its trials, in chats that have failed and in others.

    A trial in any chat delays the next in a chat that has failed, but not the other way round: or many in vain would
    delay the first in a chat that is new.
    """

    __slots__ = ("_in_failed_chats", "_in_other_chats", "since_ms")

    def __init__(self, now_ms: int) -> None:
        self.since_ms = now_ms
        self._in_failed_chats = Trials(now_ms)
        self._in_other_chats = Trials(now_ms)

    def tried_at_ms(self, *, in_failed_chat: bool) -> int:
        """Return when the next trial may begin."""
        return (self._in_failed_chats if in_failed_chat else self._in_other_chats).at_ms

    def begin_trial(self, message_id: str, now_ms: int, *, in_failed_chat: bool) -> None:
        self._in_failed_chats.begin(message_id, now_ms)
        if not in_failed_chat:
            self._in_other_chats.begin(message_id, now_ms)

    def give_back_trial(self, message_id: str) -> bool:
        in_failed, in_others = self._in_failed_chats.give_back(message_id), self._in_other_chats.give_back(message_id)
        return in_failed or in_others


class Health:
    """What the calls of a bot have shown since its last success.

    Attributes:
        called_since_ms: When the first of them began; 0: none has.
        failing: While it is failing.
        failures: How many of them failed.
    """

    __slots__ = ("_chats", "called_since_ms", "failing", "failures")

    def __init__(self) -> None:
        self.called_since_ms = 0
        self.failing: Failing | None = None
        self.failures = 0
        self._chats: tuple[ChatId | None, ...] = ()  # that failed: two at most

    def begin_call(self, message_id: str, now_ms: int, *, in_failed_chat: bool) -> None:
        """Note a lease; while the bot is failing it is a trial."""
        if not self.called_since_ms:
            self.called_since_ms = now_ms
        if self.failing is not None:
            self.failing.begin_trial(message_id, now_ms, in_failed_chat=in_failed_chat)

    def give_back(self, message_id: str) -> bool:
        """Take back a call that was not made, or showed nothing; True if another trial may begin instead."""
        return self.failing is not None and self.failing.give_back_trial(message_id)

    def fail(self, chat_id: ChatId | None, now_ms: int, *, resolve: Callable[[ChatId | None], ChatId | None]) -> bool:
        """Note a call that failed; True if the bot is failing from now on. ``resolve`` tells a chat's id of now."""
        self.called_since_ms = self.called_since_ms or now_ms
        self.failures += 1
        self._chats = _first_two((*map(resolve, self._chats), chat_id))
        begins = (
            self.failing is None
            and self.failures >= FAILURES_MIN
            and len(self._chats) >= CHATS_MIN
            and now_ms - self.called_since_ms >= FAILING_AFTER_MS
        )
        if begins:
            self.failing = Failing(now_ms)
        return begins

    def succeed(self) -> Failing | None:
        """Forget all that failed; return what ends by it, if the bot was failing."""
        ended = self.failing
        self.called_since_ms, self.failures, self._chats, self.failing = 0, 0, (), None
        return ended


def _first_two(chats: Iterable[ChatId | None]) -> tuple[ChatId | None, ...]:
    return tuple(dict.fromkeys(chats))[:CHATS_MIN]
