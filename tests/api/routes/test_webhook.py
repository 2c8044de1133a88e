from __future__ import annotations

import pytest

from tempogram.api.core.ports import IntakeFull, Refusal
from tempogram.engine.model.errors import LedgerError
from tests.api.fakes import BOT_ID, BOT_TOKEN, SECRET, UNKNOWN_TOKEN, World, error_of

PATH = f"/webhook/telegram/{BOT_TOKEN}"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


async def test_an_update_is_passed_on_unchanged(world: World) -> None:
    response = await world.anonymous.post(PATH, content=b'{"update_id":1}')

    assert (response.status_code, response.json()) == (200, {"ok": True})
    assert world.intake.received == [(BOT_ID, b'{"update_id":1}')]


async def test_a_percent_encoded_token_is_accepted(world: World) -> None:
    response = await world.anonymous.post(PATH.replace(":", "%3A"), content=b"{}")

    assert response.status_code == 200


@pytest.mark.parametrize("token", [UNKNOWN_TOKEN, BOT_TOKEN[:-1], "nonsense", "%00", "42:\u00e9"])
async def test_an_unknown_token_looks_like_an_unknown_route(world: World, token: str) -> None:
    response = await world.anonymous.post(f"/webhook/telegram/{token}", content=b"{}")

    nowhere = await world.anonymous.post("/nowhere", content=b"{}")
    assert error_of(response) == error_of(nowhere) == (404, "not_found", "there is nothing at this path")
    assert world.intake.received == []


async def test_a_webhook_call_needs_the_secret_that_telegram_was_given(world: World) -> None:
    world.fleet.secrets[BOT_ID] = [SECRET]

    right = await world.anonymous.post(PATH, content=b"{}", headers={SECRET_HEADER: SECRET})
    wrong = await world.anonymous.post(PATH, content=b"{}", headers={SECRET_HEADER: SECRET + "x"})
    strange = await world.anonymous.post(PATH, content=b"{}", headers={SECRET_HEADER.encode(): b"\xe9"})
    none = await world.anonymous.post(PATH, content=b"{}")

    assert right.status_code == 200
    assert {error_of(each)[:2] for each in (wrong, strange, none)} == {(403, "wrong_secret")}
    assert len(world.intake.received) == 1


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Refusal("the body is no update"), 400, "refused"),
        (IntakeFull("20000 updates wait"), 503, "intake_full"),
        (LedgerError("disk is full"), 503, "ledger_unavailable"),
    ],
)
async def test_an_update_that_was_not_stored_is_not_confirmed(
    world: World, failure: Exception, status: int, code: str
) -> None:
    world.intake.failure = failure

    response = await world.anonymous.post(PATH, content=b"{}")

    assert error_of(response)[:2] == (status, code)
    assert ("retry-after" in response.headers) == (status == 503)


async def test_a_webhook_call_must_be_a_post(world: World) -> None:
    response = await world.anonymous.get(PATH)

    assert error_of(response)[:2] == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


async def test_during_a_change_the_old_and_the_new_webhook_secret_are_accepted(world: World) -> None:
    world.fleet.secrets[BOT_ID] = ["the-old-one", "the-new-one"]

    bearing = ("the-old-one", "the-new-one", "another", "")
    posts = [
        await world.anonymous.post(
            f"/webhook/telegram/{BOT_TOKEN}",
            content=b'{"update_id": 1}',
            headers={"X-Telegram-Bot-Api-Secret-Token": secret},
        )
        for secret in bearing
    ]

    assert [post.status_code for post in posts] == [200, 200, 403, 403]


async def test_a_secret_that_another_process_has_changed_is_read_before_a_delivery_is_refused(world: World) -> None:
    """An API process refused deliveries until it had read a new secret, and Telegram repeated them."""
    world.fleet.secrets[BOT_ID], world.fleet.secrets_elsewhere[BOT_ID] = ["the-old-one"], ["the-new-one"]

    new = await world.anonymous.post(PATH, content=b'{"update_id": 1}', headers={SECRET_HEADER: "the-new-one"})
    old = await world.anonymous.post(PATH, content=b'{"update_id": 2}', headers={SECRET_HEADER: "the-old-one"})

    assert (new.status_code, old.status_code) == (200, 403)


async def test_where_it_cannot_be_read_whether_there_is_a_new_secret_telegram_is_to_deliver_again(
    world: World,
) -> None:
    world.fleet.secrets[BOT_ID], world.fleet.failure = ["the-old-one"], LedgerError("away")

    answer = await world.anonymous.post(PATH, content=b'{"update_id": 1}', headers={SECRET_HEADER: "the-new-one"})

    assert error_of(answer)[:2] == (503, "ledger_unavailable")
