from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from tempogram.api.core.ports import NoWebhook, Refusal, RemovalProgress, TelegramUnreachable, UnknownToken
from tempogram.api.schemas.bots import BotDefaults
from tempogram.api.schemas.fields import TELEGRAM_ID_MAX
from tempogram.engine.model.messages import Status
from tests.api.fakes import BOT_ID, BOT_TOKEN, UNKNOWN_TOKEN, World, error_of

NO_DEFAULTS = dict.fromkeys(BotDefaults.model_fields)


async def test_bots_are_listed_without_their_tokens(world: World) -> None:
    response = await world.client.get("/bots")

    assert response.json() == {
        "bots": [
            {
                "id": "42",
                "username": "bot42",
                "first_name": "Bot",
                "behaviours": {"echo": {}},
                "paused": False,
                "paused_by": None,
                "weight": 1,
                "updates": "polling",
                "defaults": NO_DEFAULTS,
                "added_at": "2023-11-14T22:13:20Z",
            }
        ]
    }


async def test_an_added_bot_is_shown_without_its_token(world: World) -> None:
    response = await world.client.post("/bots", json={"token": UNKNOWN_TOKEN, "behaviours": {"echo": {}}})

    assert (response.status_code, response.json()["id"]) == (201, "43")
    assert UNKNOWN_TOKEN.partition(":")[2] not in response.text


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Refusal("there is no behaviour 'ecko'"), 400, "refused"),
        (UnknownToken(f"Telegram does not know {UNKNOWN_TOKEN}"), 422, "unknown_token"),
        (TelegramUnreachable("no answer"), 503, "telegram_unreachable"),
    ],
)
async def test_a_bot_that_cannot_be_added_is_refused_with_the_reason(
    world: World, failure: Exception, status: int, code: str
) -> None:
    world.fleet.failure = failure

    response = await world.client.post("/bots", json={"token": UNKNOWN_TOKEN})

    assert error_of(response)[:2] == (status, code)
    assert UNKNOWN_TOKEN not in response.text


@pytest.mark.parametrize(
    "body",
    [
        {"token": [UNKNOWN_TOKEN]},
        {"token": UNKNOWN_TOKEN * 20},
        {"token": UNKNOWN_TOKEN, "behaviours": UNKNOWN_TOKEN},
        {"tokn": UNKNOWN_TOKEN},
        {UNKNOWN_TOKEN: 1},
        UNKNOWN_TOKEN,
    ],
)
async def test_a_token_in_the_wrong_field_is_not_quoted(world: World, body: object) -> None:
    response = await world.client.post("/bots", json=body)

    assert error_of(response)[:2] == (422, "invalid")
    assert UNKNOWN_TOKEN.partition(":")[2] not in response.text


async def test_one_bot_is_shown(world: World) -> None:
    assert (await world.client.get(f"/bots/{BOT_ID}")).json()["id"] == "42"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_bot_is_not_found(world: World, method: str) -> None:
    response = await world.client.request(method, "/bots/5", json={"paused": True} if method == "PATCH" else None)

    assert error_of(response) == (404, "not_found", "there is no bot 5")


async def test_a_paused_bot_is_paused_in_the_ledger_and_in_the_queue(world: World) -> None:
    await world.submitted()

    await world.client.patch(f"/bots/{BOT_ID}", json={"paused": True})

    assert await world.storage.paused_bots() == [BOT_ID]
    assert await world.leased() == ()


async def test_a_resumed_bot_sends_again(world: World) -> None:
    await world.submitted()
    await world.client.patch(f"/bots/{BOT_ID}", json={"paused": True})

    await world.client.patch(f"/bots/{BOT_ID}", json={"paused": False})

    assert len(await world.leased()) == 1


async def test_a_weight_is_stored_and_shown(world: World) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json={"weight": 3})

    assert response.json()["weight"] == 3


async def test_behaviours_are_replaced(world: World) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json={"behaviours": {"quiz": {"rounds": 3}}})

    assert response.json()["behaviours"] == {"quiz": {"rounds": 3}}


async def test_the_defaults_of_a_bot_are_stored_and_shown(world: World) -> None:
    given = {"parse_mode": "HTML", "protect_content": True}

    added = await world.client.post("/bots", json={"token": UNKNOWN_TOKEN, "defaults": given})
    changed = await world.client.patch(f"/bots/{BOT_ID}", json={"defaults": {"disable_notification": False}})

    assert added.json()["defaults"] == NO_DEFAULTS | given
    assert changed.json()["defaults"] == NO_DEFAULTS | {"disable_notification": False}


