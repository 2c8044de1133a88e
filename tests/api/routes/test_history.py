from __future__ import annotations

import pytest

from tempogram.storage.messages import ChatMessage, Direction
from tests.api.fakes import BOT_ID, World, error_of
from tests.fakes import START_MS


def shown(number: int, **changes: object) -> ChatMessage:
    usual = {
        "id": f"{number:026x}",
        "bot_id": BOT_ID,
        "chat_id": 7,
        "direction": Direction.OUT,
        "method": "sendMessage",
        "status": "sent",
        "submitted_at_ms": START_MS + number * 1_000,
        "telegram_message_id": number,
    }
    return ChatMessage(**usual | changes)  # type: ignore[arg-type]


async def test_a_message_is_found_by_telegrams_number(world: World) -> None:
    world.storage.shown = [shown(1, chat_id=-5), shown(2, chat_id=-5), shown(2, chat_id=-5, id="f" * 26, bot_id=43)]

    of_bot = await world.client.get("/messages", params={"chat_id": -5, "telegram_message_id": 2, "bot": BOT_ID})
    of_all = await world.client.get("/messages", params={"chat_id": -5, "telegram_message_id": 2})

    assert of_bot.json() == {
        "messages": [
            {
                "id": shown(2).id,
                "bot": "42",
                "chat_id": -5,
                "direction": "out",
                "method": "sendMessage",
                "status": "sent",
                "at": "2023-11-14T22:13:22Z",
                "telegram_message_id": 2,
            }
        ]
    }
    assert [each["bot"] for each in of_all.json()["messages"]] == ["42", "43"]


async def test_a_chats_messages_come_in_pages_newest_first(world: World) -> None:
    world.storage.shown = [shown(number) for number in range(1, 4)]

    first = (await world.client.get("/bots/42/messages", params={"chat_id": 7, "limit": 2})).json()
    rest = (
        await world.client.get("/bots/42/messages", params={"chat_id": 7, "limit": 2, "before": first["next_before"]})
    ).json()

    assert [each["telegram_message_id"] for each in first["messages"] + rest["messages"]] == [3, 2, 1]
    assert rest["next_before"] is None


async def test_what_a_bot_received_comes_in_pages_oldest_first(world: World) -> None:
    world.storage.shown = [shown(number, direction=Direction.IN, status="received") for number in range(1, 6)]
    span: dict[str, str | int] = {"since": "2023-11-14T22:13:22Z", "until": "2023-11-14T22:13:25Z", "limit": 2}

    first = (await world.client.get("/bots/42/incoming", params=span)).json()
    rest = (await world.client.get("/bots/42/incoming", params=span | {"after": first["next_after"]})).json()

    assert [each["telegram_message_id"] for each in first["messages"] + rest["messages"]] == [2, 3, 4]
    assert rest["next_after"] is None


async def test_in_a_private_chat_a_number_means_nothing_without_its_bot(world: World) -> None:
    response = await world.client.get("/messages", params={"chat_id": 7, "telegram_message_id": 2})

    said = "bot is missing: in a private chat each bot has its own numbers"
    assert error_of(response) == (400, "refused", said)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/messages?chat_id=7", "telegram_message_id is missing"),
        ("/messages?telegram_message_id=7", "chat_id is missing"),
        ("/messages?chat_id=7&telegram_message_id=0", "telegram_message_id should be greater than or equal to 1"),
        ("/bots/42/messages", "chat_id is missing"),
        ("/bots/42/incoming?after=soon", "after should match pattern"),
        ("/bots/42/incoming?limit=1001", "limit should be less than or equal to 1000"),
    ],
)
async def test_a_question_without_sense_is_refused(world: World, path: str, sentence: str) -> None:
    status, code, said = error_of(await world.client.get(path))

    assert (status, code) == (422, "invalid")
    assert said.startswith(sentence)


async def test_the_history_is_unknown_while_the_database_is_away(world: World) -> None:
    world.storage.asleep = True

    for path in ("/messages?chat_id=-5&telegram_message_id=1", "/bots/42/messages?chat_id=7", "/bots/42/incoming"):
        assert error_of(await world.client.get(path))[:2] == (503, "ledger_unavailable")
