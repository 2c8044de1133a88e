"""Message ids: 26 hex digits that sort by the time of submission."""

from __future__ import annotations

import secrets

COUNT_MAX = 0xFFFFFF

LENGTH = 26


class Ids:
    """Makes ids: 12 digits of milliseconds, 6 of a counter, 8 of the process that made them.

    Ties in the order of a lane are broken by id, so two ids of one process never
    sort against the order in which they were made, even if the clock steps back; and none
    sorts before ``after``, the last id of earlier processes, if the clock stepped back in between.

    >>> ids = Ids(process=7)
    >>> ids.new(1_700_000_000_000), ids.new(1_600_000_000_000)
    ('018bcfe5680000000000000007', '018bcfe5680000000100000007')
    >>> Ids("018bcfe5680000000100000007", process=3).new(1_600_000_000_000)
    '018bcfe5680000000200000003'
    """

    def __init__(self, after: str = "", *, process: int | None = None) -> None:
        self._process = secrets.randbits(32) if process is None else process
        self._at_ms = int(after[:12] or "0", 16)
        self._count = int(after[12:18] or "0", 16)

    def new(self, now_ms: int) -> str:
        if now_ms > self._at_ms:
            self._at_ms, self._count = now_ms, 0
        elif self._count == COUNT_MAX:
            self._at_ms, self._count = self._at_ms + 1, 0
        else:
            self._count += 1
        return f"{self._at_ms:012x}{self._count:06x}{number_of(self._process)}"


def number_of(process: int) -> str:
    """Return how a process is written in the ids that it makes.

    >>> number_of(7)
    '00000007'
    """
    return f"{process:08x}"


def maker_of(message_id: str) -> str:
    """Return the number of the process that made an id; "" for an id of another format.

    >>> maker_of(Ids(process=7).new(1_700_000_000_000)), maker_of("a")
    ('00000007', '')
    """
    return message_id[18:] if len(message_id) == LENGTH else ""


def earliest(at_ms: int) -> str:
    """Return what sorts before every id made at or after a time, and after every one made before it.

    >>> earliest(1_700_000_000_000) <= Ids().new(1_700_000_000_000)
    True
    """
    return f"{at_ms:012x}"
