from __future__ import annotations

import json
from typing import Any

import pytest
from aiogram.methods import AnswerCallbackQuery

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.engine.model.broadcasts import BroadcastState
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, OPERATORS, Talk, params, person, talk, update
from tests.fakes import Clock

ON: dict[str, Any] = {"broadcasts": {}}


def to_a_post(text: str, *, chat_id: int = OPERATORS) -> dict[str, Any]:
    post = {"message_id": 31, "date": 1, "chat": {"id": chat_id, "type": "supergroup"}, "text": "News!"}
    return update(text, chat_id=chat_id, entities=command(text), reply_to_message=post)


def command(text: str) -> list[dict[str, Any]]:
    return [{"type": "bot_command", "offset": 0, "length": len(text.partition(" ")[0])}]


def press(data: str, *, chat_id: int = OPERATORS) -> dict[str, Any]:
    number = update("x")["update_id"]
    message = {"message_id": 32, "date": 1, "chat": {"id": chat_id, "type": "supergroup"}, "text": "a draft"}
    query = {"id": str(number), "from": person("Olga"), "chat_instance": "1", "data": data, "message": message}
    return {"update_id": number, "callback_query": query}


def buttons(message: Outgoing) -> list[str]:
    return [each["callback_data"] for row in _markup(message)["inline_keyboard"] for each in row]


def _markup(message: Outgoing) -> dict[str, Any]:
    markup = params(message)["reply_markup"]
    return dict(json.loads(markup) if isinstance(markup, str) else markup)


async def drafted(talking: Talk) -> None:
    await talking.broadcasts.add_chats([1, 2, 3])
    await talking.hears(to_a_post("/broadcast spring active_days=90"))


async def test_a_reply_to_a_post_makes_a_draft_and_says_what_it_would_do(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=ON) as talking:
        await drafted(talking)
        (draft,) = await talking.broadcasts.board.page(before_id=None, limit=9)

    assert draft.plan.content.params == {"from_chat_id": OPERATORS, "message_id": 31}
    assert (draft.name, draft.state, draft.bot_id) == ("spring", BroadcastState.DRAFT, BOT_ID)
    assert talking.said[0].startswith(f"Broadcast {draft.id}, spring: a draft.\nIt would go to ")
    assert buttons(talking.submitted[0]) == [f"broadcast:start:{draft.id}", f"broadcast:cancel:{draft.id}"]


async def test_buttons_start_and_pause_it(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=ON) as talking:
        await drafted(talking)
        await talking.hears(press("broadcast:start:1"))
        started = await talking.broadcasts.board.get(1)
        await talking.hears(press("broadcast:pause:1"))
        paused = await talking.broadcasts.board.get(1)

    assert (started.state, paused.state) == (BroadcastState.RUNNING, BroadcastState.PAUSED)
    edits = [each for each in talking.submitted if each.method == "editMessageText"]
    assert params(edits[0])["text"].startswith("Broadcast 1, spring: running")
    assert buttons(edits[-1]) == ["broadcast:resume:1", "broadcast:cancel:1"]


async def test_no_other_chat_can_start_one(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=ON) as talking:
        await drafted(talking)
        await talking.hears(to_a_post("/broadcast", chat_id=GROUP), press("broadcast:start:1", chat_id=GROUP))
        made = await talking.broadcasts.board.page(before_id=None, limit=9)

    assert [each.state for each in made] == [BroadcastState.DRAFT]
    assert len(talking.submitted) == 1


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        (update("/broadcast", chat_id=OPERATORS, entities=command("/broadcast")), "Reply to the post that is"),
        (to_a_post("/broadcast colour=red"), "colour=red is no option; write it like /broadcast spring"),
        (to_a_post("/broadcast at=25:00"), "at should be a time of day such as 22:00, not '25:00'"),
        (to_a_post('/broadcast "spring'), "a quotation mark has no other"),
    ],
)
async def test_what_makes_no_sense_is_answered_with_a_sentence(
    database: Database, clock: Clock, heard: dict[str, Any], said: str
) -> None:
    async with talk(database, clock, settings=ON) as talking:
        await talking.hears(heard)

    assert said in talking.said[0]


async def test_a_draft_is_answered_while_the_queue_is_away(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talk(database, clock, settings=ON) as talking:
        monkeypatch.setattr(talking.broadcasts.broker, "stats", _away)
        await drafted(talking)

    assert talking.said[0].endswith("What it would do cannot be said while the queue or the database is away.")
    assert buttons(talking.submitted[0]) == ["broadcast:start:1", "broadcast:cancel:1"]


async def test_a_button_is_answered_while_the_queue_is_away(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talk(database, clock, settings=ON) as talking:
        await talking.broadcasts.add_chats([4], last_message_in_at_ms=clock())
        await drafted(talking)
        await talking.hears(press("broadcast:start:1"))
        await talking.broadcasts.feeder.step()
        monkeypatch.setattr(talking.broadcasts.broker, "stats", _away)
        monkeypatch.setattr(talking.broadcasts.broker, "cancel", _away)
        await talking.hears(press("broadcast:look:1"), press("broadcast:pause:1"))
        paused = await talking.broadcasts.board.get(1)

    assert paused.state is BroadcastState.PAUSED
    answers = [each.text for each in talking.direct.methods if isinstance(each, AnswerCallbackQuery)]
    assert (
        answers[-2:]
        == ["the queue cannot be reached now; a change is stored, and followed once it can; look again later"] * 2
    )


async def _away(*_given: object, **_named: object) -> None:
    raise BrokerUnavailable("Redis is away")


def test_it_has_no_settings() -> None:
    with pytest.raises(Refusal, match="broadcasts has no settings"):
        Behaviours().check({"broadcasts": {"chat": 7}})
