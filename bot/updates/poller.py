"""Fetches updates by long polling, for bots without a webhook."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import structlog

from tempogram.api.core.ports import Intake, IntakeFull, Refusal
from tempogram.bot.proxy.errors import why_unanswered
from tempogram.bot.telegram.responses import classify, header_wait_s
from tempogram.bot.updates.nesting import update_id_in, updates_in
from tempogram.bot.updates.source_health import SourceHealth
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.outcomes import Failed, Outcome, Rejected, Revoked, Throttled, Uncertain
from tempogram.engine.ports import Clock
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

POLL_S = 25
"""How long Telegram may hold an empty poll open; it allows 50: https://core.telegram.org/bots/api#getupdates"""

PAUSE_S = 3.0
"""Pause while the database or the handlers are behind; untuned: Telegram keeps the updates meanwhile."""

PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 60.0
"""Pause after a poll that failed, doubled with each; untuned: Telegram keeps the updates for a day."""

JITTER = 0.2
"""Share of a pause that is added by chance, so that many bots do not come back at once. untuned."""

CALM_MS = 60_000
"""Without a conflict for so long, the other poller has gone. untuned: longer than the longest pause and a poll."""

PauseRevoked = Callable[[int, str | None], Awaitable[bool]]
"""See ``RevokedTokens.pause``."""

CONFLICT = 409
UNAVAILABLE = (aiohttp.ClientError, OSError)
"""What a call raises that gets no answer; ``TimeoutError`` is an ``OSError``."""

UNREADABLE = msgspec.MsgspecError, UnicodeDecodeError, RecursionError
"""What a parser raises: for one update of a batch it refuses them all."""

WEBHOOK_IN_THE_WAY = "its webhook is deleted; set none for a bot that polls, here or in another program"
OTHER_POLLER = "stop the other program that polls this bot, or take the bot out here"
NOT_TELEGRAMS = "an answer that is not Telegram's"
NO_VALID_TOKEN = "give the bot a valid token"  # noqa: S105 - a sentence


class _Polled(msgspec.Struct):
    result: list[msgspec.Raw]
    ok: bool = False


class _Numbered(msgspec.Struct):
    update_id: int


_decode = msgspec.json.Decoder(_Polled).decode
_decode_number = msgspec.json.Decoder(_Numbered).decode


@dataclass(frozen=True, slots=True)
class Polled:
    """Telegram gave this many updates, and each is stored, or skipped."""

    updates: int


