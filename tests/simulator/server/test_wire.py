"""Requests in every form that the Bot API takes, and answers in the one that it gives."""

import asyncio
import json
from hashlib import sha256
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.simulator.conftest import Client

QUERY = {"chat_id": "7", "text": "hello"}
PHOTO = {"type": "photo", "media": "id"}


async def test_methods_are_found_in_any_case(client: Client) -> None:
    assert (await client.call("SENDmessage", **QUERY))["ok"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_parameters_may_stand_in_the_query(client: Client, method: str) -> None:
    url = f"{client.url}/bot{client.token}/sendMessage"

    async with client.session.request(method, url, params=QUERY) as response:
        assert (await response.json())["result"]["text"] == "hello"


async def test_parameters_may_come_as_a_form(client: Client) -> None:
    async with client.session.post(f"{client.url}/bot{client.token}/sendMessage", data=QUERY) as response:
        assert (await response.json())["result"]["chat"]["id"] == 7


async def test_files_come_as_multipart_and_are_counted(client: Client) -> None:
    form = aiohttp.FormData(QUERY | {"caption": "look"})
    form.add_field("document", b"x" * 70_000, filename="x.bin")

    async with client.session.post(f"{client.url}/bot{client.token}/sendDocument", data=form) as response:
        result = (await response.json())["result"]

    assert result["document"]["file_size"] == 70_000
    assert result["document"]["file_id"]
    assert result["caption"] == "look"


async def test_an_album_in_a_form_is_json_in_a_field(client: Client) -> None:
    media = [{"type": "photo", "media": "attach://a"}, {"type": "video", "media": "file-id"}]
    form = aiohttp.FormData({"chat_id": "7", "media": json.dumps(media)})
    form.add_field("a", b"picture", filename="a.jpg")

    async with client.session.post(f"{client.url}/bot{client.token}/sendMediaGroup", data=form) as response:
        first, second = (await response.json())["result"]

    assert first["media_group_id"] == second["media_group_id"]
    assert second["message_id"] == first["message_id"] + 1
    assert client.simulator.report().places == 2


async def uploaded(client: Client, method: str = "sendDocument", name: str = "document", **fields: str) -> Any:
    form = aiohttp.FormData(QUERY | fields)
    form.add_field(name, b"a file", filename="x.bin")
    async with client.session.post(f"{client.url}/bot{client.token}/{method}", data=form) as response:
        return (await response.json())["result"]


async def test_a_file_is_shown_by_its_size_and_its_sha256_however_it_was_sent(client: Client) -> None:
    document = (await uploaded(client))["document"]

    again = (await client.call("sendDocument", chat_id=7, document=document["file_id"]))["result"]["document"]
    file = (await client.call("getFile", file_id=document["file_id"]))["result"]

    assert (document["file_size"], document["file_unique_id"]) == (6, sha256(b"a file").hexdigest())
    assert again == document
    assert (file["file_size"], file["file_unique_id"]) == (6, document["file_unique_id"])


async def test_a_file_id_that_was_never_given_is_refused(client: Client) -> None:
    unknown = "sim-" + "0" * 32

    sent = await client.call("sendDocument", chat_id=7, document=unknown)
    album = await client.call("sendMediaGroup", chat_id=7, media=[{"type": "photo", "media": unknown}])
    file = await client.call("getFile", file_id=unknown)

    assert sent["description"] == "Bad Request: wrong file identifier/HTTP URL specified"
    assert album["description"] == sent["description"]
    assert file["description"] == "Bad Request: wrong file_id or the file is temporarily unavailable"


async def test_a_file_id_is_of_one_bot_and_one_kind(client: Client) -> None:
    file_id = (await uploaded(client))["document"]["file_id"]

    as_photo = await client.call("sendPhoto", chat_id=7, photo=file_id)
    client.token = "101:other"
    by_another = await client.call("sendDocument", chat_id=7, document=file_id)

    assert as_photo["description"] == "Bad Request: can't use file of type Document as Photo"
    assert by_another["description"] == "Bad Request: wrong file identifier/HTTP URL specified"


async def test_an_animation_can_be_sent_again(client: Client) -> None:
    file_id = (await uploaded(client, "sendAnimation", "animation"))["animation"]["file_id"]

    assert (await client.call("sendAnimation", chat_id=7, animation=file_id))["ok"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b'"text"', b"[" * 9_000, b'{"\xed\xa0\x80":1}'])
