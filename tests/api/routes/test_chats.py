from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tempogram.api.schemas.chats import WRONG_LINES_MAX, ChatOut, ChatsOut, ImportedOut
from tempogram.api.security.principals import Role
from tempogram.api.usecases.chat_import import LINES_MAX, PIECE
from tempogram.engine.model.selection import QuietHours
from tests.api.fakes import BOT_ID, World, error_of
from tests.api.memory_chats import unknown
from tests.fakes import START_MS

CSV = {"Content-Type": "text/csv; charset=utf-8"}
LINES = {"Content-Type": "application/x-ndjson"}
PATH = f"/bots/{BOT_ID}/chats"
IMPORT = f"{PATH}/import"

NO_TIME = "should be ISO 8601 with a zone (2026-01-01T12:00:00Z) or seconds since the epoch"


async def imported(world: World, body: str, headers: dict[str, str] = CSV) -> dict[str, Any]:
    response = await world.of(Role.OPERATOR).post(IMPORT, content=body.encode(), headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    ImportedOut.model_validate(answer)
    return answer


async def test_what_is_said_of_a_chat_is_stored_and_shown(world: World) -> None:
    said = {
        "time_zone": "Europe/Berlin",
        "language": "de",
        "tags": ["vip"],
        "opted_out": True,
        "quiet_hours": {"from": "22:00", "until": "8:00"},
    }

    changed = (await world.of(Role.OPERATOR).patch(f"{PATH}/7", json=said)).json()
    shown = (await world.of(Role.VIEWER).get(f"{PATH}/7")).json()

    assert shown == changed
    assert shown["quiet_hours"] == {"from": "22:00", "until": "08:00"}
    assert {name: shown[name] for name in said if name != "quiet_hours"} == {
        name: value for name, value in said.items() if name != "quiet_hours"
    }
    assert world.chats.known[BOT_ID, 7].opted_out_at_ms == START_MS
    ChatOut.model_validate(shown)


async def test_what_a_campaign_has_waiting_for_a_chat_is_taken_back_when_it_opts_out(world: World) -> None:
    message = {"bot": str(BOT_ID), "chat_id": 7, "text": "Hello", "send_at": START_MS / 1_000 + 60}
    bodies = [message | {"dedup_key": "campaign:weekly:7:2026-01-01"}, message]
    ids = [(await world.client.post("/messages", json=each)).json()["id"] for each in bodies]

    await world.client.patch(f"{PATH}/7", json={"opted_out": True})

    states = [(await world.client.get(f"/messages/{each}")).json()["status"] for each in ids]
    assert states == ["cancelled", "queued"]


async def test_what_a_change_leaves_out_stays_and_null_deletes(world: World) -> None:
    await world.client.patch(f"{PATH}/7", json={"time_zone": "Asia/Tokyo", "language": "ja", "opted_out": True})

    answer = (await world.client.patch(f"{PATH}/7", json={"time_zone": None, "opted_out": False})).json()

    assert (answer["time_zone"], answer["language"], answer["opted_out"]) == (None, "ja", False)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "say what to change: time_zone, language, tags, opted_out or quiet_hours"),
        ({"time_zone": "Berlin"}, "time_zone should be an IANA time zone such as Europe/Berlin, not 'Berlin'"),
        ({"language": "Klingon!"}, "language should be a language such as de or pt-BR, not 'Klingon!'"),
        ({"opted_out": "yes"}, "opted_out should be a valid boolean, not 'yes'"),
        ({"quiet_hours": {"from": "25:00", "until": "8:00"}}, "should be a time of day such as 22:00, not '25:00'"),
        ({"quiet_hours": {"from": "8:00", "until": "8:00"}}, "should end at another time than they begin"),
        ({"title": "Anna"}, "title is not a field of this request"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused_in_one_sentence(
    world: World, body: dict[str, Any], sentence: str
) -> None:
    status, code, message = error_of(await world.client.patch(f"{PATH}/7", json=body))

    assert (status, code) == (422, "invalid")
    assert sentence in message
    assert not world.chats.known


async def test_chats_are_listed_in_pages_and_by_tag(world: World) -> None:
    for chat_id in range(1, 6):
        await world.client.patch(f"{PATH}/{chat_id}", json={"tags": ["odd"] if chat_id % 2 else []})

    first = (await world.of(Role.VIEWER).get(PATH, params={"limit": 2})).json()
    last = (await world.client.get(PATH, params={"limit": 3, "after": first["next_after"]})).json()
    odd = (await world.client.get(PATH, params={"tag": "odd"})).json()

    assert ([each["chat_id"] for each in first["chats"]], first["next_after"]) == ([1, 2], "2")
    assert ([each["chat_id"] for each in last["chats"]], last["next_after"]) == ([3, 4, 5], None)
    assert [each["chat_id"] for each in odd["chats"]] == [1, 3, 5]
    ChatsOut.model_validate(first)


async def test_a_chat_is_shown_by_an_older_name_of_it(world: World) -> None:
    world.chats.known[BOT_ID, "@chess"] = replace(unknown(BOT_ID, "@chess"), alias_of=-1005)
    world.chats.known[BOT_ID, -1005] = unknown(BOT_ID, -1005)

    assert (await world.client.get(f"{PATH}/@chess")).json()["chat_id"] == -1005


@pytest.mark.parametrize("path", ["/bots/99/chats", "/bots/99/chats/7", f"{PATH}/7"])
async def test_a_bot_or_a_chat_that_there_is_not_is_not_found(world: World, path: str) -> None:
    assert (await world.client.get(path)).status_code == 404


async def test_a_viewer_changes_and_imports_nothing(world: World) -> None:
    viewer = world.of(Role.VIEWER)

    assert (await viewer.patch(f"{PATH}/7", json={"language": "de"})).status_code == 403
    assert (await viewer.post(IMPORT, content=b"chat_id\n7\n", headers=CSV)).status_code == 403


async def test_a_list_in_csv_is_stored_with_everything_that_is_known(world: World) -> None:
    answer = await imported(
        world,
        "\ufeffchat_id,time_zone,language,tags,opted_out,quiet_from,quiet_until,last_message_in,type,title\r\n"
        '7,Europe/Berlin,de,vip;chess,yes,22:00,08:00,2026-01-01T12:00:00+01:00,private,"Anna, the first"\r\n'
        "\r\n"
        "-1005,,,,,,,,supergroup,\r\n",
    )

    anna, club = world.chats.known[BOT_ID, 7], world.chats.known[BOT_ID, -1005]
    assert answer == {"stored": 2, "wrong": 0, "wrong_lines": []}
    assert (anna.time_zone, anna.language, anna.tags, anna.title) == (
        "Europe/Berlin",
        "de",
        ("vip", "chess"),
        "Anna, the first",
    )
    assert (anna.opted_out_at_ms, anna.last_message_in_at_ms) == (START_MS, 1_767_265_200_000)
    assert anna.quiet_hours == QuietHours(from_minute=1_320, until_minute=480)
    assert (club.type, club.title, club.time_zone) == ("supergroup", None, None)


async def test_a_list_in_json_lines_is_stored_and_null_deletes(world: World) -> None:
    await imported(world, "chat_id,language,time_zone\n7,de,Asia/Tokyo\n")

    answer = await imported(world, '{"chat_id": 7, "time_zone": null, "tags": ["a;b"]}\n{"chat_id": "@news"}', LINES)

    assert answer["stored"] == 2
    assert world.chats.known[BOT_ID, 7].language == "de"
    assert world.chats.known[BOT_ID, 7].time_zone is None
    assert world.chats.known[BOT_ID, 7].tags == ("a;b",)
    assert (BOT_ID, "@news") in world.chats.known


async def test_wrong_lines_are_named_by_number_and_reason_and_the_others_are_stored(world: World) -> None:
    answer = await imported(
        world,
        "chat_id,time_zone,quiet_from,last_message_in\n"
        "7,Europe/Berlin,,\n"
        "x,Europe/Berlin,,\n"
        "8,Mars/Base,,\n"
        "9,Europe/Berlin\n"
        '10,"Europe/Berlin,,\n'
        "11,,22:00,\n"
        "12,,,yesterday\n"
        "13,,,\n",
    )

    assert (answer["stored"], answer["wrong"]) == (2, 6)
    assert [each["line"] for each in answer["wrong_lines"]] == [3, 4, 5, 6, 7, 8]
    assert [each["reason"] for each in answer["wrong_lines"]] == [
        "chat_id should be a chat's id or its @name, not 'x'",
        "time_zone should be an IANA time zone such as Europe/Berlin, not 'Mars/Base'",
        "it has 2 cells, and the header 4",
        "it is not CSV: unexpected end of data",
        "quiet_from and quiet_until should be given together",
        f"last_message_in {NO_TIME}, not 'yesterday'",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"chat_id": 7', "it is not JSON: Input data was truncated"),
        ("[7]", "it should be a JSON object"),
        ('{"language": "de"}', "chat_id is missing"),
        ('{"chat_id": 7, "zone": "UTC"}', "zone is not a field of this request"),
        ('{"chat_id": 7, "title": "' + "x" * 20_000 + '"}', "it has more than 16,384 bytes"),
    ],
)
async def test_a_wrong_json_line_has_a_reason(world: World, line: str, reason: str) -> None:
    answer = await imported(world, line, LINES)

    assert answer == {"stored": 0, "wrong": 1, "wrong_lines": [{"line": 1, "reason": reason}]}


