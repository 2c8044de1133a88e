"""Which update a call belongs to, and the key under which a second run of its handler finds it again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.model.messages import Priority
from tests.bot.calls.test_gateway import Caller, answered, calling, until
from tests.bot.fakes import BOT_ID


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as caller:
        yield caller


async def say_to_all(caller: Caller, chats: Sequence[int]) -> None:
    """Write to each chat in a task of its own, as a handler does with ``asyncio.gather``."""
    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
        await asyncio.gather(*(caller.send(f"to {chat_id}", chat_id) for chat_id in chats))


async def test_tasks_of_a_handler_that_go_on_in_another_order_submit_nothing_twice(caller: Caller) -> None:
    for _ in range(3):
        caller.desk.transport.answers(answered())

    await say_to_all(caller, [5, 6, 7])
    await say_to_all(caller, [7, 5, 6])

    assert len(caller.ids) == 3


async def test_two_calls_at_once_to_one_chat_have_their_keys_in_the_order_in_which_they_are_made(
    caller: Caller,
) -> None:
    for _ in range(2):
        caller.desk.transport.answers(answered())

    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
        await asyncio.gather(caller.send("one"), caller.send("two"))

    keys = [(json.loads(each.params)["text"], each.dedup_key) for each in caller.desk.ledger.messages.values()]
    assert keys == [("one", f"update:{BOT_ID}:11:sendMessage:7:1"), ("two", f"update:{BOT_ID}:11:sendMessage:7:2")]


async def test_a_task_that_outlives_its_handler_speaks_as_normal_and_without_the_updates_keys(caller: Caller) -> None:
    goes_on = asyncio.Event()
    for _ in range(2):
        caller.desk.transport.answers(answered())

    async def reminder() -> None:
        await caller.send("in the handler")
        await goes_on.wait()
        await caller.send("long after it")

    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH, user_id=5)):
        task = asyncio.create_task(reminder())
        await until(lambda: len(caller.desk.transport.leases) == 1)
    goes_on.set()
    await task

    first, second = caller.desk.ledger.messages.values()
    assert (first.priority, first.user_id, first.dedup_key is None) == (Priority.HIGH, 5, False)
    assert (second.priority, second.user_id, second.dedup_key) == (Priority.NORMAL, None, None)
