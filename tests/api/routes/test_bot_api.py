"""The Bot API itself, at our address: what its clients send, and what they get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.api.core.ports import TelegramUnreachable
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.messages import Guarantee, Outgoing, Priority
from tempogram.engine.model.outcomes import Rejected
from tests.api.door import ELSEWHERE_TOKEN, SENT_BODY, DoorWorld, refusal_of
from tests.api.fakes import BOT_ID, BOT_TOKEN, UNKNOWN_TOKEN, World


@pytest.fixture
def world() -> DoorWorld:
    return DoorWorld()


SAID = {"chat_id": 7, "text": "hello", "reply_markup": {"remove_keyboard": True}}
AS_TEXT = {"chat_id": "7", "text": "hello", "reply_markup": '{"remove_keyboard":true}'}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"json": SAID}, id="JSON"),
        pytest.param({"data": AS_TEXT}, id="urlencoded"),
        pytest.param({"files": {name: (None, value) for name, value in AS_TEXT.items()}}, id="multipart"),
        pytest.param({"params": AS_TEXT}, id="query"),
        pytest.param({"params": {"chat_id": "7"}, "json": {"text": "hello"}}, id="query and JSON"),
    ],
)
async def test_a_call_is_taken_in_every_form_and_answered_with_telegrams_own_body(
    world: DoorWorld, request_: dict[str, Any]
) -> None:
    calling, message_id = await world.calling(**request_)
    await world.sent(message_id)
    response = await calling

    message = world.storage.messages[message_id]
    assert (message.bot_id, message.method) == (BOT_ID, "sendMessage")
    assert str(message.chat_id) == "7"
    assert json.loads(message.params)["text"] == "hello"
    assert (response.status_code, response.content) == (200, SENT_BODY)
    assert response.headers["content-type"] == "application/json"


async def test_a_get_request_sends_as_a_post_does(world: DoorWorld) -> None:
    calling = asyncio.create_task(world.anonymous.get(f"/bot{BOT_TOKEN}/sendMessage?chat_id=7&text=a+b"))
    await world.storage.added.wait()
    (message,) = world.storage.messages.values()
    await world.sent(message.id)

    assert (await calling).status_code == 200
    assert json.loads(message.params) == {"text": "a b"}


async def test_a_file_by_its_name_goes_with_its_message_and_is_stored(world: DoorWorld) -> None:
    calling, message_id = await world.calling(
        "sendPhoto", data={"chat_id": "7"}, files={"photo": ("cat.jpg", b"a cat")}
    )
    await world.sent(message_id)
    await calling

    assert world.files.kept[message_id] == {"photo": ("cat.jpg", b"a cat")}


async def test_what_a_client_wants_of_the_queue_stands_in_headers(world: DoorWorld) -> None:
    headers = {
        "X-Tempogram-Priority": "low",
        "X-Tempogram-Delivery": "at_most_once",
        "X-Tempogram-Expires-In": "60",
        "X-Tempogram-Dedup-Key": "newsletter-7",
        "X-Tempogram-Wait": "40",
    }
    calling, message_id = await world.calling(json=SAID, headers=headers)
    await world.sent(message_id)
    await calling

    message: Outgoing = world.storage.messages[message_id]
    assert (message.priority, message.guarantee) == (Priority.LOW, Guarantee.AT_MOST_ONCE)
    assert (message.expires_at_ms, message.dedup_key) == (world.clock() + 60_000, "client:newsletter-7")
    assert [wait.wait_s for wait in world.waits] == [40]


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("Priority", "urgent", "priority should be 'high', 'normal' or 'low', not 'urgent'"),
        ("Expires-In", "soon", "the header x-tempogram-expires-in should be a number of seconds"),
        ("Wait", "601", "the header x-tempogram-wait should be a number of seconds up to 600"),
    ],
)
async def test_a_header_that_makes_no_sense_is_refused(world: DoorWorld, header: str, value: str, said: str) -> None:
    response = await world.call("sendMessage", json=SAID, headers={f"X-Tempogram-{header}": value})

    assert refusal_of(response) == (400, f"Bad Request: {said}")
    assert world.storage.messages == {}


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        ({"content": b"{nonsense"}, 400, "Bad Request: the body is not JSON: "),
        ({"content": b"[1]"}, 400, "Bad Request: the body should be a JSON object"),
        ({"json": {"chat_id": 1.5, "text": "a"}}, 400, "Bad Request: chat_id should be a chat's id or its @name, not"),
        ({"content": b"x" * 2_000_000}, 413, "Request Entity Too Large: the body is larger than 1,048,576 bytes"),
        (
            {"files": {"document": ("a", b"x" * 300_000)}, "data": {"chat_id": "7"}},
            413,
            "Request Entity Too Large: the file 'a' is too large to upload",
        ),
        ({"data": b"\xff=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 400, "Bad Request: "),
    ],
)
async def test_what_cannot_be_read_is_refused_in_telegrams_form(
    world: DoorWorld, request_: dict[str, Any], code: int, said: str
) -> None:
    request_ = {"content": request_.pop("data"), **request_} if isinstance(request_.get("data"), bytes) else request_

    found, description = refusal_of(await world.call("sendDocument", **request_))

    assert found == code
    assert description.startswith(said)
    assert world.storage.messages == {}


async def test_a_refusal_by_telegram_is_answered_in_its_words(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID)
    await world.end_as(message_id, Rejected(403, "Forbidden: bot was blocked by the user"))

    assert refusal_of(await calling) == (403, "Forbidden: bot was blocked by the user")


async def test_an_unreachable_chat_is_refused_in_telegrams_words_without_a_call(world: DoorWorld) -> None:
    await world.reachability.mark_unreachable(BOT_ID, 7, "Forbidden: bot was blocked by the user")

    assert refusal_of(await world.call("sendMessage", json=SAID)) == (403, "Forbidden: bot was blocked by the user")


async def test_a_full_queue_is_answered_as_a_limit() -> None:
    full = DoorWorld(limits=Limits(chat_cap=1))
    first, message_id = await full.calling(json=SAID)

    response = await full.call("sendMessage", json=SAID)
    await full.sent(message_id)
    await first

    code, description = refusal_of(response)
    assert code == 429
    assert description.startswith("Too Many Requests: chat 7 of bot 42 has 1 messages waiting")
    assert response.json()["parameters"] == {"retry_after": 10}


async def test_a_wrong_token_gets_telegrams_own_answer(world: DoorWorld) -> None:
    response = await world.call("sendMessage", token=UNKNOWN_TOKEN, json=SAID)

    assert response.status_code == 401
    assert response.content == b'{"ok":false,"error_code":401,"description":"Unauthorized"}'


async def test_what_is_no_token_gets_telegrams_own_answer(world: DoorWorld) -> None:
    response = await world.call("sendMessage", token="42", json=SAID)

    assert response.status_code == 404
    assert response.content == b'{"ok":false,"error_code":404,"description":"Not Found"}'


@pytest.mark.parametrize("method", ["", "send%20Message", "a/b", "%2e%2e/getMe"])
async def test_what_is_no_method_is_not_found(world: DoorWorld, method: str) -> None:
    response = await world.call(method)

    assert response.status_code == 404
    assert world.telegram.calls == []


async def test_telegrams_test_servers_are_refused_clearly(world: DoorWorld) -> None:
    code, description = refusal_of(await world.call("test/sendMessage", json=SAID))

    assert code == 404
    assert description.startswith("Not Found: Telegram's test servers are not reached through Tempogram")


async def test_a_token_of_the_test_servers_is_shown_to_no_other(world: DoorWorld) -> None:
    code, _ = refusal_of(await world.call("test/getMe", token=UNKNOWN_TOKEN))

    assert code == 404


async def test_another_http_method_is_refused(world: DoorWorld) -> None:
    response = await world.anonymous.put(f"/bot{BOT_TOKEN}/sendMessage", json=SAID)

    assert refusal_of(response) == (405, "Method Not Allowed")
    assert response.headers["Allow"] == "GET, POST"


async def test_a_read_is_passed_on_as_it_came_and_its_answer_back(world: DoorWorld) -> None:
    response = await world.call("getChat?chat_id=7", json={"a": 1}, headers={"X-Other": "kept here"})

    (call,) = world.telegram.calls
    assert (response.status_code, response.text) == (200, "what Telegram said")
    assert (call.bot_id, call.http_method, call.query) == (BOT_ID, "POST", "chat_id=7")
    assert call.path == f"/bot{BOT_TOKEN}/getChat"
    assert world.telegram.bodies == [b'{"a":1}']
    assert call.headers["content-type"] == "application/json"
    assert "x-other" not in call.headers
    assert BOT_TOKEN not in repr(call)


async def test_a_form_that_is_passed_on_is_passed_on_as_it_arrives(world: DoorWorld) -> None:
    files = {"certificate": ("a.pem", b"x" * 100_000)}

    response = await world.call("setWebhook", token=ELSEWHERE_TOKEN, files=files)

    assert response.status_code == 200
    assert b"x" * 100_000 in world.telegram.bodies[0]


async def test_an_unknown_method_is_passed_on(world: DoorWorld) -> None:
    await world.call("sendSomethingNew", json=SAID)

    assert [call.path for call in world.telegram.calls] == [f"/bot{BOT_TOKEN}/sendSomethingNew"]


async def test_a_download_is_passed_on(world: DoorWorld) -> None:
    response = await world.anonymous.get(f"/file/bot{BOT_TOKEN}/photos/file 1.jpg")

    assert response.text == "what Telegram said"
    assert world.telegram.calls[0].path == f"/file/bot{BOT_TOKEN}/photos/file%201.jpg"


async def test_a_download_leads_nowhere_else(world: DoorWorld) -> None:
    response = await world.anonymous.get(f"/file/bot{BOT_TOKEN}/photos/%2e%2e/%2e%2e/x")

    assert response.status_code == 404
    assert world.telegram.calls == []


async def test_the_body_of_a_call_without_a_place_is_not_read(world: DoorWorld) -> None:
    world.telegram.is_crowded = True
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b'{"a":1}'

    response = await world.call("getMe", content=body())

    assert (response.status_code, read) == (429, False)


@pytest.mark.parametrize(
    ("error", "is_logged"),
    [(RuntimeError(f"http://x/bot{BOT_TOKEN}/getMe"), True), (TelegramUnreachable("its answer broke off"), False)],
)
async def test_an_answer_that_breaks_off_is_not_ended_and_only_an_error_of_ours_is_logged(
    world: DoorWorld, error: Exception, *, is_logged: bool
) -> None:
    world.telegram.breaks = error
    scope = {"type": "http", "method": "GET", "path": f"/bot{BOT_TOKEN}/getMe", "query_string": b"", "headers": []}
    sent: list[dict[str, Any]] = []

    async def receives_nothing() -> Any:
        await asyncio.Event().wait()

    async def send(event: Any) -> None:
        sent.append(event)

    with capture_logs() as logs:
        await world.app(scope, receives_nothing, send)

    assert [event.get("more_body") for event in sent] == [None, True]
    assert ("unhandled_error" in [each["event"] for each in logs]) is is_logged
    assert BOT_TOKEN not in str(logs)


async def test_too_many_calls_that_are_passed_on_are_refused(world: DoorWorld) -> None:
    world.telegram.is_crowded = True

    response = await world.call("getMe")

    assert refusal_of(response)[0] == 429
    assert response.json()["parameters"] == {"retry_after": 1}


@pytest.mark.parametrize("method", ["getUpdates", "setWebhook", "deleteWebhook", "GETUPDATES"])
async def test_a_bot_whose_updates_come_here_gives_them_to_no_other(world: DoorWorld, method: str) -> None:
    code, description = refusal_of(await world.call(method))

    assert code == 409
    assert description.startswith("Conflict: Tempogram gets the updates of this bot")
    assert 'PATCH /bots/42 {"updates": "none"}' in description
    assert world.telegram.calls == []


async def test_a_bot_that_only_sends_here_gets_its_updates_from_telegram(world: DoorWorld) -> None:
    assert (await world.call("getUpdates?timeout=5", token=ELSEWHERE_TOKEN)).status_code == 200
    assert [call.query for call in world.telegram.calls] == ["timeout=5"]


async def test_a_poll_whose_client_goes_is_ended_at_telegram(world: DoorWorld) -> None:
    world.telegram.hangs = True
    events: list[dict[str, Any]] = [{"type": "http.request"}, {"type": "http.disconnect"}]
    path = f"/bot{ELSEWHERE_TOKEN}/getUpdates"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}

    async def receive() -> Any:
        return events.pop(0)

    async def send(event: Any) -> None:
        raise AssertionError(f"{event} is for a client that has gone")

    await world.app(scope, receive, send)

    assert world.telegram.was_cut_off.is_set()


async def test_an_action_goes_past_the_queue(world: DoorWorld) -> None:
    response = await world.call("sendchataction", data={"chat_id": "7", "action": "typing"})

    assert response.json() == {"ok": True, "result": True}
    assert world.telegram.actions == [{"chat_id": "7", "action": "typing"}]
    assert world.storage.messages == {}


@pytest.mark.parametrize("method", ["sendMessage", "sendChatAction"])
async def test_more_calls_than_may_wait_are_refused(world: DoorWorld, method: str) -> None:
    world.places.is_full = True

    response = await world.call(method, json=SAID)

    assert refusal_of(response)[0] == 429
    assert response.json()["parameters"] == {"retry_after": 1}
    assert world.storage.messages == {}


async def test_a_call_gives_its_place_back_however_it_ends(world: DoorWorld) -> None:
    await world.call("sendMessage", content=b"nonsense")
    calling, message_id = await world.calling(json=SAID)
    before = world.places.taken[BOT_ID]
    await world.sent(message_id)
    await calling

    assert (before, world.places.taken[BOT_ID]) == (1, 0)


async def test_a_ledger_that_is_away_is_said_in_telegrams_form(world: DoorWorld) -> None:
    world.storage.asleep = True

    code, description = refusal_of(await world.call("sendMessage", json=SAID))

    assert (code, description[:19]) == (503, "Service Unavailable")


async def test_an_error_of_ours_is_logged_without_the_token_and_answered_with_a_reference(world: DoorWorld) -> None:
    async def fails(token: str) -> int:
        raise RuntimeError(f"cannot reach http://x/bot{token}/getMe")

    world.tokens.bot_of = fails  # type: ignore[method-assign]
    with capture_logs() as logs:
        code, description = refusal_of(await world.call("sendMessage", json=SAID))

    (unhandled,) = (each for each in logs if each["event"] == "unhandled_error")
    assert (code, unhandled["reference"] in description) == (500, True)
    assert BOT_TOKEN not in str(logs)


async def test_no_log_line_of_a_call_has_its_token(world: DoorWorld) -> None:
    with capture_logs() as logs:
        await world.call("getMe")
        await world.call("sendMessage", content=b"nonsense")
        await world.anonymous.get(f"/file/bot{BOT_TOKEN}/a.jpg")

    assert [each["route"] for each in logs] == [
        "/bot{bot_token}/{method:path}",
        "/bot{bot_token}/{method:path}",
        "/file/bot{bot_token}/{file_path:path}",
    ]
    assert BOT_TOKEN not in str(logs)


async def test_the_api_of_our_own_is_where_it_was(world: DoorWorld) -> None:
    assert (await world.client.get("/bots")).status_code == 200
    assert (await world.client.get("/bots/42")).status_code == 200
    assert (await world.anonymous.get("/bots/42")).status_code == 401


async def test_without_the_setting_there_is_no_door() -> None:
    response = await World().anonymous.post(f"/bot{BOT_TOKEN}/sendMessage", json=SAID)

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
