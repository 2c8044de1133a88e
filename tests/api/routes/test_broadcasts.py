from __future__ import annotations

import json
from typing import Any

import pytest

from tempogram.api.schemas.broadcasts import BroadcastIn
from tempogram.api.security.principals import Role
from tempogram.engine.model.broadcasts import BroadcastState
from tempogram.engine.model.messages import Guarantee, Priority
from tempogram.engine.model.selection import QuietHours, Recipient
from tests.api.fakes import BOT_ID, World, error_of
from tests.fakes import START_MS

NEWS: dict[str, Any] = {"name": "news", "bot": BOT_ID, "text": "Hello {title|friend}"}


async def made(world: World, **changes: Any) -> int:
    response = await world.client.post("/broadcasts", json=NEWS | changes)
    assert response.status_code == 201, response.text
    broadcast_id: int = response.json()["id"]
    return broadcast_id


def recipient(chat_id: int) -> Recipient:
    return Recipient(chat_id=chat_id, zone="UTC", local_date="2026-03-29", not_before_ms=None, day_ends_ms=START_MS)


async def test_a_broadcast_is_a_draft_until_it_is_started(world: World) -> None:
    response = await world.of(Role.OPERATOR).post("/broadcasts", json=NEWS)
    broadcast_id = response.json()["id"]

    assert (response.status_code, response.json()["state"]) == (201, "draft")
    started = (await world.of(Role.OPERATOR).post(f"/broadcasts/{broadcast_id}/start")).json()
    assert (started["state"], started["recipients"], started["ended_at"]) == ("running", 0, None)


async def test_what_is_asked_for_becomes_the_plan(world: World) -> None:
    broadcast_id = await made(
        world,
        selection={"languages": ["pt-BR"], "chats": [7, "@news"], "active_days": 90},
        at="10:30",
        spread_h=2.5,
        zone="Europe/Berlin",
        quiet_hours={"from": "22:00", "until": "08:00"},
    )

    plan = world.broadcasts.rows[broadcast_id].plan
    assert (plan.at_minute, plan.spread_ms, plan.default_zone) == (630, 9_000_000, "Europe/Berlin")
    assert plan.quiet_hours == QuietHours(from_minute=1_320, until_minute=480)
    assert (plan.selection.chats, plan.selection.languages, plan.selection.active_days) == (
        (7, "@news"),
        ("pt-BR",),
        90,
    )
    assert (plan.priority, plan.guarantee) == (Priority.LOW, Guarantee.AT_MOST_ONCE)


EVERYTHING: dict[str, Any] = {
    "name": "spring",
    "bot": BOT_ID,
    "method": "sendMessage",
    "params": {"text": "hello"},
    "selection": {"languages": ["en"]},
    "at": "10:30",
    "spread_h": 2.5,
    "zone": "Europe/Berlin",
    "quiet_hours": {"from": "22:00", "until": "08:00"},
    "daily_cap": 2,
    "not_if_written_today": True,
    "priority": "high",
    "delivery": "at_least_once",
}


async def test_every_field_of_a_broadcast_may_stand_in_a_form(world: World) -> None:
    form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in EVERYTHING.items()}

    of_a_form = await world.client.post("/broadcasts", files={name: (None, value) for name, value in form.items()})
    of_json = await world.client.post("/broadcasts", json=EVERYTHING)

    assert set(EVERYTHING) == set(BroadcastIn.model_fields) - {"text"}
    assert of_a_form.status_code == 201, of_a_form.text
    plans = [world.broadcasts.rows[answer.json()["id"]].plan for answer in (of_a_form, of_json)]
    assert plans[0] == plans[1]


async def test_a_form_makes_a_broadcast_with_files(world: World) -> None:
    form = {
        "name": "spring",
        "bot": str(BOT_ID),
        "method": "sendPhoto",
        "caption": "Hello {title}",
        "selection": '{"languages": ["en"]}',
        "spread_h": "2.5",
        "not_if_written_today": "true",
        "quiet_hours": '{"from": "22:00", "until": "08:00"}',
    }

    response = await world.client.post("/broadcasts", data=form, files={"photo": ("cat.jpg", b"a cat")})

    plan = world.broadcasts.rows[response.json()["id"]].plan
    assert (plan.selection.languages, plan.spread_ms, plan.not_if_written_today) == (("en",), 9_000_000, True)
    assert plan.quiet_hours == QuietHours(from_minute=1_320, until_minute=480)
    assert dict(plan.content.params) == {"caption": "Hello {title}", "photo": "attach://m/photo"}
    assert world.media.kept == [{"photo": ("cat.jpg", 5)}]


async def test_the_files_of_a_broadcast_that_is_refused_are_deleted(world: World) -> None:
    form = {"name": "spring", "bot": str(BOT_ID), "method": "sendNonsense"}

    response = await world.client.post("/broadcasts", data=form, files={"photo": ("cat.jpg", b"a cat")})

    assert (response.status_code, world.media.kept) == (400, [])


