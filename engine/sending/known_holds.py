"""The holds that this process has seen, for calls that go past the queue and should not be made during one."""

from __future__ import annotations

from collections.abc import Iterator

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import ChatId, Hold

KNOWN_MAX = 10_000
"""Holds that are remembered. untuned: beyond it those that have ended go, and then all; each costs one call more."""


class KnownHolds:
    """A process sees the holds that follow from its own calls; of others, and those of before its start, it knows none.

    So the answer costs nothing, and a call that is made all the same gets its own 429.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ms: dict[tuple[int, ChatId | None], int] = {}

    def note(self, hold: Hold) -> None:
        if len(self._until_ms) >= KNOWN_MAX:
            self._forget_ended()
        key = hold.bot_id, hold.chat_id
        self._until_ms[key] = max(hold.until_ms, self._until_ms.get(key, 0))

    def is_held(self, bot_id: int, chat_id: ChatId | None) -> bool:
        """Tell whether a chat, or its bot, is held now as far as this process knows."""
        if not self._until_ms:
            return False
        now_ms, known = self._clock(), self._until_ms
        return max(known.get((bot_id, chat_id), 0), known.get((bot_id, None), 0)) > now_ms

    def of_chats(self) -> Iterator[tuple[int, ChatId, int]]:
        """Return bot, chat and end of each hold of a single chat."""
        for (bot_id, chat_id), until_ms in self._until_ms.items():
            if chat_id is not None:
                yield bot_id, chat_id, until_ms

    def in_ms(self, ms: int) -> int:
        """Return the time at which a hold of so many milliseconds ends."""
        return self._clock() + ms

    def _forget_ended(self) -> None:
        now_ms = self._clock()
        left = {key: until_ms for key, until_ms in self._until_ms.items() if until_ms > now_ms}
        self._until_ms = left if len(left) < KNOWN_MAX else {}
