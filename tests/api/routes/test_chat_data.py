"""What is kept of a chat is handed over, and erased; then nothing is sent to it."""

from __future__ import annotations

import json

from structlog.testing import capture_logs

from tempogram.engine.closing.eraser import SECOND_PASS_AFTER_MS
from tempogram.engine.model.errors import LedgerAway
from tempogram.engine.model.messages import Status
from tests.api.fakes import BOT_ID, World, error_of

CHAT = f"/bots/{BOT_ID}/chats/7"


async def test_a_chat_is_handed_over_line_by_line_and_its_end_is_said(world: World) -> None:
    world.export.of_chats[BOT_ID, 7] = [{"table": "texts", "text": "hello"}, {"table": "chats", "title": "Ada"}]

    answer = await world.client.get(f"{CHAT}/export")

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"table": "texts", "text": "hello"},
        {"table": "chats", "title": "Ada"},
        {"end": True, "rows": 2},
    ]


async def test_an_export_is_written_down_by_ids_and_without_what_it_hands_over(world: World) -> None:
    world.export.of_chats[BOT_ID, 7] = [{"table": "texts", "text": "canary-4711"}]

    await world.client.get(f"{CHAT}/export")

    (change,) = world.audit.changes
    assert (change.who, change.action) == ("admin", "GET /bots/{bot_id}/chats/{chat_id}/export")
    assert change.target == f"bot_id={BOT_ID} chat_id=7"
    assert "canary-4711" not in repr(change)


async def test_an_export_while_the_database_is_away_is_refused_before_it_begins(world: World) -> None:
    world.export.error = LedgerAway("the database is away")

    answer = await world.client.get(f"{CHAT}/export")

    assert error_of(answer)[:2] == (503, "ledger_unavailable")


async def test_no_text_is_logged_by_an_export_an_erasure_or_a_refusal(world: World) -> None:
    world.export.of_chats[BOT_ID, 7] = [{"table": "texts", "text": "canary-4711"}]
    with capture_logs() as logged:
        await world.submitted(text="canary-4711")
        await world.client.get(f"{CHAT}/export")
        await world.client.delete(CHAT)
        await world.client.post("/messages", json={"bot": BOT_ID, "chat_id": 7, "text": "canary-4711"})
        await world.client.post("/messages/batch", json=[{"bot": BOT_ID, "chat_id": 7, "text": "canary-4711"}])

    assert logged
    assert "canary-4711" not in repr(logged)


async def test_what_waits_for_an_erased_chat_is_cancelled_and_nothing_more_is_accepted(world: World) -> None:
    waiting, other = await world.submitted(), await world.submitted(chat_id=8)

    answer = await world.client.delete(CHAT)
    refused = await world.client.post("/messages", json={"bot": BOT_ID, "chat_id": 7, "text": "hello"})
    accepted = await world.client.post("/messages", json={"bot": BOT_ID, "chat_id": 8, "text": "hello"})

    assert answer.json() == {"erased": {"messages": 1}, "left": 0}
    assert world.storage.statuses[waiting] is Status.CANCELLED
    assert world.storage.statuses[other] is Status.QUEUED
    assert error_of(refused)[:2] == (409, "chat_unreachable")
    assert "erased" in error_of(refused)[2]
    assert accepted.status_code == 202


async def test_an_erased_chat_is_shown_and_allowed_again(world: World) -> None:
    before = await world.client.get(f"{CHAT}/erasure")
    await world.client.delete(CHAT)

    shown = await world.client.get(f"{CHAT}/erasure")
    lifted = await world.client.delete(f"{CHAT}/erasure")
    twice = await world.client.delete(f"{CHAT}/erasure")

    assert error_of(before)[:2] == (404, "not_found")
    assert shown.status_code == 200
    assert (lifted.json(), twice.json()) == ({"lifted": True}, {"lifted": False})
    assert (
        await world.client.post("/messages", json={"bot": BOT_ID, "chat_id": 7, "text": "hello"})
    ).status_code == 202


async def test_an_erasure_is_written_down_by_its_id_and_counts(world: World) -> None:
    await world.client.delete(CHAT)

    (change,) = [each for each in world.audit.changes if each.action.startswith("DELETE")]
    assert (change.target, dict(change.before), dict(change.after)) == (
        f"bot_id={BOT_ID} chat_id=7",
        {"rows": 1},
        {"left": 0},
    )


async def test_the_id_of_an_erased_chat_is_forgotten_once_nothing_of_it_can_come_any_more(world: World) -> None:
    world.erasures.left = 1
    await world.client.delete(CHAT)

    at_once = await world.eraser.finish_pending()
    world.clock.advance(SECOND_PASS_AFTER_MS)
    while_one_is_left = await world.eraser.finish_pending()
    world.erasures.left = 0
    after = await world.eraser.finish_pending()

    assert (at_once, while_one_is_left) == ({"finished": 0, "left": 1}, {"finished": 0, "left": 1})
    assert after == {"finished": 1, "left": 0}
    assert await world.erasures.pending(limit=10) == []
    assert len(world.erasures.runs) == 4
