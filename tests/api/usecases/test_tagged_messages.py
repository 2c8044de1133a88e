"""Many messages with a tag are cancelled page by page, in bounded time, and the count is honest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tempogram.api.usecases.tagged_messages import ANSWER_WITHIN_MS, PAGE, cancel_tagged
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import Status
from tests.api.fakes import BOT_ID, World


async def wait(world: World, count: int) -> None:
    """Let so many messages wait, each in a chat of its own."""
    batch = [{"bot": BOT_ID, "chat_id": chat_id, "text": "hello", "tag": "spring"} for chat_id in range(1, count + 1)]
    await world.client.post("/messages/batch", json=batch)


def statuses(world: World) -> dict[Status, int]:
    found = list(world.storage.statuses.values())
    return {status: found.count(status) for status in set(found)}


async def test_more_than_a_page_is_cancelled_by_one_call(world: World) -> None:
    await wait(world, PAGE + 1)

    answer = await cancel_tagged(world.dependencies, "spring")

    assert (answer.cancelled, answer.left, answer.is_complete) == (PAGE + 1, 0, True)
    assert statuses(world) == {Status.CANCELLED: PAGE + 1}


async def test_a_call_ends_after_its_time_and_the_next_one_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wait(world, 2 * PAGE)
    open_ids = world.storage.open_ids

    async def slow(**page: object) -> list[str]:
        world.clock.advance(ANSWER_WITHIN_MS)
        return await open_ids(**page)  # type: ignore[arg-type]

    monkeypatch.setattr(world.storage, "open_ids", slow)
    first = await cancel_tagged(world.dependencies, "spring")
    monkeypatch.setattr(world.storage, "open_ids", open_ids)
    second = await cancel_tagged(world.dependencies, "spring")

    assert (first.cancelled, first.is_complete) == (PAGE, False)
    assert (second.cancelled, second.is_complete) == (PAGE, True)


async def test_what_is_submitted_while_others_are_cancelled_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wait(world, 3)
    cancel = world.broker.cancel

    async def while_another_comes(message_ids: Sequence[str]) -> list[bool]:
        await world.submitted(tag="spring")
        return await cancel(message_ids)

    monkeypatch.setattr(world.broker, "cancel", while_another_comes)
    answer = await cancel_tagged(world.dependencies, "spring")

    assert (answer.cancelled, answer.is_complete) == (3, True)
    assert statuses(world)[Status.QUEUED] > 0


async def test_what_was_cancelled_before_the_queue_went_away_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wait(world, PAGE + 1)
    pages = 0
    open_ids = world.storage.open_ids

    async def then_away(**page: object) -> list[str]:
        nonlocal pages
        pages += 1
        world.broker.asleep = pages > 1
        return await open_ids(**page)  # type: ignore[arg-type]

    monkeypatch.setattr(world.storage, "open_ids", then_away)
    answer = await cancel_tagged(world.dependencies, "spring")

    assert (answer.cancelled, answer.is_complete) == (PAGE, False)
    assert statuses(world) == {Status.CANCELLED: PAGE, Status.QUEUED: 1}


@pytest.mark.parametrize("away", ["storage", "broker"])
async def test_a_call_that_could_cancel_nothing_raises(world: World, away: str) -> None:
    await wait(world, 1)
    getattr(world, away).asleep = True

    with pytest.raises((LedgerError, BrokerUnavailable)):
        await cancel_tagged(world.dependencies, "spring")
