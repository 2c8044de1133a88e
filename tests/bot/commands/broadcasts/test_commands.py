"""``tempogram broadcast``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.forked import type_in

BOT = "42"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    directory = tmp_path_factory.mktemp("program")
    async with running_simulator() as telegram, program(directory, telegram.url) as running:
        yield running


async def broadcast(tempogram: Program, *words: str) -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["broadcast", *words, "--url", tempogram.url])


async def test_one_is_made_previewed_started_and_shown(tempogram: Program) -> None:
    status, printed, _ = await broadcast(tempogram, "create", BOT, "Hello {title|you}", "--chat", "7", "--json")
    number = str(json.loads(printed)["id"])
    assert status == 0

    _, preview, _ = await broadcast(tempogram, "preview", number)
    _, started, _ = await broadcast(tempogram, "start", number, "--yes", "--json")
    _, listed, _ = await broadcast(tempogram, "list")

    assert "It would go to 0 chats." in preview
    assert json.loads(started)["state"] == "running"
    assert "broadcast" in listed


async def test_a_file_goes_along_and_one_that_is_not_there_is_refused(tempogram: Program) -> None:
    cat = tempogram.directory / "cat.jpg"
    cat.write_bytes(b"a cat")
    words = "create", BOT, "--method", "sendPhoto", "--params", '{"caption": "a cat"}', "--chat", "7", "--json"

    status, printed, error = await broadcast(tempogram, *words, "--file", f"photo={cat}")
    assert (status, json.loads(printed or "{}").get("method")) == (0, "sendPhoto"), error

    status, _, error = await broadcast(tempogram, *words, "--file", f"photo={cat}.png")
    assert (status, f"there is no file {cat}.png" in error.replace("\n", "")) == (2, True)


async def test_an_error_is_one_sentence(tempogram: Program) -> None:
    status, _, error = await broadcast(tempogram, "show", "999")

    assert (status, "there is no broadcast 999" in error) == (2, True)
    assert (await broadcast(tempogram, "create", BOT, "x", "--params", "{"))[0] == 2
