"""A message as a form with files, as curl sends it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.api.core.errors import Malformed
from tempogram.api.http.multipart import Multipart
from tempogram.engine.model.messages import Guarantee, Priority
from tests.api.fakes import BOT_ID, UPLOAD_BYTES_MAX, World, error_of
from tests.fakes import START_MS

CAT = {"bot": str(BOT_ID), "chat_id": "7", "method": "sendPhoto", "caption": "hi"}
BLOCKED = "Forbidden: bot was blocked by the user"
PHOTO = {"photo": ("cat.jpg", b"a cat")}


async def post(world: World, fields: dict[str, str], files: dict[str, Any] | None = None) -> httpx.Response:
    return await world.client.post("/messages", data=fields, files=files or PHOTO)


async def test_a_form_is_a_message_whose_other_fields_are_parameters(world: World) -> None:
    response = await post(world, CAT)

    (message,) = world.storage.messages.values()
    assert response.json() == {"id": message.id, "status": "queued"}
    assert (message.bot_id, message.chat_id, message.method) == (BOT_ID, 7, "sendPhoto")
    assert message.params == b'{"caption":"hi"}'
    assert world.files.kept == {message.id: {"photo": ("cat.jpg", b"a cat")}}


async def test_a_form_can_have_every_field_of_the_json_body(world: World) -> None:
    options = {
        "priority": "low",
        "send_at": str(START_MS / 1_000 + 60),
        "expires_in_s": "10",
        "dedup_key": "cat",
        "delivery": "at_most_once",
        "user_id": "501",
        "params": '{"has_spoiler": true}',
    }

    await post(world, CAT | options)

    (message,) = world.storage.messages.values()
    assert message.params == b'{"has_spoiler":true,"caption":"hi"}'
    assert (message.priority, message.guarantee) == (Priority.LOW, Guarantee.AT_MOST_ONCE)
    assert (message.ready_at_ms, message.expires_at_ms) == (START_MS + 60_000, START_MS + 70_000)
    assert (message.dedup_key, message.user_id) == ("client:cat", 501)


async def test_a_form_without_files_is_a_message_too(world: World) -> None:
    fields = {"bot": str(BOT_ID), "chat_id": "7", "text": "hello"}

    response = await world.client.post("/messages", files={name: (None, value) for name, value in fields.items()})

    assert response.status_code == 202
    assert world.files.kept == {}


async def test_a_text_beside_a_method_is_the_methods(world: World) -> None:
    await post(world, CAT | {"method": "editMessageText", "text": "hello"})

    (message,) = world.storage.messages.values()
    assert b'"text":"hello"' in message.params


async def test_a_message_that_was_accepted_before_stores_no_second_file(world: World) -> None:
    first = await post(world, CAT | {"dedup_key": "cat"})

    again = await post(world, CAT | {"dedup_key": "cat"})

    assert again.json()["id"] == first.json()["id"]
    assert list(world.files.kept) == [first.json()["id"]]


async def test_a_message_whose_file_cannot_be_stored_is_not_accepted(world: World) -> None:
    world.files.asleep = True

    response = await post(world, CAT)

    assert response.status_code == 503
    assert world.storage.messages == {}


async def test_a_message_that_the_ledger_refuses_leaves_no_file(world: World) -> None:
    world.storage.asleep = True

    response = await post(world, CAT)

    assert response.status_code == 503
    assert (world.files.times_kept, world.files.kept) == (1, {})


async def test_no_file_is_stored_for_an_unreachable_chat(world: World) -> None:
    await world.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)

    response = await post(world, CAT)

    assert error_of(response)[:2] == (409, "chat_unreachable")
    assert world.files.times_kept == 0


async def test_no_file_remains_if_its_chat_becomes_unreachable_meanwhile(world: World) -> None:
    world.files.meanwhile = lambda: world.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)

    response = await post(world, CAT)

    assert error_of(response)[:2] == (409, "chat_unreachable")
    assert (world.files.times_kept, world.files.kept) == (1, {})


async def test_a_bot_that_is_removed_while_a_file_is_stored_submits_nothing(world: World) -> None:
    world.files.meanwhile = lambda: world.client.delete(f"/bots/{BOT_ID}")

    response = await post(world, CAT)

    assert error_of(response) == (400, "refused", "bot 42 does not run here; add it with POST /bots")
    assert (world.storage.messages, world.files.times_kept, world.files.kept) == ({}, 1, {})


async def test_a_message_accepted_before_its_chat_became_unreachable_is_still_known(world: World) -> None:
    first = await post(world, CAT | {"dedup_key": "cat"})
    await world.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)

    again = await post(world, CAT | {"dedup_key": "cat"})

    assert again.json()["id"] == first.json()["id"]
    assert list(world.files.kept) == [first.json()["id"]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"chat_id": "7", "method": "sendPhoto"}, (422, "invalid", "bot is missing")),
        ({"bot": str(BOT_ID), "chat_id": "7"}, (422, "invalid", "a message needs either a text or a method")),
        (CAT | {"params": "[1]"}, (422, "invalid", "params should be a JSON object, not '[1]'")),
        (CAT | {"photo": "AgAC"}, (422, "invalid", "the form has two fields named photo")),
        (CAT | {"bot": "99"}, (400, "refused", "bot 99 does not run here; add it with POST /bots")),
        (
            CAT | {"a name": "x"},
            (
                *(422, "invalid"),
                "a form's field should have a name of letters, digits, '_', '-' and '.', not 'a name'",
            ),
        ),
    ],
    ids=str,
)
async def test_an_invalid_form_is_refused_in_one_sentence(
    world: World, fields: dict[str, str], expected: tuple[int, str, str]
) -> None:
    assert error_of(await post(world, fields)) == expected
    assert (world.storage.messages, world.files.kept) == ({}, {})


async def test_a_file_that_is_too_large_is_refused_before_it_is_read_whole(world: World) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        for _ in range(100):
            taken += 10_000
            yield b"x" * 10_000
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await world.client.post("/messages", content=body(), headers=headers)

    status, code, sentence = error_of(response)
    assert (status, code) == (413, "file_too_large")
    assert sentence.startswith("the file 'a.jpg' is too large to upload: Telegram accepts 200,000 bytes from a bot")
    assert taken == UPLOAD_BYTES_MAX + 10_000


async def test_the_fields_of_a_form_may_have_no_more_bytes_than_a_json_body(world: World) -> None:
    response = await post(world, CAT | {"caption": "x" * (world.dependencies.body_bytes_max + 1)})

    assert error_of(response)[:2] == (413, "too_large")


async def test_a_form_without_a_valid_token_is_not_read(world: World) -> None:
    assert (await world.anonymous.post("/messages", data=CAT, files=PHOTO)).status_code == 401


@pytest.mark.parametrize(
    ("content_type", "body", "sentence"),
    [
        ("multipart/form-data", b"", "the Content-Type of the form has no boundary"),
        ("multipart/form-data; boundary=x", b"", "the form ends in the middle of a part"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nab',
            "the form ends in the middle of a part",
        ),
        ("multipart/form-data; boundary=x", b"--x??", "the form has bytes between its parts"),
        ("multipart/form-data; boundary*0=x; boundary*=y", b"", "the Content-Type of the form has no boundary"),
        *(
            (
                "multipart/form-data; boundary=x",
                b"--x\r\nContent-Disposition: form-data; " + parameters + b"\r\n\r\na\r\n--x--",
                "a part of the form has headers that cannot be read",
            )
            for parameters in (
                b"name*0=a; name*=b''c",
                b"name=a; filename*0=a; filename*=b",
                b"name=a; filename*00*=\0*1''\0",
            )
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n" + b"A: b\r\n" * 5_000,
            "a part of the form has headers that do not end",
        ),
    ],
)
async def test_a_body_that_is_not_a_form_is_refused(
    world: World, content_type: str, body: bytes, sentence: str
) -> None:
    response = await world.client.post("/messages", content=body, headers={"Content-Type": content_type})

    assert error_of(response) == (400, "malformed", sentence)


async def test_the_openapi_description_has_the_form(world: World) -> None:
    description = (await world.client.get("/openapi.json")).json()

    content = description["paths"]["/messages"]["post"]["requestBody"]["content"]

    assert sorted(content) == ["application/json", "multipart/form-data"]
    assert content["multipart/form-data"]["schema"]["required"] == ["bot"]


@given(
    contents=st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--", b"\r\n--x", b"--xyz--", b"\r\n\r\n"])),
    size=st.integers(1, 100),
)
async def test_a_form_gives_the_same_parts_wherever_its_chunks_end(contents: list[bytes], size: int) -> None:
    head = 'Content-Disposition: form-data; name="n{}"; filename="ä;\\".jpg"'
    parts = [
        b"--xyz\r\n" + head.format(number).encode() + b"\r\n\r\n" + content + b"\r\n"
        for number, content in enumerate(contents)
    ]
    body = b"preamble\r\n" + b"".join(parts) + b"--xyz--\r\nepilogue"

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    found = [
        (part.name, part.file_name, b"".join([chunk async for chunk in part.chunks]))
        async for part in Multipart(chunks(), "xyz").parts()
    ]

    assert found == [(f"n{number}", 'ä;".jpg', content) for number, content in enumerate(contents)]


async def test_a_part_that_is_not_read_is_skipped() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for name in ("a", "b"):
            yield f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nunread\r\n'.encode()
        yield b"--x--"

    assert [part.name async for part in Multipart(chunks(), "x").parts()] == ["a", "b"]


async def test_a_malformed_form_is_refused_with_its_reason() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"no form"

    with pytest.raises(Malformed, match=re.escape("in the middle of a part")):
        await anext(Multipart(chunks(), "x").parts())
