"""A service on loopback that counts by itself, and knows nothing of the limiters that call it.

Each request names its call (``GET /17``). It counts when it has arrived completely, and is answered ``answer_s`` later.
A server that ``refuses`` answers 429 to what breaks its limit, and counts only what it takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

END = b"\r\n\r\n"
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the service allows; 0 where it allows any number."""

    count: int = 0
    window_s: float = 1.0
    apart_s: float = 0.0
    concurrency: int = 0


@dataclass(slots=True)
class CountingServer:
    """What arrived, and what of it broke the rule.

    Attributes:
        arrived: The number of each call that it took, and when it arrived (``time.monotonic``).
        refused: How many it answered with 429.
        most_at_once: Calls that it was busy with.
    """

    rule: Rule
    answer_s: float
    refuses: bool = False
    url: str = ""
    arrived: list[tuple[int, float]] = field(default_factory=list)
    refused: int = 0
    busy: int = 0
    most_at_once: int = 0

    def take(self, number: int) -> bool:
        """Count a request that has arrived; False: it is refused."""
        now_s = time.monotonic()
        if self.refuses and self._breaks(now_s):
            self.refused += 1
            return False
        self.arrived.append((number, now_s))
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        return True

    @property
    def times_s(self) -> list[float]:
        return [at_s for _, at_s in self.arrived]

    def _breaks(self, now_s: float) -> bool:
        rule = self.rule
        if rule.concurrency and self.busy >= rule.concurrency:
            return True
        if rule.apart_s and self.arrived and now_s - self.arrived[-1][1] < rule.apart_s:
            return True
        return bool(rule.count) and over([*self.times_s[-rule.count :], now_s], rule) > 0


def over(times_s: Sequence[float], rule: Rule) -> int:
    """Count the calls that came when a window was full, wherever the window begins.

    >>> over([0.0, 0.1, 0.9, 1.0], Rule(count=2, window_s=1.0))
    2
    """
    if not rule.count:
        return 0
    return sum(later - first < rule.window_s for first, later in zip(times_s, times_s[rule.count :], strict=False))


def too_near(times_s: Sequence[float], rule: Rule) -> int:
    """Count the calls that came too soon after the one before.

    >>> too_near([0.0, 0.2, 0.3], Rule(apart_s=0.2))
    1
    """
    return sum(later - first < rule.apart_s for first, later in pairwise(times_s))


def overtaken(numbers: Sequence[int]) -> int:
    """Count the calls that arrived after one that was made later.

    >>> overtaken([0, 2, 1, 3])
    1
    """
    latest, count = -1, 0
    for number in numbers:
        count += number < latest
        latest = max(latest, number)
    return count


@asynccontextmanager
async def counting_server(rule: Rule, *, answer_s: float, refuses: bool = False) -> AsyncIterator[CountingServer]:
    counting = CountingServer(rule, answer_s, refuses)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(counting), "127.0.0.1", 0)
    counting.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield counting
    finally:
        server.close()


class _Connection(asyncio.Protocol):
    """Requests without a body, one after another."""

    def __init__(self, server: CountingServer) -> None:
        self._server = server
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while END in self._read:
            head, _, self._read = self._read.partition(END)
            if self._server.take(int(head.split(b" ", 2)[1].lstrip(b"/"))):
                asyncio.get_running_loop().call_later(self._server.answer_s, self._answer)
            else:
                self._transport.write(REFUSED)

    def _answer(self) -> None:
        self._server.busy -= 1
        if not self._transport.is_closing():
            self._transport.write(TAKEN)