async def test_of_very_many_wrong_lines_the_first_are_named_and_all_counted(world: World) -> None:
    answer = await imported(world, "chat_id\n" + "x\n" * 5_000)

    assert (answer["wrong"], len(answer["wrong_lines"])) == (5_000, WRONG_LINES_MAX)


@pytest.mark.parametrize(
    ("headers", "body", "sentence"),
    [
        ({"Content-Type": "text/html"}, "x", "the Content-Type is 'text/html'; send text/csv or application/x-ndjson"),
        (CSV, "chat_id,zone\n7,UTC\n", "the header has 'zone'; its columns are among chat_id"),
        (CSV, "time_zone\nUTC\n", "the first line should be a header with chat_id and each column once"),
        (CSV, "", "the first line should be a header with chat_id and each column once"),
        (CSV, 'chat_id,"tags\n7,\n', "the header is wrong: it is not CSV"),
    ],
)
async def test_a_body_that_is_no_list_of_chats_is_refused(
    world: World, headers: dict[str, str], body: str, sentence: str
) -> None:
    status, code, message = error_of(await world.client.post(IMPORT, content=body.encode(), headers=headers))

    assert (status, code) == (400, "malformed")
    assert message.startswith(sentence.split(" chat_id", maxsplit=1)[0]) or sentence in message