@pytest.mark.parametrize(("field", "text"), [("selection", "en"), ("spread_h", "soon"), ("quiet_hours", "[")])
async def test_a_field_of_a_form_that_is_no_json_is_refused_in_a_sentence(world: World, field: str, text: str) -> None:
    form = {"name": "spring", "bot": str(BOT_ID), "text": "hello", field: text}

    response = await world.client.post("/broadcasts", data=form, files={"photo": ("cat.jpg", b"a cat")})

    assert error_of(response)[:2] == (422, "invalid")
    assert field in error_of(response)[2]


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"text": None}, 422, "a broadcast needs either a text or a method"),
        ({"params": {"chat_id": 7}}, 422, "params has a chat_id; say in selection which chats are meant"),
        ({"params": {"text": "x"}}, 422, "text is given twice, beside params and in them"),
        ({"zone": "Berlin"}, 422, "zone should be an IANA time zone such as Europe/Berlin"),
        ({"at": "25:00"}, 422, "at"),
        ({"bot": 999}, 400, "bot 999 does not run here; add it with POST /bots"),
        ({"text": None, "method": "sendNonsense"}, 400, "Telegram has no method 'sendNonsense'"),
        (
            {"params": {"entities": [{"type": "bold", "offset": 0, "length": 1}]}},
            400,
            "entities count the characters of a text that fields would make longer; use parse_mode instead",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(
    world: World, changes: dict[str, Any], status: int, sentence: str
) -> None:
    answer = error_of(await world.client.post("/broadcasts", json=NEWS | changes))

    assert answer[0] == status
    assert sentence in answer[2]


async def test_a_preview_says_to_how_many_and_until_when(world: World) -> None:
    world.audience.chats = [recipient(chat_id) for chat_id in range(1, 3_001)]
    broadcast_id = await made(world)

    found = (await world.client.post(f"/broadcasts/{broadcast_id}/preview")).json()

    assert (found["recipients"], found["left_out"], found["stars"]) == (3_000, {"opted_out": 1}, 0)
    assert found["delays_urgent_ms"] == 33


@pytest.mark.parametrize(("nanostars", "billed"), [(None, None), (1_300_000_000, 1.3)])
async def test_a_paid_broadcast_shows_what_telegram_billed_beside_the_purse(
    world: World, nanostars: int | None, billed: float | None
) -> None:
    broadcast_id = await made(world, params={"allow_paid_broadcast": True})
    before = (await world.client.get(f"/broadcasts/{broadcast_id}")).json()["stars"]
    world.nanostars_billed = nanostars
    world.broadcasts._set(
        world.broadcasts.rows[broadcast_id],
        state=BroadcastState.DONE,
        started_at_ms=START_MS,
        ended_at_ms=START_MS,
    )

    shown = (await world.of(Role.VIEWER).get(f"/broadcasts/{broadcast_id}")).json()["stars"]

    assert (before, shown["purse"], shown["billed"]) == (None, 0.0, billed)


async def test_a_broadcast_is_paused_resumed_and_cancelled(world: World) -> None:
    broadcast_id = await made(world)
    states = [
        (await world.client.post(f"/broadcasts/{broadcast_id}/{what}")).json()["state"]
        for what in ("start", "start", "pause", "resume", "cancel", "cancel")
    ]

    assert states == ["running", "running", "paused", "running", "cancelled", "cancelled"]


async def test_a_cancelled_broadcast_cannot_begin_again(world: World) -> None:
    broadcast_id = await made(world)
    await world.client.post(f"/broadcasts/{broadcast_id}/cancel")

    assert error_of(await world.client.post(f"/broadcasts/{broadcast_id}/start")) == (
        409,
        "conflict",
        f"broadcast {broadcast_id} is cancelled; only one that is draft can be started",
    )


async def test_a_broadcast_that_is_done_is_retried(world: World) -> None:
    broadcast_id = await made(world)
    world.broadcasts._set(world.broadcasts.rows[broadcast_id], state=BroadcastState.DONE)

    assert (await world.client.post(f"/broadcasts/{broadcast_id}/retry")).json()["state"] == "running"
    assert error_of(await world.client.post(f"/broadcasts/{broadcast_id}/retry"))[0] == 409


async def test_broadcasts_are_listed_page_by_page(world: World) -> None:
    ids = [await made(world) for _ in range(3)]

    first = (await world.of(Role.VIEWER).get("/broadcasts?limit=2")).json()
    second = (await world.client.get(f"/broadcasts?before={first['next_before']}")).json()

    assert [each["id"] for each in first["broadcasts"]] == [ids[2], ids[1]]
    assert ([each["id"] for each in second["broadcasts"]], second["next_before"]) == ([ids[0]], None)


async def test_an_unknown_broadcast_is_not_found(world: World) -> None:
    assert error_of(await world.client.get("/broadcasts/7")) == (404, "not_found", "there is no broadcast 7")


@pytest.mark.parametrize("what", ["", "/1/preview", "/1/start", "/1/pause", "/1/resume", "/1/cancel", "/1/retry"])
async def test_only_operators_may_send_to_many(world: World, what: str) -> None:
    response = await world.of(Role.VIEWER).post(f"/broadcasts{what}", json=NEWS)

    assert error_of(response)[:2] == (403, "not_allowed")
