"""Whatever a user gets wrong is answered by one clear sentence, the right status, and no traceback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN, Program, program, update

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    directory = tmp_path_factory.mktemp("bad-input")
    async with running_simulator() as telegram, program(directory, telegram.url) as running:
        yield running


REQUESTS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "malformed JSON": ("POST", "/messages", {"data": b'{"bot": ', "headers": JSON}, 400, "JSON"),
    "a wrong type": ("POST", "/messages", {"json": {"bot": "42", "chat_id": [], "text": "x"}}, 422, "chat_id"),
    "an unknown bot": ("POST", "/messages", {"json": {"bot": "99", "chat_id": 5, "text": "x"}}, 400, "99"),
    "an unknown method": (
        *("POST", "/messages"),
        {"json": {"bot": "42", "chat_id": 5, "method": "sendNonsense", "params": {}}},
        *(400, "sendNonsense"),
    ),
    "a wrong parameter": (
        *("POST", "/messages"),
        {"json": {"bot": "42", "chat_id": 5, "method": "sendPhoto", "params": {"photo": 5}}},
        *(400, "photo is 5"),
    ),
    "a text that is too long": (
        *("POST", "/messages"),
        {"json": {"bot": "42", "chat_id": 5, "text": "x" * 4097}},
        *(400, "message is too long: text has 4,097 characters"),
    ),
    "a body of 50 MB": ("POST", "/messages", {"data": BytesIO(b" " * 50_000_000), "headers": JSON}, 413, "larger"),
    "no bearer token": ("GET", "/queue/stats", {"headers": {"Authorization": ""}}, 401, "Authorization"),
    "a wrong bearer token": ("GET", "/queue/stats", {"headers": {"Authorization": "Bearer no"}}, 401, "token"),
    "an update that is none": ("POST", f"/webhook/telegram/{TOKEN}", {"data": b"[1]"}, 400, "update_id"),
    "an update that is not JSON": ("POST", f"/webhook/telegram/{TOKEN}", {"data": b"{"}, 400, "JSON"),
    "a wrong token": ("POST", "/webhook/telegram/42:wrong", {"data": b"{}"}, 404, ""),
    "no token at all": ("POST", "/webhook/telegram/nonsense", {"data": b"{}"}, 404, ""),
    "a bot token that is none": ("POST", "/bots", {"json": {"token": "nonsense"}}, 400, "BotFather"),
}


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_invalid_request_is_refused_in_one_sentence(tempogram: Program, what: str) -> None:
    method, path, request, expected, word = REQUESTS[what]

    status, answer = await tempogram.call(method, path, **request)

    assert (status, list(answer)) == (expected, ["error"])
    assert word in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]
    output = tempogram.output.read_text()
    assert "Traceback" not in output
    assert TOKEN not in output
    assert ADMIN_TOKEN not in output


SETTINGS = {
    "TELEGRAM_BOT_LIMIT": ("many", "TELEGRAM_BOT_LIMIT is 'many'"),
    "PORT": ("99999", "PORT is '99999'"),
    "TELEGRAM_BASE_DELAY": ("90", "TELEGRAM_BASE_DELAY (90.0) must not be longer than TELEGRAM_MAX_DELAY (60.0)"),
    "DATABASE_URL": ("mysql://me:secret@host/database", "DATABASE_URL begins with mysql://; it must begin with"),
    "REDIS_URL": ("me:secret@localhost", "REDIS_URL makes no sense: it must begin with redis://"),
    "BOT_TOKENS": ("nonsense", "not a bot token"),
    "HOST": ("203.0.113.1", "cannot listen on 203.0.113.1"),
    "SERVICES_FILE": ("nowhere.toml", "SERVICES_FILE is 'nowhere.toml', which cannot be read"),
    "TWILIO_CONCURRENCY_LIMIT": ("many", "TWILIO_CONCURRENCY_LIMIT is 'many'; it must be a whole number above 0"),
    "SECRET_KEY": ("short", "SECRET_KEY has 5 characters"),
}


@pytest.mark.parametrize("name", SETTINGS)
async def test_an_invalid_setting_ends_the_start_with_one_sentence(tmp_path: Path, name: str) -> None:
    value, sentence = SETTINGS[name]
    broken = Program(tmp_path, **{name: value})

    process = await broken.spawn()
    status = await process.wait()
    await broken.session.close()

    (line,) = broken.output.read_text().splitlines()
    assert status == 2
    assert line.startswith("tempogram: ")
    assert sentence in line
    assert "secret" not in line.replace("SECRET", "")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_update_that_no_parser_takes_is_confirmed_and_what_follows_it_is_handled(tempogram: Program) -> None:
    """Refused, Telegram would deliver it for a day."""
    deep = b'{"update_id":701,"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    seen = len(tempogram.output.read_text())

    first = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", data=deep)
    second = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update(702, "hello"))

    lines = [json.loads(line) for line in tempogram.output.read_text()[seen:].splitlines()]
    skipped = [(each["bot_id"], each["update_id"]) for each in lines if each["event"] == "update_skipped"]
    assert (first, second) == ((200, {"ok": True}), (200, {"ok": True}))
    assert skipped == [(42, 701)]
    assert "Traceback" not in tempogram.output.read_text()[seen:]


async def test_a_port_in_use_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        late = Program(tmp_path, PORT=str(listener.getsockname()[1]))
        process = await late.spawn()
        status = await process.wait()
    await late.session.close()

    assert status == 2
    assert "set HOST and PORT to a free address" in late.output.read_text()