async def test_a_body_that_is_no_object_cannot_be_parsed(client: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    url = f"{client.url}/bot{client.token}/sendMessage"

    async with client.session.post(url, data=body, headers=headers) as response:
        answer = await response.json()

    assert response.status == answer["error_code"] == 400
    assert answer["description"].startswith("Bad Request: can't parse")


@pytest.mark.parametrize("body", [b"nonsense", b'--x\r\nContent-Disposition: form-data; name="\0"\r\n\r\na\r\n--x--'])
async def test_a_multipart_body_that_cannot_be_read_is_refused_with_the_same_text(client: Client, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    url = f"{client.url}/bot{client.token}/sendMessage"

    async with client.session.post(url, data=body, headers=headers) as response:
        assert (await response.json())["error_code"] == 400


async def test_a_body_above_the_bound_is_too_large(client: Client) -> None:
    client.change(body_limit_bytes=1_000)

    assert (await client.send(7, "x" * 2_000))["error_code"] == 413


@pytest.mark.parametrize(
    ("params", "description"),
    [
        ({"chat_id": 7}, "message text is empty"),
        ({"chat_id": 7, "text": " \n"}, "message text is empty"),
        ({"chat_id": 7, "text": "a" * 4_097}, "message is too long"),
        ({"chat_id": 7, "text": "\U0001f600" * 4_097}, "message is too long"),
        ({"chat_id": 7, "text": "<b>" + "a" * 4_097 + "</b>", "parse_mode": "HTML"}, "message is too long"),
        ({"text": "hello"}, "chat_id is empty"),
        ({"chat_id": "unknown", "text": "hello"}, "chat not found"),
        (
            {"chat_id": 7, "text": "hello", "message_thread_id": 10**30},
            'invalid value of parameter "message_thread_id"',
        ),
        ({"chat_id": 7, "text": "hello", "reply_markup": "{"}, "can't parse reply_markup JSON object"),
    ],
)
async def test_an_invalid_message_is_refused_with_telegrams_error_text(
    client: Client, params: dict[str, Any], description: str
) -> None:
    answer = await client.call("sendMessage", **params)

    assert answer == {"ok": False, "error_code": 400, "description": f"Bad Request: {description}"}


async def test_the_longest_text_and_caption_are_taken(client: Client) -> None:
    assert (await client.send(7, "\U0001f600" * 4_096))["ok"]
    assert (await client.call("sendMessage", chat_id=8, text="<b>a</b>" * 4_096, parse_mode="HTML"))["ok"]
    assert (await client.call("sendPhoto", chat_id=7, photo="id", caption="\U0001f600" * 1_024))["ok"]
    too_long = await client.call("sendPhoto", chat_id=7, photo="id", caption="a" * 1_025)
    assert too_long["description"] == "Bad Request: message caption is too long"


@pytest.mark.parametrize(
    ("method", "params", "description"),
    [
        ("sendMediaGroup", {"media": []}, "there are no messages to send"),
        ("sendMediaGroup", {"media": [PHOTO] * 11}, "too many messages to send as an album"),
        ("sendMediaGroup", {"media": [PHOTO, PHOTO | {"caption": "a" * 1_025}]}, "message caption is too long"),
        ("sendPaidMedia", {"media": [PHOTO] * 11, "star_count": 1}, "there are too many media in the request"),
        ("sendPoll", {"question": "?", "options": []}, "poll must have at least one answer option"),
        ("sendPoll", {"question": "?", "options": ["a"] * 13}, "poll can't have more than 12 options"),
        ("sendPoll", {"question": "?" * 301, "options": ["a"]}, "poll question length must not exceed 300"),
        ("sendPoll", {"question": "?", "options": ["a" * 101]}, "poll options length must not exceed 100"),
        ("copyMessages", {"from_chat_id": 7, "message_ids": []}, "message identifiers are not specified"),
        (
            *("copyMessages", {"from_chat_id": 7, "message_ids": list(range(1, 102))}),
            "too many message identifiers specified",
        ),
        ("deleteMessages", {"message_ids": list(range(1, 102))}, "too many message identifiers specified"),
        ("setMyCommands", {"commands": [{"command": "a", "description": "b"}] * 101}, "BOT_COMMANDS_TOO_MUCH"),
        ("setStickerEmojiList", {"emoji_list": ["a"] * 21}, "there are too many emoji_list in the request"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_list_that_telegram_refuses_is_refused_in_its_words(
    client: Client, method: str, params: dict[str, Any], description: str
) -> None:
    answer = await client.call(method, chat_id=7, **params)

    assert answer == {"ok": False, "error_code": 400, "description": f"Bad Request: {description}"}


async def test_an_album_of_one_item_is_an_ordinary_message(client: Client) -> None:
    (message,) = (await client.call("sendMediaGroup", chat_id=7, media=[PHOTO]))["result"]

    assert "media_group_id" not in message


async def test_an_unknown_method_is_not_found(client: Client) -> None:
    answer = await client.call("sendNothing")

    assert answer == {"ok": False, "error_code": 404, "description": "Not Found: method not found"}


async def test_a_token_that_was_never_given_out_is_unauthorized_and_a_malformed_one_not_found(
    client: Client,
) -> None:
    client.change(accept_any_token=False)

    client.token = "200:abc"
    assert (await client.call("getMe"))["description"] == "Unauthorized"
    client.token = "100:other"
    assert (await client.call("getMe"))["error_code"] == 401
    client.token = "nonsense"
    assert (await client.call("getMe"))["error_code"] == 404


async def test_a_throttled_call_says_when_to_retry_in_body_and_header(client: Client) -> None:
    client.change(group_limit=1, group_window_ms=60_000)
    await client.send(-5)
    url = f"{client.url}/bot{client.token}/sendMessage"

    async with client.session.post(url, json={"chat_id": -5, "text": "again"}) as response:
        answer = await response.json()

    assert response.status == 429
    assert answer["description"] == "Too Many Requests: retry after 60"
    assert answer["parameters"] == {"retry_after": 60}
    assert response.headers["Retry-After"] == "60"


async def test_a_name_and_its_number_are_one_chat(client: Client) -> None:
    client.change(group_limit=2)
    chat = client.simulator.add_chat("channel", "News", username="news")

    by_name = await client.send("@News")
    by_number = await client.send(chat.chat_id)

    assert by_name["result"]["chat"]["id"] == chat.chat_id
    assert by_number["result"]["message_id"] == by_name["result"]["message_id"] + 1
    assert (await client.send("@news"))["error_code"] == 429


async def test_unknown_chats_are_not_found_when_only_known_ones_are_accepted(client: Client) -> None:
    client.change(accept_any_chat=False)
    client.simulator.add_user("Anna", user_id=7)

    assert (await client.send(7))["ok"]
    assert (await client.send(8))["description"] == "Bad Request: chat not found"
    assert (await client.send("@unknown"))["description"] == "Bad Request: chat not found"


async def test_reading_methods_cost_nothing(client: Client) -> None:
    client.change(bot_limit=1, accept_any_message=True)
    await client.send(7)

    for method in ("getMe", "sendChatAction", "answerCallbackQuery", "deleteMessage", "getChat", "setMyCommands"):
        answer = await client.call(method, chat_id=7, action="typing", message_id=1, callback_query_id="1")
        assert answer["ok"], method

    assert client.simulator.report().places == 1


async def test_edits_share_the_budget_of_their_chat(client: Client) -> None:
    client.change(group_limit=2)
    message_id = (await client.send(-5))["result"]["message_id"]

    edited = await client.call("editMessageText", chat_id=-5, message_id=message_id, text="better")
    refused = await client.call("editMessageText", chat_id=-5, message_id=message_id, text="best")

    assert edited["result"]["edit_date"]
    assert refused["error_code"] == 429


async def test_an_inline_message_is_edited_without_a_chat(client: Client) -> None:
    answer = await client.call("editMessageText", inline_message_id="x", text="better")

    assert answer["result"] is True


async def test_forwards_and_copies_cost_what_they_carry(client: Client) -> None:
    client.change(accept_any_message=True)
    await client.call("forwardMessages", chat_id=-5, from_chat_id=7, message_ids=[1, 2, 3])
    await client.call("copyMessages", chat_id=-5, from_chat_id=7, message_ids="[4, 5]")
    await client.call("createForumTopic", chat_id=-5, name="News")

    assert client.simulator.report().places == 6


async def test_setting_a_webhook_twice_in_a_second_is_too_often(client: Client) -> None:
    assert (await client.call("setWebhook", url=""))["ok"]

    answer = await client.call("setWebhook", url="")

    assert answer["parameters"] == {"retry_after": 1}
    assert client.simulator.report().throttled == {"webhook": 1}


@pytest.mark.parametrize(
    ("params", "taken"),
    [
        ({"url": "http://127.0.0.1:5/x"}, True),
        ({"url": "https://example.com/x", "secret_token": "a_B-9"}, True),
        ({"url": "http://example.com/x"}, False),
        ({"url": "https://example.com:81/x"}, False),
        ({"url": "https://example.com/x", "secret_token": "no spaces"}, False),
        ({"url": "https://example.com/x", "secret_token": "a" * 257}, False),
    ],
)
async def test_a_webhook_needs_a_proper_address_and_secret(
    client: Client, params: dict[str, str], *, taken: bool
) -> None:
    assert (await client.call("setWebhook", **params))["ok"] is taken


async def test_any_webhook_address_is_taken_when_the_settings_say_so(client: Client) -> None:
    client.change(any_webhook_url=True)

    assert (await client.call("setWebhook", url="http://app:8000/webhook"))["ok"]


async def test_requests_over_one_connection_are_answered_in_turn(client: Client) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for number in range(3):
            url = f"{client.url}/bot{client.token}/sendMessage"
            async with session.post(url, json={"chat_id": -5, "text": str(number)}) as response:
                assert response.status == web.HTTPOk.status_code


async def test_a_call_whose_client_goes_away_in_the_middle_has_no_effect(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = client.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /bot{client.token}/sendMessage HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n"
    writer.write(f'{head}Content-Type: application/json\r\n\r\n{{"chat_id": 7,'.encode())
    await writer.drain()
    await client.call("getMe")  # by now the other call has begun

    writer.transport.abort()
    await client.call("getMe")

    assert client.simulator.report().places == 0
    assert caplog.records == []
