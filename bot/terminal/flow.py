"""Bounds how many lines a person is shown in a second; the others are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum

from tempogram.engine.ports import Clock

SECOND_MS = 1_000

MESSAGES_MAX = 12
"""Lines of ordinary messages a second. untuned: half a screen, and more than can be read."""

TROUBLES_MAX = 12
"""Lines of waits and failures, so that no flood of messages hides them."""

LOGGED_MAX = 50
"""Lines of the log: its user looks for each of them."""

PRINTED_MAX = 50
"""Lines that modules print, so that no flood of them hides an error in the log."""


class Share(Enum):
    """Lines that share a bound."""

    MESSAGES = "messages"
    TROUBLES = "troubles"
    LOGGED = "logged"
    PRINTED = "printed"


LINES_MAX: Mapping[Share, int] = {
    Share.MESSAGES: MESSAGES_MAX,
    Share.TROUBLES: TROUBLES_MAX,
    Share.LOGGED: LOGGED_MAX,
    Share.PRINTED: PRINTED_MAX,
}


class Kind(Enum):
    """What a line says, in a word for those that are only counted."""

    RECEIVED = "received"
    SENT = "sent"
    WAITS = "waiting"
    FAILED = "failed"
    LOGGED = "logged"
    PRINTED = "printed"
    OWN = "own"


SHARES: Mapping[Kind, Share] = {
    Kind.RECEIVED: Share.MESSAGES,
    Kind.SENT: Share.MESSAGES,
    Kind.WAITS: Share.TROUBLES,
    Kind.FAILED: Share.TROUBLES,
    Kind.LOGGED: Share.LOGGED,
    Kind.PRINTED: Share.PRINTED,
}
"""The program's own sentences have no bound: they are few, and one holds the admin token, which is shown once."""


class Flow:
    """Lets the first lines of each second through. A second begins with the first line after the one before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ms = 0
        self._shown: Counter[Share] = Counter()
        self._dropped: Counter[Kind] = Counter()

    def takes(self, kind: Kind) -> bool:
        """Tell whether a line is shown; ``rest`` is asked before."""
        if (share := SHARES.get(kind)) is None:
            return True
        now_ms = self._clock()
        if now_ms >= self._until_ms:
            self._until_ms = now_ms + SECOND_MS
            self._shown.clear()
        if self._shown[share] >= LINES_MAX[share]:
            self._dropped[kind] += 1
            return False
        self._shown[share] += 1
        return True

    def rest(self, *, is_last: bool = False) -> str | None:
        """Return, once a second is over or the last one, how many of its lines were not shown; None: all were."""
        if not self._dropped or (self._clock() < self._until_ms and not is_last):
            return None
        counts = ", ".join(f"{count:,} {kind.value}" for kind, count in self._dropped.items())
        total = self._dropped.total()
        self._dropped.clear()
        return f"… and {total:,} more in this second ({counts})"
