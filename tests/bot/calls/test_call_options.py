"""How the calls inside a block are sent: their priority, delivery, expiry and tag."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import tempogram
from tempogram.bot.calls import call_options
from tempogram.bot.calls.call_options import CallOptions
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.model.messages import Guarantee, Outgoing, Priority
from tests.bot.calls.test_gateway import Caller, calling, until
from tests.bot.fakes import BOT_ID
from tests.fakes import START_MS


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """A caller whose bot is paused: it waits for nothing, and its messages can be looked at."""
    async with calling(wait_s=0) as caller:
        await caller.desk.broker.pause(BOT_ID, paused=True)
        yield caller


def messages(caller: Caller) -> list[Outgoing]:
    return list(caller.desk.ledger.messages.values())


def priorities(caller: Caller) -> list[str]:
    return [each.priority.value for each in messages(caller)]


async def test_a_call_inside_the_block_has_its_priority_and_one_after_it_is_normal(caller: Caller) -> None:
    with tempogram.priority("low"):
        await caller.send()
    await caller.send()

    assert priorities(caller) == ["low", "normal"]


async def test_of_nested_blocks_the_innermost_counts(caller: Caller) -> None:
    with tempogram.priority("low"):
        with tempogram.priority(Priority.HIGH):
            await caller.send()
        await caller.send()

    assert priorities(caller) == ["high", "low"]


async def test_a_task_that_starts_inside_the_block_keeps_its_priority_after_it(caller: Caller) -> None:
    goes_on = asyncio.Event()

    async def broadcast() -> None:
        await goes_on.wait()
        await caller.send()

    with tempogram.priority("low"):
        task = asyncio.create_task(broadcast())
    goes_on.set()
    await task

    assert priorities(caller) == ["low"]


async def test_a_block_in_one_task_is_none_in_another(caller: Caller) -> None:
    is_inside, may_leave = asyncio.Event(), asyncio.Event()

    async def low() -> None:
        with tempogram.priority("low"):
            is_inside.set()
            await may_leave.wait()

    task = asyncio.create_task(low())
    await is_inside.wait()
    await caller.send()
    may_leave.set()
    await task

    assert priorities(caller) == ["normal"]


async def test_a_handlers_block_wins_over_the_priority_of_its_update(caller: Caller) -> None:
    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH, user_id=5)):
        await caller.send("one")
        with tempogram.priority("low"):
            await caller.send("two")
        await caller.send("three")

    assert priorities(caller) == ["high", "low", "high"]
    assert [each.user_id for each in messages(caller)] == [5, 5, 5]


async def test_a_handler_that_runs_again_submits_nothing_twice_from_its_blocks(caller: Caller) -> None:
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.NORMAL)), tempogram.options(tag="spring"):
            await caller.send()

    assert [each.tag for each in messages(caller)] == ["spring"]


async def test_a_block_may_be_entered_again_and_inside_itself(caller: Caller) -> None:
    low = tempogram.priority("low")
    with low:
        with low:
            await caller.send()
        await caller.send()
    await caller.send()
    with low:
        await caller.send()

    assert priorities(caller) == ["low", "low", "normal", "low"]


async def test_a_block_that_an_error_leaves_is_over(caller: Caller) -> None:
    with pytest.raises(KeyError), tempogram.priority("low"):
        raise KeyError
    await caller.send()

    assert priorities(caller) == ["normal"]


async def test_a_generator_with_a_block_that_ends_elsewhere_ends_no_other_block() -> None:
    async def low() -> AsyncIterator[None]:
        with tempogram.priority("low"):
            yield

    generator = low()

    async def begin() -> None:
        await anext(generator)

    await asyncio.create_task(begin())
    with tempogram.priority("high"):
        await generator.aclose()  # type: ignore[attr-defined]
        assert call_options.current().priority is Priority.HIGH


def test_a_generator_with_a_block_that_ends_inside_of_another_block_leaves_nothing_behind() -> None:
    def low() -> Iterator[None]:
        with tempogram.options(priority="low", tag="spring"):
            yield

    generator = low()
    next(generator)
    with tempogram.priority("high"):
        generator.close()  # type: ignore[attr-defined]
        assert call_options.current() == CallOptions(priority=Priority.HIGH)

    assert call_options.current() == CallOptions()


async def test_every_option_of_a_block_is_the_messages(caller: Caller) -> None:
    with tempogram.options(delivery="at_most_once", expires_in_s=600, tag="spring", priority="low"):
        await caller.send()

    (message,) = messages(caller)
    assert (message.guarantee, message.tag, message.priority) == (Guarantee.AT_MOST_ONCE, "spring", Priority.LOW)
    assert message.expires_at_ms == START_MS + 600_000


async def test_nested_options_are_merged(caller: Caller) -> None:
    with tempogram.options(expires_in_s=600, tag="spring"), tempogram.options(tag="sale"), tempogram.priority("low"):
        await caller.send()

    (message,) = messages(caller)
    assert (message.expires_at_ms, message.tag, message.priority) == (START_MS + 600_000, "sale", Priority.LOW)


async def test_a_call_that_must_not_be_made_twice_stays_so() -> None:
    async with calling(wait_s=0) as caller:
        await caller.desk.broker.pause(BOT_ID, paused=True)
        with tempogram.options(delivery="at_least_once"):
            gift = asyncio.create_task(caller.bot.send_gift("g", user_id=7))
            await until(lambda: bool(caller.desk.ledger.messages))
        gift.cancel()

        (message,) = messages(caller)
        assert message.guarantee is Guarantee.AT_MOST_ONCE


@pytest.mark.parametrize("word", ["urgent", "LOW", "", 1])
def test_a_wrong_priority_is_refused_in_one_sentence_that_names_the_three(word: object) -> None:
    with pytest.raises(ValueError, match=r"^priority should be 'high', 'normal' or 'low', not ") as refused:
        tempogram.priority(word)  # type: ignore[arg-type]

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"delivery": "twice"}, "delivery should be 'at_least_once' or 'at_most_once', not 'twice'"),
        ({"expires_in_s": 0}, "expires_in_s should be greater than 0, not 0"),
        ({"expires_in_s": 1e9}, "expires_in_s should be less than or equal to 31622400, not 1000000000.0"),
        ({"tag": "a\nb"}, r"tag should have 1 to 64 printable characters, not 'a\nb'"),
        ({"tag": "\ud83c"}, "tag should have 1 to 64 printable characters, not "),
        ({"tag": "a" * 65}, "tag should have 1 to 64 printable characters, not "),
    ],
)
def test_an_option_that_the_api_would_refuse_is_refused_in_the_same_words(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is compared below
        tempogram.options(**options)  # type: ignore[arg-type]

    assert str(refused.value).startswith(sentence)


def test_a_block_is_no_decorator_which_would_end_before_a_coroutine_begins() -> None:
    with pytest.raises(TypeError):
        tempogram.priority("low")(lambda: None)  # type: ignore[operator]