class Poller:
    """Polls for one bot. The offset moves only after an update is stored, so Telegram keeps what we have not.

    Args:
        health: Of all update sources in this process: an outage is one line, not one for each bot.
        pause_revoked: Pauses a bot with a revoked token; False if it has another token by now.
    """

    def __init__(
        self,
        *,
        bot_id: int,
        session: aiohttp.ClientSession,
        api_url: str,
        token_of: Callable[[int], str | None],
        pause_revoked: PauseRevoked,
        intake: Intake,
        health: SourceHealth,
        conditions: Conditions,
        clock: Clock,
        allowed_updates: Sequence[str] = (),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._bot_id = bot_id
        self._session = session
        self._api_url = api_url
        self._token_of = token_of
        self._pause_revoked = pause_revoked
        self._intake = intake
        self._health = health
        self._conditions = conditions
        self._clock = clock
        self._allowed_updates = list(allowed_updates)
        self._sleep = sleep
        self._token: str | None = None  # of the last poll
        self._offset = 0
        self._failures = 0
        self._trouble: str | None = None
        self._conflict_at_ms: int | None = None
        self._is_over = False

    async def run(self) -> None:
        """Poll until cancelled, or until Telegram says that the token is revoked."""
        with self._health.watching(self._bot_id):
            try:
                while not self._is_over:
                    await self.poll_or_pause()
            finally:
                self._conditions.end(Condition.INTAKE_FULL, seen_by=self)

    async def poll_or_pause(self) -> None:
        """Poll once, and pause as long as what happened asks for."""
        try:
            await self._follow(await self.poll_once())
        except LedgerError:
            await self._sleep(PAUSE_S)  # reported as a condition; Telegram keeps the updates
        except IntakeFull as error:
            self._conditions.begin(Condition.INTAKE_FULL, str(error), seen_by=self)
            await self._sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - any error is retried: Telegram keeps the updates
            self._begin_trouble("poll_failed", type(error).__name__)
            await self._back_off()

    async def poll_once(self) -> Polled | Outcome:
        """Poll once and store the updates; return how many there were, or what Telegram answered instead."""
        self._token = self._token_of(self._bot_id)
        # Sent even if empty: otherwise Telegram keeps the kinds of an earlier call.
        kinds = self._allowed_updates
        asked = {"offset": self._offset, "timeout": POLL_S, "limit": 100, "allowed_updates": kinds}
        try:
            status, headers, body = await self._call("getUpdates", asked)
        except UNAVAILABLE as error:
            return Failed(why_unanswered(error))
        updates = updates_of(body)
        if updates is None:
            header_s = header_wait_s(headers.get("Retry-After", ""), headers.get("Date", ""))
            return classify(status, body, header_s=header_s)
        before = self._offset  # the next may be lower: after a week without updates Telegram counts from anywhere
        for update in updates:
            await self._receive(update)
        return Polled(len(updates)) if self._offset != before or not updates else Failed(NOT_TELEGRAMS)

    async def _call(self, method: str, asked: dict[str, Any]) -> tuple[int, Any, bytes]:
        timeout = aiohttp.ClientTimeout(total=POLL_S + 10)
        url = f"{self._api_url}/bot{self._token}/{method}"
        async with self._session.post(url, json=asked, timeout=timeout) as response:
            return response.status, response.headers, await response.read()

    async def _receive(self, update: bytes) -> None:
        try:
            await _finish(self._intake.receive(self._bot_id, update))
        except Refusal as error:
            log.warning("update_refused", bot_id=self._bot_id, reason=str(error))
        update_id = number_of(update)
        if update_id is not None:  # Telegram numbers every update; one behind it moves the offset
            self._offset = update_id + 1

    # What follows from an answer

    async def _follow(self, outcome: Polled | Outcome) -> None:
        match outcome:
            case Polled():
                self._health.succeeded(self._bot_id)
                self._succeed()
            case Throttled(retry_after_ms, reason):
                self._health.succeeded(self._bot_id)
                self._begin_trouble("poll_refused", reason, status=429)
                await self._pause(retry_after_ms / 1_000)
            case Revoked(reason):
                self._health.succeeded(self._bot_id)
                await self._stop_if_revoked(reason)
            case Rejected(code, reason):
                self._health.succeeded(self._bot_id)
                await self._follow_refusal(code, reason)
                await self._back_off()
            case Failed(reason) | Uncertain(reason):
                self._health.failed(self._bot_id, reason)
                await self._back_off()
            case _:
                self._health.failed(self._bot_id, NOT_TELEGRAMS)
                await self._back_off()

    async def _follow_refusal(self, code: int, reason: str) -> None:
        is_webhook = code == CONFLICT and "webhook" in reason
        way_out = (WEBHOOK_IN_THE_WAY if is_webhook else OTHER_POLLER) if code == CONFLICT else None
        self._begin_trouble("poll_refused", reason, status=code, way_out=way_out)
        if code == CONFLICT:
            self._conflict_at_ms = self._clock()
        if is_webhook:
            await self._delete_webhook()

    async def _delete_webhook(self) -> None:
        """Delete a webhook that was set before: while there is one, Telegram refuses polls."""
        try:
            status, _, _ = await self._call("deleteWebhook", {})
        except UNAVAILABLE:
            return  # the next poll finds it again
        log.info("webhook_deleted", bot_id=self._bot_id, status=status)

    async def _stop_if_revoked(self, reason: str) -> None:
        """Pause the bot and end; ``UpdateSources`` starts another poller once the bot has a valid token."""
        if await self._pause_revoked(self._bot_id, self._token):
            log.warning("polling_stopped", bot_id=self._bot_id, reason=reason, way_out=NO_VALID_TOKEN)
            self._is_over = True

    async def _back_off(self) -> None:
        pause_s = min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(self._failures, 10))
        self._failures += 1
        await self._pause(pause_s)

    async def _pause(self, least_s: float) -> None:
        await self._sleep(least_s * (1 + random.random() * JITTER))  # noqa: S311 - jitter, not a secret

    def _begin_trouble(self, event: str, reason: str, *, status: int | None = None, way_out: str | None = None) -> None:
        """Log what is wrong with this bot's polls, once until it is over or something else is wrong."""
        trouble = f"{event} {status or reason}"
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if event == "poll_failed":
            log.warning("poll_failed", bot_id=self._bot_id, reason=reason)
        else:
            log.warning("poll_refused", bot_id=self._bot_id, status=status, reason=reason, way_out=way_out)

    def _succeed(self) -> None:
        self._conditions.end(Condition.INTAKE_FULL, seen_by=self)
        if self._conflict_at_ms is not None and self._clock() - self._conflict_at_ms < CALM_MS:
            return  # two pollers take turns at being refused, and at each turn both would seem to be well
        self._failures, self._conflict_at_ms = 0, None
        if self._trouble is not None:
            self._trouble = None
            log.info("poll_resumed", bot_id=self._bot_id)


def updates_of(body: bytes) -> Sequence[bytes] | None:
    """Return the updates in an answer of ``getUpdates``; None if it gives none, but something else.

    >>> updates_of(b'{"ok":true,"result":[{"update_id":1}]}'), updates_of(b'{"ok":false}'), updates_of(b"<html>")
    ([b'{"update_id":1}'], None, None)
    """
    try:
        polled = _decode(body)
    except UNREADABLE:
        return updates_in(body) or None
    return [bytes(update) for update in polled.result] if polled.ok else None


def number_of(update: bytes) -> int | None:
    """Return an update's ``update_id``; None if it has none."""
    try:
        return _decode_number(update).update_id
    except msgspec.ValidationError:
        return None
    except UNREADABLE:
        return update_id_in(update)


async def _finish(receiving: Coroutine[Any, Any, None]) -> None:
    """Finish receiving an update even if the poller is cancelled.

    An update that is stored and not handed to its handlers would wait for the next start.
    """
    task = asyncio.create_task(receiving)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
