"""One HTTP call to Telegram: stored parameters out as they are, the answer as a value."""

from __future__ import annotations

import time
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from bot.albums import heed_parts
from bot.classify import classify
from bot.composer import body_of
from engine.messages import Lease
from engine.outcomes import Answer, Failed, Outcome, Overdue, Revoked, Uncertain
from engine.ports import Clock

FLOOR_KEPT_S = 60.0
"""How long the shortest round trip is believed: routes change. A guess."""


class TelegramTransport:
    """See ``Transport``. One pool of connections for all bots.

    When did Telegram count a call? Not later than it answered. A long way there and
    back would cost that much of every window, so the shortest round trip seen lately is
    taken off, but for ``guard_ms`` of it: decision 0001 has the reasons and the figures.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        api_url: str,
        token_of: Callable[[int], str | None],
        timeout_ms: int,
        guard_ms: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self._api_url = api_url
        self._token_of = token_of
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1_000)
        self._guard_ms = guard_ms
        self._clock = clock
        self._floor = Floor()

    async def send(self, lease: Lease) -> Answer:
        """See ``Transport``."""
        message = lease.message
        token = self._token_of(message.bot_id)
        if token is None:
            return Answer(Revoked("the bot has no token here"), counted_at_ms=None)
        body = TimedBody(body_of(message), until_ms=lease.expires_at_ms, clock=self._clock)
        outcome = await self._post(f"{self._api_url}/bot{token}/{message.method}", body)
        if body.written_s is None:
            return Answer(Overdue() if body.is_overdue else outcome, counted_at_ms=None)
        if isinstance(outcome, Revoked) and self._token_of(message.bot_id) != token:
            outcome = Failed("the bot got another token while this was sent", code=401)
        return Answer(heed_parts(message, outcome), self._counted_at_ms(outcome, body.written_s))

    async def _post(self, url: str, body: TimedBody) -> Outcome:
        try:
            async with self._session.post(url, data=body, timeout=self._timeout, allow_redirects=False) as response:
                return classify(response.status, await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # The text of aiohttp's errors may hold the address, and that holds the token.
            reason = type(error).__name__
            return Failed(reason) if body.written_s is None else Uncertain(reason)

    def _counted_at_ms(self, outcome: Outcome, written_s: float) -> int:
        now_ms = self._clock()
        if isinstance(outcome, Uncertain):
            return now_ms
        now_s = time.monotonic()
        floor_ms = int(self._floor.note(now_s - written_s, now_s) * 1_000)
        return now_ms - max(0, floor_ms - self._guard_ms)


class TimedBody(BytesPayload):
    """A JSON body that looks at its lease just before it is written, and notes when that was."""

    def __init__(self, value: bytes, *, until_ms: int, clock: Clock) -> None:
        super().__init__(value, content_type="application/json")
        self.written_s: float | None = None
        self.is_overdue = False
        self._until_ms = until_ms
        self._clock = clock

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # aiohttp keeps the headers back until the first byte of the body: nothing has left so far.
        if self._clock() >= self._until_ms:
            self.is_overdue = True
            raise TimeoutError("the lease ran out before the call was written")
        self.written_s = time.monotonic()
        await super().write_with_length(writer, content_length)


class Floor:
    """The shortest of the last round trips: over the running minute and the one before it.

    >>> floor = Floor()
    >>> floor.note(0.050, 0.0), floor.note(0.030, 1.0), floor.note(0.090, 61.0), floor.note(0.090, 200.0)
    (0.05, 0.03, 0.03, 0.09)
    """

    def __init__(self) -> None:
        self._since_s = 0.0
        self._now = float("inf")
        self._before = float("inf")

    def note(self, round_trip_s: float, now_s: float) -> float:
        if now_s - self._since_s >= FLOOR_KEPT_S:
            is_next = now_s - self._since_s < 2 * FLOOR_KEPT_S
            self._before = self._now if is_next else float("inf")
            self._now, self._since_s = float("inf"), now_s
        self._now = min(self._now, round_trip_s)
        return min(self._now, self._before)
