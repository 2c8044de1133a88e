"""``tempogram chats``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

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


async def test_everything_of_a_chat_is_exported_to_a_file_or_the_standard_output(tempogram: Program) -> None:
    await chats(tempogram, "set", BOT, "21", "--tag", "vip")
    file = tempogram.directory / "chat-21.jsonl"

    status, said, errors = await chats(tempogram, "export", BOT, "21", "--output", str(file))
    _, printed, _ = await chats(tempogram, "export", BOT, "21")

    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert (status, said, errors) == (0, "", "")
    assert [row.get("table") for row in rows[:2]] == ["chats", "chat_tags"]
    assert rows[-1] == {"end": True, "rows": len(rows) - 1}
    assert '"tag":"vip"' in printed


async def test_a_chat_is_erased_when_its_operator_confirms_and_allowed_again(tempogram: Program) -> None:
    await chats(tempogram, "set", BOT, "22", "--tag", "vip")

    declined, _, asked = await chats(tempogram, "erase", BOT, "22", given="n\n")
    _, kept, _ = await chats(tempogram, "show", "--json", BOT, "22")
    status, erased, _ = await chats(tempogram, "erase", "--yes", BOT, "22")
    _, _, gone = await chats(tempogram, "show", BOT, "22")
    _, allowed, _ = await chats(tempogram, "allow", BOT, "22")
    _, again, _ = await chats(tempogram, "allow", BOT, "22")

    assert declined == 1
    assert "Delete everything of chat 22 of bot 42, and cancel what waits for it? [y/N]" in asked
    assert json.loads(kept)["tags"] == ["vip"]
    assert (status, erased) == (0, "Deleted: chat_tags 1, chats 1.\n")
    assert "bot 42 knows no chat 22" in gone
    assert allowed == "Chat 22 may be written to again.\n"
    assert again == "Chat 22 was not erased.\n"


async def test_an_export_that_was_cut_off_is_said(tempogram: Program) -> None:
    async def cut_off(_: web.Request) -> web.Response:
        return web.Response(body=b'{"table":"texts","text":"{\\"end\\":true,"}\n')

    app = web.Application()
    app.router.add_get("/bots/42/chats/7/export", cut_off)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]

    status, _, errors = await type_in(
        tempogram.directory, ["chats", "export", "--url", f"http://{host}:{port}", BOT, "7"]
    )
    await runner.cleanup()

    assert status == 2
    assert "the export was cut off; try again" in errors
