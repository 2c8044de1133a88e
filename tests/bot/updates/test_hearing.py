"""Whether it would be noticed that a lost chat is back, by what a program's own Dispatcher was given."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram.types import Update

from tempogram.bot.updates.hearing import Hearing
from tempogram.engine.model.messages import ChatId

ANNA = {"id": 7, "is_bot": False, "first_name": "Anna"}
BOT = {"id": 42, "is_bot": True, "first_name": "Bot"}
PRIVATE, GROUP = {"id": 7, "type": "private"}, {"id": -5, "type": "supergroup"}
MESSAGE: dict[str, Any] = {"message": {"message_id": 1, "date": 1, "chat": PRIVATE, "from": ANNA, "text": "hello"}}
MEMBERSHIP: dict[str, Any] = {
    "my_chat_member": {
        "chat": GROUP,
        "from": ANNA,
        "date": 1,
        "old_chat_member": {"status": "left", "user": BOT},
        "new_chat_member": {"status": "member", "user": BOT},
    }
}
QUERY: dict[str, Any] = {"inline_query": {"id": "1", "from": ANNA, "query": "", "offset": ""}}


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        ([], []),
        ([QUERY], []),
        ([MESSAGE], [7]),
        ([MEMBERSHIP], [7, -5, "@news", "business:shop:7"]),
    ],
    ids=["nothing", "an inline query", "a message", "a membership"],
)
def test_a_chat_is_heard_by_what_came_before(given: list[dict[str, Any]], heard: list[ChatId]) -> None:
    hearing = Hearing(lambda _: False)

    for content in given:
        hearing.note(Update.model_validate({"update_id": 1} | content), 42)

    assert [chat for chat in (7, -5, "@news", "business:shop:7") if hearing.hears(42, chat)] == heard
    assert not hearing.hears(43, 7)


def test_a_bot_whose_updates_tempogram_gets_is_heard_everywhere() -> None:
    hearing = Hearing(lambda bot_id: bot_id == 42)

    assert [hearing.hears(42, -5), hearing.hears(43, -5)] == [True, False]
