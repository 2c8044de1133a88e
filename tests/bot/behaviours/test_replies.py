from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiogram.methods import SendChatAction

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.generator.templates import Templates
from tempogram.engine.model.messages import Priority
from tempogram.storage.database.database import Database
from tempogram.storage.texts import TEXTS_OF_CHAT_MAX
from tests.bot.fakes import BOT_ID, USERNAME
from tests.bot.talk import GROUP, KEEP_MS, PRIVATE, ScriptedGenerator, mention, params, person, talk, update
from tests.fakes import Clock

OF_THE_BOT = {"message_id": 9, "date": 1, "chat": {"id": GROUP, "type": "supergroup"}}
ANONYMOUSLY = {"sender_chat": {"id": GROUP, "type": "supergroup", "title": "Chess club"}}
MENTION = f"@{USERNAME} how much?"


def replying_to(text: str, *, user_id: int = BOT_ID) -> dict[str, Any]:
    return {"reply_to_message": OF_THE_BOT | {"from": person("Bot", user_id=user_id, is_bot=True), "text": text}}


@pytest.mark.parametrize(
    "heard",
    [
        update(MENTION, chat_id=GROUP, **mention(MENTION)),
        update("how much?", chat_id=GROUP, **replying_to("Pizza!")),
        update(None, chat_id=GROUP, caption="this one?", photo=[], **replying_to("Pizza!")),
        update(MENTION, chat_id=GROUP, **mention(MENTION) | {"from": person("Group", is_bot=True)} | ANONYMOUSLY),
    ],
)
async def test_mentions_and_replies_are_answered(database: Database, clock: Clock, heard: dict[str, Any]) -> None:
    async with talk(database, clock, generator=ScriptedGenerator("Seven."), settings={"replies": {}}) as talking:
        await talking.hears(heard)

    assert talking.said == ["Seven."]


@pytest.mark.parametrize(
    "heard",
    [
        update("how much?", chat_id=GROUP),
        update("how much?", chat_id=GROUP, **replying_to("Pizza!", user_id=43)),
        update(None, chat_id=GROUP, **replying_to("Pizza!")),
        update("how much?", chat_id=PRIVATE),
        update(MENTION, chat_id=GROUP, **mention(MENTION) | {"from": person("R2", is_bot=True)}),
    ],
)
async def test_nothing_else_is_answered(database: Database, clock: Clock, heard: dict[str, Any]) -> None:
    async with talk(database, clock, generator=ScriptedGenerator("Seven."), settings={"replies": {}}) as talking:
        await talking.hears(heard)

    assert talking.said == []


async def test_any_private_text_is_answered_if_private_is_set(database: Database, clock: Clock) -> None:
    settings = {"replies": {"private": True}}

    async with talk(database, clock, generator=ScriptedGenerator("Seven."), settings=settings) as talking:
        await talking.hears(update("how much?"))

    assert talking.said == ["Seven."]
    assert "reply_parameters" not in params(talking.submitted[0])


async def test_an_answer_in_a_group_is_urgent_and_may_quote_a_deleted_question(
    database: Database, clock: Clock
) -> None:
    async with talk(database, clock, generator=ScriptedGenerator("Seven."), settings={"replies": {}}) as talking:
        await talking.hears(update(MENTION, chat_id=GROUP, message_id=77, **mention(MENTION)))

    (message,) = talking.submitted
    assert (message.method, message.chat_id, message.priority) == ("sendMessage", GROUP, Priority.HIGH)
    quote = params(message)["reply_parameters"]
    assert (quote["message_id"], quote["allow_sending_without_reply"]) == (77, True)


async def test_typing_is_shown_and_counts_against_no_limit(database: Database, clock: Clock) -> None:
    class SlowGenerator(ScriptedGenerator):
        async def generate(self, conversation: Any) -> Any:
            for _ in range(10):  # turns of the loop, in which the action is sent
                await asyncio.sleep(0)
            return await super().generate(conversation)

    settings = {"replies": {"private": True}}
    async with talk(database, clock, generator=SlowGenerator("Seven."), settings=settings) as talking:
        await talking.hears(update("how much?"))

    assert talking.direct.called == [SendChatAction.__api_method__]
    assert talking.accepting.methods == ["sendMessage"]


async def test_templates_answer_at_once_with_the_names_filled_in(database: Database, clock: Clock) -> None:
    settings = {"replies": {"private": True, "templates": ["One moment, {first_name}."]}}

    async with talk(database, clock, generator=Templates(), settings=settings) as talking:
        await talking.hears(update("how much?"))

    assert talking.said == ["One moment, Anna."]
    assert talking.direct.called == []