@pytest.mark.parametrize(
    ("defaults", "sentence"),
    [
        ({"parse_mode": "Html"}, "defaults.parse_mode should be 'HTML', 'MarkdownV2', 'Markdown' or '', not 'Html'"),
        ({"protect_content": 1}, "defaults.protect_content should be a valid boolean, not 1"),
        ({"markup": "HTML"}, "defaults.markup is not a field of this request"),
    ],
)
async def test_invalid_defaults_are_refused_in_one_sentence(
    world: World, defaults: dict[str, object], sentence: str
) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json={"defaults": defaults})

    assert error_of(response) == (422, "invalid", sentence)


async def test_a_text_has_the_defaults_of_its_bot_and_a_method_has_none(world: World) -> None:
    await world.client.patch(f"/bots/{BOT_ID}", json={"defaults": {"parse_mode": "HTML"}})
    message = {"bot": "42", "chat_id": 7}

    answers = [
        await world.client.post("/messages", json=message | each)
        for each in (
            {"text": "<b>a</b>"},
            {"text": "a < b", "params": {"parse_mode": None}},
            {"method": "sendMessage", "params": {"text": "a < b"}},
        )
    ]

    sent = [json.loads(each.params) for each in world.storage.messages.values()]
    assert [each.status_code for each in answers] == [202] * 3
    assert [each.get("parse_mode") for each in sent] == ["HTML", None, None]


async def test_a_refused_behaviour_changes_nothing_else(world: World) -> None:
    world.fleet.failure = Refusal("there is no behaviour 'quizz'")

    response = await world.client.patch(f"/bots/{BOT_ID}", json={"behaviours": {"quizz": {}}, "paused": True})

    assert error_of(response)[:2] == (400, "refused")
    assert await world.storage.paused_bots() == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "say what to change: behaviours, paused, weight, updates or defaults"),
        ({"weight": 0}, "weight should be greater than or equal to 1, not 0"),
        ({"weight": 10**30}, "weight should be less than or equal to 1000, not 1" + "0" * 30),
        ({"pause": True}, "pause is not a field of this request"),
    ],
)
async def test_an_invalid_change_of_a_bot_is_refused(world: World, body: dict[str, object], sentence: str) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json=body)

    assert error_of(response) == (422, "invalid", sentence)


async def test_a_removed_bot_is_gone_and_its_waiting_messages_are_cancelled_and_counted(world: World) -> None:
    waiting = [await world.submitted(chat_id=chat) for chat in (7, 8)]
    world.bots.register(43, {})
    others = await world.submitted(bot=43)

    removed = await world.client.delete(f"/bots/{BOT_ID}")
    again = await world.client.delete(f"/bots/{BOT_ID}")

    assert (removed.status_code, removed.json()) == (200, {"cancelled": 2})
    assert error_of(again) == (404, "not_found", "there is no bot 42")
    assert [world.storage.states[each].status for each in waiting] == [Status.CANCELLED] * 2
    assert [lease.message.id for lease in await world.leased(9)] == [others]
    assert (await world.client.get("/queue/stats")).json()["total_queued"] == 1


async def test_a_removal_that_takes_long_answers_202_with_its_count_so_far_whenever_it_is_asked(world: World) -> None:
    await world.submitted()
    world.removals.going_on[BOT_ID] = RemovalProgress(27_000, is_complete=False)

    removed = await world.client.delete(f"/bots/{BOT_ID}")
    again = await world.client.delete(f"/bots/{BOT_ID}")
    world.removals.going_on[BOT_ID] = RemovalProgress(300_000, is_complete=True)
    complete = await world.client.delete(f"/bots/{BOT_ID}")

    assert (removed.status_code, removed.json()) == (202, {"cancelled": 1})
    assert (again.status_code, again.json()) == (202, {"cancelled": 27_000})
    assert (complete.status_code, complete.json()) == (200, {"cancelled": 300_000})


async def test_a_call_in_flight_is_finished_when_its_bot_is_removed(world: World) -> None:
    sending, waiting = [await world.submitted() for _ in range(2)]
    await world.leased()

    removed = await world.client.delete(f"/bots/{BOT_ID}")

    assert removed.json() == {"cancelled": 1}
    assert world.storage.states[sending].status is Status.QUEUED
    assert world.storage.states[waiting].status is Status.CANCELLED


