"""A webhook: plain JSON, signed if there is a secret, or Slack's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import aiohttp

from tempogram.bot.alerts import signature
from tempogram.engine.alerts.channel import Accepted, Away, Refused, Tried
from tempogram.engine.alerts.notices import text_of
from tempogram.engine.model.clock import Clock
from tempogram.engine.ports.alert_store import Notice

TIMEOUT = aiohttp.ClientTimeout(total=10)

LATER = {408, 425, 429}
"""What asks for another try although it is a 4xx."""

Packed = Callable[[Notice], tuple[bytes, Mapping[str, str]]]
"""Returns body and headers."""


class Webhook:
    """See ``engine.alerts.channel.Channel``. Redirects are not followed: the address is the operator's choice.

    Args:
        url: It may hold a secret, as Slack's does, so it stands in no reason.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, packed: Packed) -> None:
        self._session = session
        self._url = url
        self._packed = packed

    async def send(self, notice: Notice) -> Tried:
        body, headers = self._packed(notice)
        post = self._session.post(
            self._url, data=body, headers=dict(headers), allow_redirects=False, timeout=TIMEOUT, ssl=True
        )
        try:
            async with post as response:
                return _judged(response.status, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return Away(f"no answer within {TIMEOUT.total:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Away(type(error).__name__)


def _judged(status: int, retry_after: str) -> Tried:
    if 200 <= status < 300:
        return Accepted()
    if 300 <= status < 500 and status not in LATER:
        return Refused(f"it answered with {status}")
    return Away(f"it answered with {status}", float(retry_after) if retry_after.isdecimal() else 0.0)


def plain(clock: Clock, key: bytes | None) -> Packed:
    """Return how a notice is packed as ``type``, ``timestamp`` and ``data``, signed if there is a key."""

    def packed(notice: Notice) -> tuple[bytes, Mapping[str, str]]:
        body = _json(
            {
                "type": f"alert.{notice.event.value}",
                "timestamp": datetime.fromtimestamp(notice.at_ms / 1_000, UTC).isoformat(timespec="milliseconds"),
                "data": {
                    "kind": notice.kind,
                    "keys": list(notice.keys),
                    "lines": list(notice.lines),
                    "alerts": notice.alerts,
                    "text": text_of(notice),
                },
            }
        )
        message_id = f"msg_{notice.id}"
        named = (
            {"webhook-id": message_id} if key is None else signature.headers(key, message_id, clock() // 1_000, body)
        )
        return body, {"Content-Type": "application/json"} | named

    return packed


def slack(notice: Notice) -> tuple[bytes, Mapping[str, str]]:
    """Return a notice in the form of Slack's incoming webhooks.

    Source: https://docs.slack.dev/messaging/formatting-message-text (``&``, ``<`` and ``>`` are escaped)
    """
    text = text_of(notice).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _json({"text": text}), {"Content-Type": "application/json"}


def _json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
