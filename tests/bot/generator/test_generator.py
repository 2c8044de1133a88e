from __future__ import annotations

from typing import Any

import aiohttp
import pytest
import structlog

from tempogram.bot.generator import Conversation, NotWritten, Utterance, Written
from tempogram.bot.generator.chat_completions import ChatCompletions
from tempogram.bot.generator.templates import Fallback, Templates
from tests.bot.generator.conftest import KEY, Model, completion, completions_of


def conversation(*utterances: Utterance, **changes: Any) -> Conversation:
    usual: dict[str, Any] = {
        "bot_id": 42,
        "update_id": 1,
        "system": "",
        "templates": ("One moment.", "In a moment."),
        "utterances": utterances or (Utterance("how much?"),),
    }
    return Conversation(**usual | changes)


async def test_templates_alternate_and_the_same_update_gets_the_same_one() -> None:
    said = [await Templates().generate(conversation(update_id=number)) for number in (1, 2, 1)]

    assert said == [Written("In a moment."), Written("One moment."), Written("In a moment.")]


async def test_the_server_gets_the_model_the_key_and_the_conversation(
    completions: ChatCompletions, model: Model
) -> None:
    talk = (Utterance("hi", speaker="Anna"), Utterance("hello", by_bot=True), Utterance("how much?", speaker="Bert"))

    written = await completions.generate(conversation(*talk, system="You sell pizza."))

    assert written == Written("Seven euros.")
    assert model.bearers == [f"Bearer {KEY}"]
    assert model.asked == [
        {
            "model": "small",
            "messages": [
                {"role": "system", "content": "You sell pizza."},
                {"role": "user", "content": "Anna: hi"},
                {"role": "assistant", "content": "hello"},
                {"role": "user", "content": "Bert: how much?"},
            ],
        }
    ]


async def test_no_key_is_sent_where_none_is_configured(model: Model) -> None:
    async with aiohttp.ClientSession() as session:
        local = completions_of(session, model.url + "/chat/completions", key="")
        written = await local.generate(conversation())

    assert written == Written("Seven euros.")
    assert model.bearers == [None]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, "oops", "HTTP 500"),
        (401, f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}', "HTTP 401"),
        (307, "", "HTTP 307"),
        (200, "<html>", "the answer is not a chat completion"),
        (200, "[]", "the answer is not a chat completion"),
        (200, "{}", "the answer has no text"),
        (200, completion(None), "the answer has no text"),
        (200, completion("  \n"), "the answer has no text"),
        (200, " " * (1 << 20) + completion("too long"), "the answer is not a chat completion"),
        (200, None, "no answer within 0.5 s"),
    ],
)
async def test_every_failure_is_a_reason(
    completions: ChatCompletions, model: Model, status: int, body: str | None, reason: str
) -> None:
    model.status, model.body, model.headers = status, body, {"Location": model.url + "/elsewhere"}

    assert await completions.generate(conversation()) == NotWritten(reason)
    assert len(model.asked) == 1


@pytest.mark.parametrize("usage", ["null", "{}", '{"total_tokens": null}', '{"total_tokens": "seven"}', "[]"])
async def test_a_text_is_written_whatever_the_server_says_that_it_cost(
    completions: ChatCompletions, model: Model, usage: str
) -> None:
    model.body = completion("Seven euros.")[:-1] + f', "usage": {usage}}}'

    assert await completions.generate(conversation()) == Written("Seven euros.")


async def test_a_server_that_hangs_is_not_waited_for_again_and_again(model: Model) -> None:
    model.body = None

    async with aiohttp.ClientSession() as session:
        hanging = completions_of(session, model.url, breaker={"failures": 1})
        written = [await hanging.generate(conversation()) for _ in range(2)]

    assert written == [NotWritten("no answer within 0.5 s"), NotWritten("llm:chat fails, and is not called for now")]
    assert len(model.asked) == 1


async def test_a_server_that_fails_for_a_moment_is_asked_again(model: Model) -> None:
    model.status = 503

    async with aiohttp.ClientSession() as session:
        failing = completions_of(session, model.url, retries=2)
        written = await failing.generate(conversation())

    assert written == NotWritten("HTTP 503")
    assert len(model.asked) == 3


async def test_a_server_that_says_when_is_asked_then(model: Model) -> None:
    model.status, model.headers = 429, {"Retry-After": "7"}

    async with aiohttp.ClientSession() as session:
        held = completions_of(session, model.url, retries=2)
        written = [await held.generate(conversation()) for _ in range(2)]

    assert written == [NotWritten("HTTP 429"), NotWritten("no answer within 0.5 s")]
    assert len(model.asked) == 1


async def test_an_unreachable_server_is_a_reason() -> None:
    async with aiohttp.ClientSession() as session:
        nowhere = completions_of(session, "http://127.0.0.1:9", timeout_s=1)

        assert await nowhere.generate(conversation()) == NotWritten("ClientConnectorError")


async def test_a_failed_generator_falls_back_to_a_template_and_logs_no_key_and_no_text(
    completions: ChatCompletions, model: Model
) -> None:
    model.status = 503

    with structlog.testing.capture_logs() as lines:
        written = await Fallback(completions, Templates()).generate(conversation(Utterance("my secret")))

    assert written == Written("In a moment.")
    assert lines == [{"event": "generator_failed", "log_level": "warning", "bot_id": 42, "reason": "HTTP 503"}]


async def test_a_generator_that_answers_needs_no_fallback_and_logs_nothing(completions: ChatCompletions) -> None:
    with structlog.testing.capture_logs() as lines:
        written = await Fallback(completions, Templates()).generate(conversation())

    assert written == Written("Seven euros.")
    assert lines == []
