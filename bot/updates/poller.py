"""Fetches updates by long polling, for bots without a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aiohttp
import msgspec
import structlog

from tempogram.api.core.ports import Intake, Refusal
from tempogram.engine.model.errors import LedgerError

log = structlog.get_logger()

POLL_S = 25
"""How long Telegram may hold an empty poll open; it allows 50: https://core.telegram.org/bots/api#getupdates"""

PAUSE_S = 3.0
"""Pause after a failed poll; untuned: Telegram keeps the updates meanwhile."""


class _Numbered(msgspec.Struct):
    update_id: int


class _Polled(msgspec.Struct):
    ok: bool = False
    result: list[msgspec.Raw] = []
    description: str = ""


_decode = msgspec.json.Decoder(_Polled).decode
_decode_number = msgspec.json.Decoder(_Numbered).decode


class Poller:
    """Polls for one bot. The offset moves only after an update is stored, so Telegram keeps what we have not."""

    def __init__(
        self,
        *,
        bot_id: int,
        session: aiohttp.ClientSession,
        api_url: str,
        token_of: Callable[[int], str | None],
        intake: Intake,
        allowed_updates: Sequence[str] = (),
    ) -> None:
        self._bot_id = bot_id
        self._session = session
        self._api_url = api_url
        self._token_of = token_of
        self._intake = intake
        self._allowed_updates = list(allowed_updates)
        self._offset = 0

    async def run(self) -> None:
        while True:
            try:
                await self.poll_once()
            except LedgerError:
                await asyncio.sleep(PAUSE_S)  # reported as a condition; Telegram keeps the updates
            except Exception as error:  # noqa: BLE001 - any error is retried: Telegram keeps the updates
                # The text of aiohttp's errors may hold the address, and that holds the token.
                log.warning("poll_failed", bot_id=self._bot_id, reason=type(error).__name__)
                await asyncio.sleep(PAUSE_S)

    async def poll_once(self) -> int:
        """Poll once, store the updates, and return how many there were."""
        url = f"{self._api_url}/bot{self._token_of(self._bot_id)}/getUpdates"
        # Sent even if empty: otherwise Telegram keeps the kinds of an earlier call.
        kinds = self._allowed_updates
        asked = {"offset": self._offset, "timeout": POLL_S, "limit": 100, "allowed_updates": kinds}
        timeout = aiohttp.ClientTimeout(total=POLL_S + 10)
        async with self._session.post(url, json=asked, timeout=timeout) as response:
            polled = _decode(await response.read())
        if not polled.ok:
            log.warning("poll_refused", bot_id=self._bot_id, status=response.status, reason=polled.description)
            if response.status == 409 and "webhook" in polled.description:
                await self._delete_webhook()
            await asyncio.sleep(PAUSE_S)
        for raw in polled.result:
            await self._receive(bytes(raw))
        return len(polled.result)

    async def _delete_webhook(self) -> None:
        """Delete a webhook that was set before: while there is one, Telegram refuses polls."""
        url = f"{self._api_url}/bot{self._token_of(self._bot_id)}/deleteWebhook"
        async with self._session.post(url, timeout=aiohttp.ClientTimeout(total=POLL_S)) as response:
            log.info("webhook_deleted", bot_id=self._bot_id, status=response.status)

    async def _receive(self, body: bytes) -> None:
        try:
            await _finish(self._intake.receive(self._bot_id, body))
        except Refusal as error:
            log.warning("update_refused", bot_id=self._bot_id, reason=str(error))
        self._offset = _decode_number(body).update_id + 1


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
