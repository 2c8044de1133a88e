"""The Bot API door: plain HTTP clients of any language, given Tempogram's address in place of Telegram's."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.simulator.limits.faults import Fault
from tests.chaos.servers import missing_programs, own_postgres, own_redis
from tests.end_to_end.program import TOKEN, Program, program

ELSEWHERE = "43:token-of-a-bot-that-only-sends-here"
GROUP_LIMIT, GROUP_WINDOW_S = 3, 3
WAIT_S = 1
ENVIRONMENT = {
    "BOT_API_DOOR": "true",
    "BOT_API_DOOR_WAIT": str(WAIT_S),
    "BOT_API_DOOR_CALLS": "64",
    "TELEGRAM_GROUP_LIMIT": str(GROUP_LIMIT),
    "TELEGRAM_GROUP_LIMIT_WINDOW_S": str(GROUP_WINDOW_S),
    "LOG_LEVEL": "DEBUG",
}
SIMULATOR = {
    "group_limit": GROUP_LIMIT,
    "group_window_ms": GROUP_WINDOW_S * 1_000,
    "accept_any_token": False,
    "any_webhook_url": True,
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Client:
    """A client of the Bot API that knows an address and a token, and nothing of us."""

    url: str
    telegram: RunningSimulator
    program: Program
    token: str = TOKEN
    session: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    async def post(self, method: str, *, token: str | None = None, **request: Any) -> tuple[int, Any]:
        async with self.session.post(f"{self.url}/bot{token or self.token}/{method}", **request) as response:
            return response.status, await response.json()

    async def get(self, method: str, **params: Any) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}/bot{self.token}/{method}", params=params) as response:
            return response.status, await response.json()

    async def say(self, chat_id: int, text: str, **headers: str) -> tuple[int, Any]:
        return await self.post("sendMessage", json={"chat_id": chat_id, "text": text}, headers=headers)

    async def say_until_sent(self, chat_id: int, text: str) -> int:
        """Repeat a call as it is asked to, until it is sent; return how often it was asked to."""
        times = 0
        while (await self.obeyed(chat_id, text)) is None:
            times += 1
        return times

    async def obeyed(self, chat_id: int, text: str) -> int | None:
        """Make a call; if it is asked to come back, wait for as long. None: it was not sent."""
        status, body = await self.say(chat_id, text)
        if status == 429:
            await asyncio.sleep(body["parameters"]["retry_after"])
            return None
        assert status == 200, body
        return int(body["result"]["message_id"])

    async def texts(self, chat_id: int) -> list[str]:
        return [call["text"] for call in await self.telegram.calls() if call["chat_id"] == chat_id and call["cost"]]

    async def refusals(self) -> int:
        """Return how many calls Telegram has answered with 429."""
        return sum((await self.telegram.report()).throttled.values())


@asynccontextmanager
async def door(folder: Path, telegram: RunningSimulator, **environment: str) -> AsyncIterator[Client]:
    async with program(folder, telegram.url, **ENVIRONMENT | environment) as tempogram:
        client = Client(tempogram.url, telegram, tempogram)
        try:
            yield client
        finally:
            await client.session.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with running_simulator(**SIMULATOR) as telegram:
        await telegram.add_bots(TOKEN, ELSEWHERE)
        async with door(tmp_path_factory.mktemp("door"), telegram) as client:
            yield client


# Sending


async def test_a_message_is_sent_by_json_a_form_a_multipart_form_and_a_get_request(client: Client) -> None:
    multipart = aiohttp.FormData({"chat_id": "104", "text": "by multipart"}, default_to_multipart=True)

    answers = await asyncio.gather(
        client.post("sendMessage", json={"chat_id": 101, "text": "by JSON"}),
        client.post("sendmessage", data={"chat_id": "102", "text": "by form"}),
        client.get("SENDMESSAGE", chat_id=103, text="by GET"),
        client.post("sendMessage", data=multipart),
    )

    assert [status for status, _ in answers] == [200] * 4
    assert [body["result"]["text"] for _, body in answers] == ["by JSON", "by form", "by GET", "by multipart"]
    assert [body["result"]["chat"]["id"] for _, body in answers] == [101, 102, 103, 104]
    assert all(body["result"]["message_id"] > 0 for _, body in answers)


async def test_files_are_sent_by_name_and_by_reference(client: Client) -> None:
    photo = aiohttp.FormData({"chat_id": "111", "caption": "look"})
    photo.add_field("photo", b"a cat", filename="cat.jpg")
    media = [{"type": "document", "media": "attach://a"}, {"type": "document", "media": "attach://b"}]
    album = aiohttp.FormData({"chat_id": "112", "media": json.dumps(media)})
    album.add_field("a", b"one", filename="a.txt")
    album.add_field("b", b"three", filename="b.txt")

    (_, sent), (_, both) = await asyncio.gather(
        client.post("sendPhoto", data=photo), client.post("sendMediaGroup", data=album)
    )

    assert sent["result"]["photo"][-1]["file_size"] == len(b"a cat")
    assert sent["result"]["caption"] == "look"
    assert [each["document"]["file_size"] for each in both["result"]] == [3, 5]


async def test_a_call_that_takes_no_place_goes_through_the_queue_too(client: Client) -> None:
    _, sent = await client.say(121, "to be deleted")

    status, body = await client.post("deleteMessage", json={"chat_id": 121, "message_id": sent["result"]["message_id"]})

    assert (status, body) == (200, {"ok": True, "result": True})


async def test_refusals_come_in_telegrams_words(client: Client) -> None:
    await client.telegram.order(
        Fault(kind="blocked", chat_id=131), Fault(kind="chat_not_found", chat_id=132), Fault(kind="5xx", chat_id=133)
    )

    blocked, unknown = await asyncio.gather(client.say(131, "a"), client.say(132, "a"))
    bad = await client.post("sendMessage", json={"chat_id": 134})
    await client.telegram.end_faults()

    assert blocked == (
        403,
        {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"},
    )
    assert unknown == (400, {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"})
    assert (bad[0], bad[1]["description"]) == (400, "Bad Request: sendMessage needs text")


async def test_a_group_that_became_a_supergroup_gets_the_message_there(client: Client) -> None:
    await client.telegram.order(Fault(kind="migrated", chat_id=-141, times=1))

    status, body = await client.say(-141, "where are you?")

    assert status == 200
    assert body["result"]["chat"]["id"] < -1_000_000_000_000


# Patience


async def test_a_call_that_finds_no_place_is_taken_back_and_gets_through_when_it_comes_back(client: Client) -> None:
    for number in range(GROUP_LIMIT):
        assert (await client.say(-201, f"first {number}"))[0] == 200

    status, body = await client.say(-201, "one more")
    retry_after_s = body["parameters"]["retry_after"]
    await asyncio.sleep(retry_after_s)
    before = await client.texts(-201)
    again = await client.say(-201, "one more")

    assert (status, body["error_code"], body["ok"]) == (429, 429, False)
    assert body["description"] == f"Too Many Requests: retry after {retry_after_s}"
    assert 1 <= retry_after_s <= GROUP_WINDOW_S
    assert "one more" not in before  # nothing is sent late
    assert again[0] == 200
    assert (await client.texts(-201)).count("one more") == 1


async def test_clients_that_compete_for_a_full_group_all_get_through_when_they_come_back(client: Client) -> None:
    before = await client.refusals()
    texts = [f"competing {number}" for number in range(4 * GROUP_LIMIT)]

    times = await asyncio.gather(*(client.say_until_sent(-211, text) for text in texts))

    assert sorted(await client.texts(-211)) == sorted(texts)
    assert max(times) <= 2
    assert await client.refusals() == before


async def test_a_call_that_is_held_says_for_how_long(client: Client) -> None:
    await client.telegram.order(Fault(kind="429", chat_id=221, retry_after_s=4, times=1))

    status, body = await client.say(221, "too many")
    action = await client.post("sendChatAction", json={"chat_id": 221, "action": "typing"})
    await asyncio.sleep(body["parameters"]["retry_after"])
    again, _ = await client.say(221, "too many")

    assert status == 429
    assert 2 <= body["parameters"]["retry_after"] <= 4
    assert action == (200, {"ok": True, "result": True})
    assert again == 200


async def test_a_client_that_goes_takes_its_message_with_it(client: Client) -> None:
    for number in range(GROUP_LIMIT):
        await client.say(-231, f"first {number}")
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.say(-231, "gone", **{"X-Tempogram-Wait": "60"})

    await client.program.until(client.program.is_empty, within_s=10)
    await asyncio.sleep(GROUP_WINDOW_S)

    assert "gone" not in await client.texts(-231)


async def test_a_call_with_a_key_keeps_its_place_while_its_client_comes_and_goes(client: Client) -> None:
    for number in range(GROUP_LIMIT):
        await client.say(-241, f"first {number}")
    key = {"X-Tempogram-Dedup-Key": "invoice-7"}

    answers: list[tuple[int, Any]] = []
    while not answers or answers[-1][0] == 429:
        answers.append(await client.say(-241, "once", **key))
    again = await client.say(-241, "once", **key)

    assert len(answers) > 1
    assert answers[-1][1]["result"]["message_id"] == again[1]["result"]["message_id"]
    assert (await client.texts(-241)).count("once") == 1


async def test_no_more_calls_wait_than_may(client: Client) -> None:
    waiting = [asyncio.create_task(client.say(-251, f"flood {number}")) for number in range(100)]
    other = await client.post("sendMessage", token=ELSEWHERE, json={"chat_id": 252, "text": "of another bot"})
    answers = await asyncio.gather(*waiting)

    refused = [body for status, body in answers if status == 429 and "more calls wait here" in body["description"]]
    assert other[0] == 200
    assert len(refused) >= 100 - 48 - GROUP_LIMIT
    assert {body["parameters"]["retry_after"] for body in refused} == {1}


# Everything else


async def test_reads_and_downloads_pass(client: Client) -> None:
    document = aiohttp.FormData({"chat_id": "301"})
    document.add_field("document", b"a text", filename="a.txt")
    _, sent = await client.post("sendDocument", data=document)

    me = await client.get("getMe")
    chat = await client.post("getChat", json={"chat_id": 301})
    _, file = await client.get("getFile", file_id=sent["result"]["document"]["file_id"])
    path = file["result"]["file_path"]
    async with client.session.get(f"{client.url}/file/bot{TOKEN}/{path}") as response:
        downloaded = await response.read()

    assert me[1]["result"]["id"] == 42
    assert chat[1]["result"]["id"] == 301
    assert (response.status, downloaded) == (200, path.rpartition("/")[2].encode())


async def test_an_unknown_method_gets_telegrams_own_answer(client: Client) -> None:
    status, body = await client.post("sendNonsense", json={})

    assert (status, body["error_code"]) == (404, 404)
    assert body["description"].startswith("Not Found")


async def test_a_bot_that_is_new_here_sends_and_polls_by_itself(client: Client) -> None:
    sent = await client.post("sendMessage", token=ELSEWHERE, json={"chat_id": 311, "text": "hello"})
    polling = asyncio.create_task(client.post("getUpdates", token=ELSEWHERE, json={"timeout": 20}))
    await asyncio.sleep(0.3)
    person = await client.telegram.add_user("Ada")
    await client.telegram.say(person, "a question", bot=43)
    status, body = await polling

    assert sent[0] == 200
    assert status == 200
    assert [update["message"]["text"] for update in body["result"]] == ["a question"]


async def test_a_poll_lasts_as_long_as_it_says(client: Client) -> None:
    await client.post("getUpdates", token=ELSEWHERE, json={"offset": -1})
    begun_s = time.monotonic()

    status, body = await client.post("getUpdates", token=ELSEWHERE, json={"offset": 10**9, "timeout": 1})

    assert (status, body["result"]) == (200, [])
    assert time.monotonic() - begun_s >= 1


async def test_the_updates_of_a_bot_that_runs_here_are_not_given_away(client: Client) -> None:
    status, body = await client.post("getUpdates", json={"timeout": 20})

    assert (status, body["error_code"]) == (409, 409)
    assert body["description"].startswith("Conflict: Tempogram gets the updates of this bot")


async def test_a_wrong_token_gets_telegrams_own_answer(client: Client) -> None:
    status, body = await client.post("sendMessage", token="44:no-such-token-anywhere", json={})

    assert (status, body) == (401, {"ok": False, "error_code": 401, "description": "Unauthorized"})


async def test_no_token_stands_in_a_log_or_a_metric(client: Client) -> None:
    await client.post("getMe", token="44:another-wrong-token-of-a-client")
    async with client.program.session.get(f"{client.url}/metrics") as response:
        metrics = await response.text()
    said = client.program.output.read_text()

    assert "/bot{bot_token}/{method:path}" in said
    for secret in ("token-of-the-test-bot", "token-of-a-bot-that-only", "no-such-token", "another-wrong-token"):
        assert secret not in said + metrics


async def test_bots_may_come_by_the_door_alone(tmp_path: Path) -> None:
    async with running_simulator(**SIMULATOR) as telegram:
        await telegram.add_bots(ELSEWHERE)
        async with door(tmp_path, telegram, BOT_TOKENS="") as client:
            client.token = ELSEWHERE
            status, body = await client.say(501, "no bot was configured")
            await client.program.end()
            await client.program.start()
            again, _ = await client.say(502, "nor after a restart")
            texts = await client.texts(501) + await client.texts(502)

    assert (status, again) == (200, 200)
    assert body["result"]["chat"]["id"] == 501
    assert texts == ["no bot was configured", "nor after a restart"]


# A kill


async def test_what_was_answered_is_sent_and_what_was_accepted_is_sent_after_a_kill(tmp_path: Path) -> None:
    texts = [f"message {number}" for number in range(90)]

    async def say(client: Client, number: int) -> bool:
        with suppress(aiohttp.ClientError):
            return (await client.say(1_000 + number, texts[number], **{"X-Tempogram-Wait": "60"}))[0] == 200
        return False

    async with running_simulator() as telegram, door(tmp_path, telegram, BOT_API_DOOR_CALLS="1000") as client:
        saying = [asyncio.create_task(say(client, number)) for number in range(len(texts))]
        await client.program.until(lambda: has_taken(telegram, 31), within_s=30)
        waiting = (await client.program.stats())["total_queued"]
        await client.program.kill()
        answered = {texts[number] for number, done in enumerate(await asyncio.gather(*saying)) if done}
        await client.program.start()
        await client.program.until(client.program.is_empty, within_s=30)
        report = await telegram.report()
        sent = {call["text"] for call in await telegram.calls() if call["code"] == 200 and call["cost"]}

    assert waiting > 0
    assert 0 < len(answered) < len(texts)
    assert answered <= sent
    assert sent == set(texts)  # each was accepted before the kill, and its client is gone
    assert report.broke_no_window
    assert report.duplicates <= 5


async def has_taken(telegram: RunningSimulator, number: int) -> bool:
    return (await telegram.report()).accepted >= number


# Many processes


async def test_an_answer_comes_from_a_worker_of_its_own(tmp_path: Path) -> None:
    missing = missing_programs()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"NO {' AND NO '.join(missing)}: many processes are not tested")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}")
    async with own_redis() as redis, own_postgres() as postgres, running_simulator(**SIMULATOR) as telegram:
        await telegram.add_bots(TOKEN, ELSEWHERE)
        servers = {"REDIS_URL": redis.url, "DATABASE_URL": postgres.url}
        for name in ("api", "worker"):
            (tmp_path / name).mkdir()
        async with (
            program(tmp_path / "worker", telegram.url, role="worker", **ENVIRONMENT | servers),
            program(tmp_path / "api", telegram.url, role="api", **ENVIRONMENT | servers) as tempogram,
        ):
            client = Client(tempogram.url, telegram, tempogram)
            first = [await client.say(-401, f"first {number}") for number in range(GROUP_LIMIT)]
            late = await client.say(-401, "one more")
            new = await client.post("sendMessage", token=ELSEWHERE, json={"chat_id": 402, "text": "of a new bot"})
            await asyncio.sleep(late[1]["parameters"]["retry_after"])
            again = await client.say(-401, "one more")
            texts = await client.texts(-401)
            await client.session.close()

    assert [status for status, _ in (*first, late, new, again)] == [200] * GROUP_LIMIT + [429, 200, 200]
    assert new[1]["result"]["text"] == "of a new bot"
    assert texts.count("one more") == 1
