from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from tempogram.bot.alerts import webhook
from tempogram.bot.alerts.webhook import Webhook, plain, slack
from tempogram.engine.alerts.channel import Accepted, Away, Refused, Tried
from tempogram.engine.ports.alert_store import Event
from tests.bot.alerts.receivers import WebhookReceiver
from tests.engine.alerts.values import notice
from tests.fakes import Clock

KEY = bytes(range(32))


async def send(receiver: WebhookReceiver, times: int = 1, key: bytes | None = KEY) -> list[Tried]:
    async with receiver.running(), aiohttp.ClientSession() as session:
        channel = Webhook(session, receiver.url, plain(Clock(), key))
        return [await channel.send(notice("1")) for _ in range(times)]


async def test_a_receiver_can_tell_that_a_webhook_is_ours() -> None:
    receiver = WebhookReceiver(key=KEY)

    assert await send(receiver) == [Accepted()]
    ((message_id, body),) = receiver.accepted
    assert message_id == "msg_1"
    assert body == {
        "type": "alert.opened",
        "timestamp": "2023-11-14T22:13:20.000+00:00",
        "data": {
            "kind": "task_stalled",
            "keys": ["1"],
            "lines": ["task 1 is stalled"],
            "alerts": 1,
            "text": "Task stalled\ntask 1 is stalled",
        },
    }


async def test_a_webhook_that_is_signed_with_another_key_is_refused_by_its_receiver() -> None:
    assert await send(WebhookReceiver(key=bytes(32))) == [Refused("it answered with 401")]


async def test_without_a_secret_a_webhook_has_an_id_and_no_signature() -> None:
    body, headers = plain(Clock(), None)(notice("1"))

    assert headers == {"Content-Type": "application/json", "webhook-id": "msg_1"}
    assert json.loads(body)["type"] == "alert.opened"


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (400, Refused("it answered with 400")),
        (404, Refused("it answered with 404")),
        (301, Refused("it answered with 301")),
        (408, Away("it answered with 408", 7.0)),
        (429, Away("it answered with 429", 7.0)),
        (500, Away("it answered with 500", 7.0)),
        (503, Away("it answered with 503", 7.0)),
    ],
)
async def test_what_an_answer_means(status: int, wanted: Tried) -> None:
    receiver = WebhookReceiver(status, retry_after="7")

    assert await send(receiver, times=2) == [wanted, Accepted()]


@pytest.mark.parametrize("retry_after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "1e9", "٣x"])
async def test_a_pause_that_cannot_be_read_is_none(retry_after: str) -> None:
    assert webhook._judged(503, retry_after) == Away("it answered with 503")


async def test_a_receiver_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))

    assert await send(WebhookReceiver(0)) == [Away("no answer within 0.1 s")]


async def test_a_receiver_that_is_not_there_is_away_and_its_address_is_not_quoted() -> None:
    async with aiohttp.ClientSession() as session:
        tried = await Webhook(session, "http://127.0.0.1:1/hook/hunter2", slack).send(notice("1"))

    assert tried == Away("ClientConnectorError")


def test_slack_gets_a_text_in_which_its_signs_are_escaped() -> None:
    body, _ = slack(notice("1", event=Event.ENDED, lines=("a < b & c > d",)))
    read: dict[str, Any] = json.loads(body)

    assert read == {"text": "Over: Task stalled\na &lt; b &amp; c &gt; d"}