async def test_the_generator_gets_the_conversation_so_far_of_that_chat_only(database: Database, clock: Clock) -> None:
    generator = ScriptedGenerator("Seven euros.", "Yes.")
    settings = {"replies": {"private": True, "system": "You sell pizza."}}

    async with talk(database, clock, generator=generator, settings=settings) as talking:
        await talking.hears(
            update("how much?"),
            update("what do you all think?", chat_id=GROUP),
            update("with cheese?"),
        )

    assert [each.system for each in generator.asked] == ["You sell pizza."] * 2
    assert [(utterance.by_bot, utterance.speaker, utterance.text) for utterance in generator.asked[1].utterances] == [
        (False, "", "how much?"),
        (True, "", "Seven euros."),
        (False, "", "with cheese?"),
    ]


async def test_in_a_group_the_generator_gets_the_speakers_and_the_quoted_message(
    database: Database, clock: Clock
) -> None:
    generator = ScriptedGenerator("Bert, of course.")

    async with talk(database, clock, generator=generator, settings={"replies": {}}) as talking:
        await talking.hears(
            update("I won", chat_id=GROUP, sender="Bert"),
            update("who won?", chat_id=GROUP, **replying_to("The tournament is over.")),
        )

    assert [(utterance.speaker, utterance.text) for utterance in generator.asked[0].utterances] == [
        ("Bert", "I won"),
        ("", "The tournament is over."),
        ("Anna", "who won?"),
    ]


async def test_old_texts_are_not_part_of_the_conversation(database: Database, clock: Clock) -> None:
    generator = ScriptedGenerator("Seven.", "Again seven.")
    settings = {"replies": {"private": True}}

    async with talk(database, clock, generator=generator, settings=settings) as talking:
        await talking.hears(update("how much?"))
        clock.advance(KEEP_MS)
        await talking.hears(update("and now?"))

    assert [utterance.text for utterance in generator.asked[1].utterances] == ["and now?"]


async def test_a_long_conversation_is_bounded(database: Database, clock: Clock) -> None:
    generator = ScriptedGenerator(*["x" * 3_000] * (TEXTS_OF_CHAT_MAX + 1))
    settings = {"replies": {"private": True}}

    async with talk(database, clock, generator=generator, settings=settings) as talking:
        for _ in range(8):
            await talking.hears(update("more"))

    assert sum(len(utterance.text) for utterance in generator.asked[-1].utterances) <= 8_000
    assert generator.asked[-1].utterances[-1].text == "more"


async def test_an_update_handled_again_gets_the_same_answer_from_one_generation(
    database: Database, clock: Clock
) -> None:
    """A crash after the answer was written and before the update was marked as handled."""
    generator = ScriptedGenerator("Seven.", "Eight.")
    settings = {"replies": {"private": True}}
    heard = update("how much?", update_id=5000)

    async with talk(database, clock, generator=generator, settings=settings) as talking:
        await talking.hears(heard)
        for _ in range(2):
            talking.intake._handle_later(BOT_ID, 5000, json.loads(json.dumps(heard)), clock())
            await talking.pool.drain()

    assert talking.said == ["Seven."] * 3
    assert len({message.dedup_key for message in talking.submitted}) == 1
    assert len(generator.asked) == 1


async def test_commands_come_first_and_echo_last(database: Database, clock: Clock) -> None:
    settings = {"replies": {"private": True}, "commands": {"start": "Hello!"}, "echo": {}}

    async with talk(database, clock, generator=ScriptedGenerator("Seven."), settings=settings) as talking:
        await talking.hears(update("/start"), update("how much?"), update("hm", chat_id=GROUP))

    assert talking.said == ["Hello!", "Seven.", "hm"]


async def test_an_answer_too_long_for_one_message_is_cut(database: Database, clock: Clock) -> None:
    settings = {"replies": {"private": True}}

    async with talk(database, clock, generator=ScriptedGenerator("x" * 5_000), settings=settings) as talking:
        await talking.hears(update("how much?"))

    assert talking.said == ["x" * 4_095 + "…"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"template": []}, "'template' is not a setting of replies; choose from templates, system, private"),
        ({"templates": []}, "must be a list of 1 to 100 texts"),
        ({"templates": "hello"}, "must be a list of 1 to 100 texts"),
        ({"templates": [" "]}, "a template of replies is ' '"),
        ({"system": 5}, "system of replies must be a text"),
        ({"private": "yes"}, "private of replies is 'yes'; it must be true or false"),
    ],
)
def test_invalid_settings_of_replies_are_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        Behaviours().check({"replies": config})


def test_valid_settings_of_replies_are_accepted() -> None:
    Behaviours().check({"replies": {"templates": ["a"], "system": "b", "private": True}})
    Behaviours().check({"replies": {}})
