"""``tempogram chats``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.forked import type_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT = "42"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    directory = tmp_path_factory.mktemp("program")
    async with running_simulator() as telegram, program(directory, telegram.url) as running:
        yield running


async def chats(tempogram: Program, *words: str, given: str = "") -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["chats", words[0], "--url", tempogram.url, *words[1:]], answer=given)


async def test_a_chat_is_changed_and_shown(tempogram: Program) -> None:
    said = ("--time-zone", "Europe/Berlin", "--tag", "vip", "--tag", "[chess]", "--quiet-hours", "22:00-8:00")
    status, table, _ = await chats(tempogram, "set", BOT, "7", *said, "--opted-out")
    await chats(tempogram, "set", BOT, "7", "--language", "de")
    _, printed, _ = await chats(tempogram, "show", "--json", BOT, "7")
    await chats(tempogram, "set", BOT, "7", "--time-zone", "none", "--tag", "none", "--quiet-hours", "none")
    _, cleared, _ = await chats(tempogram, "show", "--json", BOT, "7")

    assert status == 0
    assert "Europe/Berlin" in table
    assert "[chess], vip" in table
    assert "opted out" in table
    shown, emptied = json.loads(printed), json.loads(cleared)
    assert (shown["language"], shown["quiet_hours"]) == ("de", {"from": "22:00", "until": "08:00"})
    assert (emptied["time_zone"], emptied["tags"], emptied["quiet_hours"], emptied["language"]) == (
        None,
        [],
        None,
        "de",
    )


async def test_a_group_is_named_after_two_dashes(tempogram: Program) -> None:
    await chats(tempogram, "set", "--language", "fr", "--", BOT, "-1005")

    assert '"language": "fr"' in (await chats(tempogram, "show", "--json", "--", BOT, "-1005"))[1]


async def test_a_list_is_imported_and_wrong_lines_are_named(tempogram: Program) -> None:
    file = tempogram.directory / "chats.csv"
    file.write_text(
        "chat_id,time_zone,tags\n" + "".join(f"{n},Asia/Tokyo,crowd\n" for n in range(1_000, 2_500)) + "x,,\n"
    )

    status, output, errors = await chats(tempogram, "import", BOT, str(file))
    _, listed, _ = await chats(tempogram, "list", "--json", "--limit", "2000", "--tag", "crowd", BOT)

    assert (status, output) == (1, "1,500 stored, 1 wrong\n")
    assert "line 1,502: chat_id should be a chat's id or its @name, not 'x'" in errors
    assert [each["chat_id"] for each in json.loads(listed)["chats"]] == list(range(1_000, 2_500))


async def test_a_list_comes_from_the_standard_input_too(tempogram: Program) -> None:
    status, output, _ = await chats(tempogram, "import", "--json", BOT, "-", given='{"chat_id": 9}\n')

    assert (status, json.loads(output)) == (0, {"stored": 1, "wrong": 0})


async def test_what_makes_no_sense_is_refused_in_one_sentence(tempogram: Program) -> None:
    _, _, zone = await chats(tempogram, "set", BOT, "7", "--time-zone", "Berlin")
    _, _, hours = await chats(tempogram, "set", BOT, "7", "--quiet-hours", "late")
    _, _, unknown = await chats(tempogram, "show", BOT, "12345")
    _, table, _ = await chats(tempogram, "list", BOT, "--tag", "unused-tag")

    assert "time_zone should be an IANA time zone such as Europe/Berlin, not 'Berlin'" in zone
    assert "write them as in 22:00-08:00" in hours
    assert "bot 42 knows no chat 12345" in unknown
    assert "There is no such chat" in table