async def test_a_body_of_too_many_lines_is_taken_up_to_the_bound(world: World) -> None:
    body = "chat_id\n" + "".join(f"{number}\n" for number in range(1, LINES_MAX + 3))

    status, code, message = error_of(await world.client.post(IMPORT, content=body.encode(), headers=CSV))

    assert (status, code) == (400, "refused")
    assert message == "a request takes 10,000 lines, and these were stored; send the rest in further ones"
    assert len(world.chats.known) == LINES_MAX


async def test_a_body_is_stored_while_it_arrives(world: World) -> None:
    stored: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for number in range(1, 3 * PIECE + 1):
            yield json.dumps({"chat_id": number}).encode() + b"\n"
            stored.append(len(world.chats.known))

    answer = (await world.client.post(IMPORT, content=body(), headers=LINES)).json()

    assert answer["stored"] == 3 * PIECE
    assert {PIECE, 2 * PIECE} <= set(stored)


async def test_a_body_that_is_too_large_is_refused_while_it_arrives(world: World) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"chat_id\n"
        for _ in range(200):
            sent += 1
            yield b" " * (1 << 16)

    answer = error_of(await world.client.post(IMPORT, content=body(), headers=CSV))
    declared = error_of(await world.client.post(IMPORT, content=b" " * (11 << 20), headers=CSV))

    assert answer == declared == (413, "too_large", "the body is larger than 10,485,760 bytes, which is the limit here")
    assert sent < 170


async def test_a_database_that_goes_away_in_between_is_a_503_and_the_same_again_completes_it(world: World) -> None:
    body = "chat_id\n" + "".join(f"{number}\n" for number in range(1, 2 * PIECE + 1))
    world.chats.fails_after = 1
    refused = error_of(await world.client.post(IMPORT, content=body.encode(), headers=CSV))
    world.chats.fails_after = None

    answer = await imported(world, body)

    assert refused[:2] == (503, "ledger_unavailable")
    assert answer["stored"] == len(world.chats.known) == 2 * PIECE
