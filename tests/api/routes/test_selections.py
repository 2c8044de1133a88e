from __future__ import annotations

from typing import Any

import pytest

from tempogram.api.schemas.selections import CHATS_MAX, PreviewOut, SelectedPageOut
from tempogram.api.security.principals import Role
from tempogram.engine.model.selection import QuietHours, Recipient, Rules, Selection
from tests.api.fakes import BOT_ID, World, error_of
from tests.fakes import START_MS


def recipient(chat_id: int | str, *, not_before_ms: int | None = None) -> Recipient:
    return Recipient(
        chat_id=chat_id,
        zone="Europe/Berlin",
        local_date="2026-03-29",
        not_before_ms=not_before_ms,
        day_ends_ms=START_MS + 1_000,
        language="de",
    )


@pytest.fixture
def world(world: World) -> World:
    world.audience.chats = [recipient(5), recipient(6, not_before_ms=START_MS), recipient("@news")]
    return world


async def preview(world: World, **wanted: Any) -> Any:
    return await world.of(Role.VIEWER).post("/selections/preview", json={"bot": BOT_ID} | wanted)


async def test_a_preview_counts_who_is_written_to_and_who_not_and_why(world: World) -> None:
    answer = (await preview(world)).json()

    assert answer == {"selected": 3, "held": 1, "left_out": {"opted_out": 1}, "time": "2023-11-14T22:13:20Z"}
    PreviewOut.model_validate(answer)


async def test_everything_that_is_asked_for_reaches_the_database(world: World) -> None:
    await preview(
        world,
        types=["group"],
        chats=["5", -6, "@news"],
        tags=["vip"],
        without_tags=["beta"],
        languages=["pt"],
        wrote_days_ago=7,
        active_days=8,
        quiet_days=0,
        rules={
            "campaign": "spring sale",
            "default_zone": "Asia/Kathmandu",
            "at": "16:30",
            "quiet_hours": {"from": "22:00", "until": "08:15"},
            "daily_cap": 2,
            "not_if_written_today": True,
        },
    )

    assert world.audience.asked == [
        (
            Selection(
                bot_id=BOT_ID,
                types=("group",),
                chats=(5, -6, "@news"),
                tags=("vip",),
                without_tags=("beta",),
                languages=("pt",),
                wrote_days_ago=7,
                active_days=8,
                quiet_days=0,
            ),
            Rules(
                campaign="spring sale",
                default_zone="Asia/Kathmandu",
                at_minute=990,
                quiet_hours=QuietHours(from_minute=1_320, until_minute=495),
                daily_cap=2,
                not_if_written_today=True,
            ),
        )
    ]


async def test_the_chats_are_listed_page_by_page(world: World) -> None:
    viewer, wanted = world.of(Role.VIEWER), {"bot": BOT_ID, "limit": 2}

    first = (await viewer.post("/selections/chats", json=wanted)).json()
    second = (await viewer.post("/selections/chats", json={**wanted, "after": first["next_after"]})).json()
    last = (await viewer.post("/selections/chats", json={**wanted, "after": second["next_after"]})).json()

    assert [each["chat_id"] for each in first["chats"]] == [5, 6]
    assert (first["chats"][0]["not_before"], first["chats"][1]["not_before"]) == (None, "2023-11-14T22:13:20Z")
    assert ([each["chat_id"] for each in second["chats"]], last) == (["@news"], {"chats": [], "next_after": None})
    SelectedPageOut.model_validate(first)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"rules": {"at": "24:00"}}, "rules.at"),
        ({"rules": {"at": "23:01"}}, "rules.at should not be after 23:00, as chats are written to for an hour"),
        ({"rules": {"quiet_hours": {"from": "8:00", "until": "08:00"}}}, "quiet hours should end at another time"),
        ({"rules": {"default_zone": "Berlin"}}, "rules.default_zone should be an IANA time zone"),
        ({"rules": {"quiet_hours": {"from": "22:00"}}}, "rules.quiet_hours.until"),
        ({"rules": {"daily_cap": 0}}, "rules.daily_cap"),
        ({"wrote_days_ago": -1}, "wrote_days_ago"),
        ({"languages": ["German"] * 51}, "languages"),
        ({"tag": "vip"}, "tag"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_name(world: World, wanted: dict[str, Any], sentence: str) -> None:
    response = await preview(world, **wanted)

    assert response.status_code == 422
    assert sentence in error_of(response)[2]


async def test_a_bot_that_does_not_run_here_is_refused(world: World) -> None:
    response = await preview(world, bot=BOT_ID + 1)

    assert error_of(response)[:2] == (400, "refused")


async def test_a_hundred_thousand_chats_may_be_listed_in_a_request(world: World) -> None:
    chats = list(range(10**11, 10**11 + CHATS_MAX + 1))

    assert (await preview(world, chats=chats[:-1])).status_code == 200
    assert (await preview(world, chats=chats)).status_code == 422