async def test_a_message_for_a_removed_bot_is_refused_though_one_was_accepted_before(world: World) -> None:
    await world.submitted()

    await world.client.delete(f"/bots/{BOT_ID}")

    response = await world.client.post("/messages", json={"bot": BOT_ID, "chat_id": 7, "text": "hello"})
    assert error_of(response) == (400, "refused", "bot 42 does not run here; add it with POST /bots")


async def test_an_update_for_a_removed_bot_is_refused(world: World) -> None:
    await world.client.delete(f"/bots/{BOT_ID}")

    response = await world.client.post(f"/webhook/telegram/{BOT_TOKEN}", content=b'{"update_id": 1}')

    assert response.status_code == 404
    assert world.intake.received == []


async def test_kept_messages_of_a_removed_bot_stay_queued_and_are_not_sent(world: World) -> None:
    kept = await world.submitted()

    removed = await world.client.delete(f"/bots/{BOT_ID}?keep_messages=true")

    assert removed.json() == {"cancelled": 0}
    assert await world.leased() == ()
    assert await world.broker.knows([kept]) == [True]


async def test_many_bots_of_one_batch_are_looked_up_in_one_read(world: World) -> None:
    world.bots.register(43, {})
    before = world.bots.reads

    await world.client.post("/messages/batch", json=[{"bot": bot, "chat_id": 7, "text": "x"} for bot in (42, 43, 44)])

    assert world.bots.reads == before + 1


async def test_the_source_of_updates_is_changed_and_shown(world: World) -> None:
    added = await world.client.post("/bots", json={"token": UNKNOWN_TOKEN, "updates": "none"})
    changed = await world.client.patch("/bots/43", json={"updates": "webhook"})

    assert (added.json()["updates"], changed.json()["updates"]) == ("none", "webhook")


async def test_an_unknown_source_of_updates_is_refused(world: World) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json={"updates": "pigeon"})

    sentence = "updates should be 'webhook', 'polling' or 'none', not 'pigeon'"
    assert error_of(response) == (422, "invalid", sentence)


async def test_a_new_webhook_secret_is_set_and_never_shown(world: World) -> None:
    response = await world.client.post(f"/bots/{BOT_ID}/webhook-secret")

    assert (response.status_code, world.fleet.rotated) == (202, [BOT_ID])
    assert "secret" not in response.text


async def test_the_secret_of_a_webhook_is_shown_to_be_kept_nowhere_and_the_look_is_logged(world: World) -> None:
    world.fleet.secrets[BOT_ID] = ["the-old-one", "the-new-one"]

    with capture_logs() as logged:
        response = await world.client.get(f"/bots/{BOT_ID}/webhook-secret")

    assert response.json() == {"secret": "the-new-one"}
    assert response.headers["Cache-Control"] == "no-store"
    assert {"event": "webhook_secret_shown", "log_level": "info", "bot_id": BOT_ID} in logged
    assert "the-new-one" not in str(logged)


async def test_a_webhook_that_was_never_set_has_no_secret_to_show(world: World) -> None:
    unset = await world.client.get(f"/bots/{BOT_ID}/webhook-secret")
    unknown = await world.client.get("/bots/999/webhook-secret")

    assert [error_of(unset)[:2], error_of(unknown)[:2]] == [(409, "no_webhook"), (404, "not_found")]


async def test_no_list_of_bots_shows_a_secret(world: World) -> None:
    world.fleet.secrets[BOT_ID] = ["the-secret"]

    shown = [await world.client.get(path) for path in ("/bots", f"/bots/{BOT_ID}")]

    assert [response for response in shown if "the-secret" in response.text] == []


async def test_an_unknown_bot_has_no_webhook_secret_to_change(world: World) -> None:
    response = await world.client.post("/bots/999/webhook-secret")

    assert error_of(response)[:2] == (404, "not_found")


async def test_a_bot_without_a_webhook_has_no_secret_to_change(world: World) -> None:
    world.fleet.failure = NoWebhook("bot 42 has no webhook")

    response = await world.client.post(f"/bots/{BOT_ID}/webhook-secret")

    assert error_of(response)[:2] == (409, "no_webhook")


async def test_every_id_that_telegram_may_assign_is_accepted(world: World) -> None:
    largest = await world.client.get(f"/bots/{TELEGRAM_ID_MAX}")
    larger = await world.client.get(f"/bots/{TELEGRAM_ID_MAX + 1}")

    assert (largest.status_code, larger.status_code) == (404, 422)
