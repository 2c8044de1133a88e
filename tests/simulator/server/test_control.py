"""The control API, over HTTP and from another process."""

import asyncio
import io
from typing import Any

import pytest

from tempogram.simulator import Fault
from tempogram.simulator.client import running_simulator
from tempogram.simulator.process import main
from tempogram.simulator.server.control import BODY_LIMIT_BYTES
from tests.simulator.conftest import Client


async def test_bots_chats_and_users_can_be_added_and_write(client: Client) -> None:
    _, bots = await client.control("POST", "bots", token="300:abc", username="news_bot")
    _, chats = await client.control("POST", "chats", kind="supergroup", title="Friends", bots=bots["ids"])
    _, users = await client.control("POST", "users", first_name="Anna")
    said = {"user": users["ids"][0], "text": "hello"}

    in_group = await client.control("POST", "say", chat=chats["ids"][0], **said)
    in_private = await client.control("POST", "say", bot=300, **said)

    assert in_group == in_private == (200, {"ok": True, "message_ids": [1]})
    client.token = "300:abc"
    assert len((await client.call("getUpdates"))["result"]) == 2


async def test_deleted_messages_of_a_chat_can_be_listed(client: Client) -> None:
    message = (await client.send(5))["result"]
    before = await client.control("GET", "deletions?chat=5")
    await client.call("deleteMessage", chat_id=5, message_id=message["message_id"])

    after = await client.control("GET", "deletions?chat=5")

    assert (before, after) == ((200, []), (200, [message["message_id"]]))


async def test_faults_can_be_ordered_listed_and_ended(client: Client) -> None:
    _, ordered = await client.control("POST", "faults", kind="5xx", chat_id=-5, times=3)
    assert (await client.send(-5))["error_code"] == 500

    _, listed = await client.control("GET", "faults")
    await client.control("DELETE", f"faults?id={ordered['ids'][0]}")

    assert listed == [{"id": 1, "kind": "5xx", "chat_id": -5, "left": 2}]
    assert (await client.send(-5))["ok"]


async def test_settings_can_be_changed_while_it_runs(client: Client) -> None:
    status, changed = await client.control("PATCH", "settings", group_limit=1, group_window_ms=10_000)

    assert (status, changed["group_limit"]) == (200, 1)
    await client.send(-5)
    assert (await client.send(-5))["error_code"] == 429


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "faults", {"kind": "earthquake"}, 400),
        ("POST", "faults", {"kind": "5xx", "times": 0}, 400),
        ("DELETE", "faults?id=77", {}, 400),
        ("POST", "bots", {"token": "nonsense"}, 400),
        ("POST", "chats", {"kind": "group", "title": "x", "chat_id": 5}, 400),
        ("POST", "chats", {"kind": "group", "title": "x", "bots": [5]}, 400),
        ("POST", "say", {"user": 1, "text": "x"}, 400),
        ("PATCH", "settings", {"group_limit": -1}, 400),
        ("PATCH", "settings", {"no_such": 1}, 400),
        ("GET", "calls?since=x", {}, 400),
        ("GET", "nothing", {}, 404),
        ("DELETE", "report", {}, 405),
    ],
)
async def test_every_error_is_one_sentence_of_json(
    client: Client, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    answered, answer = await client.control(method, path, **body)

    assert answered == status
    assert answer["ok"] is False
    assert "Traceback" not in answer["error"]
    assert answer["error"]


async def test_a_body_above_the_bound_is_refused(client: Client) -> None:
    body = io.BytesIO(b" " * (BODY_LIMIT_BYTES + 1))

    async with client.session.post(f"{client.url}/_sim/bots", data=body) as response:
        assert (response.status, (await response.json())["ok"]) == (413, False)


async def test_the_report_and_the_calls_can_be_read(client: Client) -> None:
    await client.send(-5, "hello")

    _, report = await client.control("GET", "report")
    _, calls = await client.control("GET", "calls?since=0")

    assert (report["calls"], report["by_code"]) == (1, {"200": 1})
    assert calls[0]["text"] == "hello"


async def test_it_runs_as_a_process_of_its_own() -> None:
    async with running_simulator(group_limit=1, total_enforced=False) as running:
        await running.add_bots("100:abc")
        user_id = await running.add_user("Anna")
        await running.say(user_id, "hello", bot=100)
        await running.order(Fault(kind="5xx", times=1))
        url = f"{running.url}/bot100:abc/sendMessage"
        codes = []
        for _ in range(3):
            async with running.session.post(url, json={"chat_id": -5, "text": "hello"}) as response:
                codes.append(response.status)
        report = await running.report()

    assert codes == [500, 200, 429]
    assert report.violations == {"group": 1}
    assert report.updates_pending == 1


async def test_a_wrong_setting_stops_it_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code = await asyncio.to_thread(main, ["--set", "group_limit=few"])

    assert code == 2
    assert "group_limit" in capsys.readouterr().err
