"""How long a call waits, and what becomes of it when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.requests import ClientDisconnect

from tempogram.api.usecases.bot_api import BotApi, BotApiCall
from tempogram.api.usecases.submissions import Submissions
from tempogram.engine.model.messages import PARKED_MS, Hold, PausedBy, Status
from tempogram.engine.model.outcomes import Sent
from tempogram.engine.ports import Progress
from tests.api.door import SENT_BODY, DoorWorld, refusal_of
from tests.api.fakes import BOT_ID

SAID = {"chat_id": 7, "text": "hello"}
KEY = {"X-Tempogram-Dedup-Key": "a-key"}


@pytest.fixture
def world() -> DoorWorld:
    return DoorWorld()


def retry_after(response: object) -> int:
    body = response.json()  # type: ignore[attr-defined]
    assert body["error_code"] == 429
    assert body["description"] == f"Too Many Requests: retry after {body['parameters']['retry_after']}"
    return int(body["parameters"]["retry_after"])


async def test_a_call_without_a_place_in_time_is_taken_back_and_says_when_it_will_find_one(world: DoorWorld) -> None:
    await world.broker.hold([Hold(BOT_ID, 7, world.clock() + 5_000)])
    calling, message_id = await world.calling(json=SAID)

    world.waits[0].over.set()
    response = await calling

    assert retry_after(response) == 5
    assert world.status(message_id) is Status.CANCELLED
    assert await world.broker.knows([message_id]) == [False]


async def test_callers_that_are_taken_back_together_come_back_one_after_the_other(world: DoorWorld) -> None:
    await world.broker.hold([Hold(BOT_ID, 7, world.clock() + 5_000)])
    calls = [(await world.calling(json=SAID | {"text": str(number)}))[0] for number in range(4)]

    for wait in list(world.waits):
        wait.over.set()
    answers = await asyncio.gather(*calls)

    assert sorted(retry_after(each) for each in answers) == [5, 6, 7, 8]  # a private chat takes one a second


async def test_a_call_that_is_being_sent_cannot_be_taken_back_and_is_awaited(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID)
    await world.leased()
    world.waits[0].over.set()
    await world.until_waits(2)

    await world.sent(message_id)

    assert (await calling).content == SENT_BODY


async def test_a_call_that_waits_again_after_it_could_not_be_taken_back_is_taken_back_later(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID)
    (lease,) = await world.leased()
    world.waits[0].over.set()
    await world.until_waits(2)
    await world.back_in_queue(lease)

    world.waits[1].over.set()

    assert retry_after(await calling) >= 1
    assert world.status(message_id) is Status.CANCELLED


async def test_a_call_that_perhaps_arrived_is_not_taken_back(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID)
    world.storage.in_doubt.add(message_id)
    world.waits[0].over.set()
    await world.until_waits(2)

    assert world.status(message_id) is Status.QUEUED
    await world.sent(message_id)
    assert (await calling).status_code == 200


async def test_the_time_of_a_call_to_telegram_is_passed_on_to_the_wait(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID)

    world.results.note(Progress(message_id, is_calling=True))
    await world.sent(message_id)
    await calling

    assert world.waits[0].noted == [True]


async def test_a_message_whose_end_the_ledger_could_not_write_is_still_answered_with_429(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID)
    world.storage.refused_words.append("cancel")
    world.waits[0].over.set()
    await world.until_waits(2)

    world.naps.put_nowait(None)  # the ledger is back when the cancellation is tried again

    assert retry_after(await calling) == 1
    assert world.status(message_id) is Status.CANCELLED


async def test_a_message_that_an_operator_takes_back_is_refused_though_its_history_could_not_be_read(
    world: DoorWorld,
) -> None:
    calling, message_id = await world.calling(json=SAID)
    world.storage.unread = 1
    world.waits[0].over.set()
    await world.until_waits(2)

    await world.end_as(message_id, None, Status.CANCELLED)

    assert refusal_of(await calling)[0] == 400


async def test_a_message_that_waits_for_another_says_to_come_back_in_a_minute(world: DoorWorld) -> None:
    await world.broker.hold([Hold(BOT_ID, 7, PARKED_MS)])
    calling, _ = await world.calling(json=SAID)
    world.waits[0].over.set()

    assert retry_after(await calling) == 60


async def test_a_bot_that_an_operator_has_paused_says_to_come_back_in_a_minute(world: DoorWorld) -> None:
    await world.broker.pause(BOT_ID, paused=True)
    calling, _ = await world.calling(json=SAID)
    world.waits[0].over.set()

    assert retry_after(await calling) == 60


async def test_a_bot_whose_token_telegram_refuses_is_answered_as_telegram_would(world: DoorWorld) -> None:
    await world.broker.pause(BOT_ID, paused=True)
    world.bots.pause(BOT_ID, PausedBy.TOKEN)
    calling, message_id = await world.calling(json=SAID)
    world.waits[0].over.set()

    assert refusal_of(await calling) == (401, "Unauthorized")
    assert world.status(message_id) is Status.CANCELLED


async def test_newcomers_wait_half_as_long_while_callers_are_to_come_back(world: DoorWorld) -> None:
    await world.broker.hold([Hold(BOT_ID, 7, world.clock() + 5_000)])
    calling, _ = await world.calling(json=SAID)
    world.waits[0].over.set()
    await calling

    newcomer, newcomers_id = await world.calling(json={"chat_id": 8, "text": "new"})
    world.clock.advance(5_000)
    again, again_id = await world.calling(json=SAID)
    later, later_id = await world.calling(json={"chat_id": 9, "text": "newer"})

    assert [wait.wait_s for wait in world.waits] == [3, 1.5, 3, 3]
    for message_id in (newcomers_id, again_id, later_id):
        await world.sent(message_id)
    await asyncio.gather(newcomer, again, later)


async def test_a_client_that_says_how_long_it_waits_waits_so_long(world: DoorWorld) -> None:
    await world.broker.hold([Hold(BOT_ID, 7, world.clock() + 5_000)])
    calling, _ = await world.calling(json=SAID)
    world.waits[0].over.set()
    await calling

    newcomer, message_id = await world.calling(json={"chat_id": 8, "text": "new"}, headers={"X-Tempogram-Wait": "60"})
    await world.sent(message_id)
    await newcomer

    assert [wait.wait_s for wait in world.waits] == [3, 60]


# With a key


async def test_a_call_with_a_key_keeps_its_place_and_a_repeated_one_waits_for_it(world: DoorWorld) -> None:
    await world.broker.hold([Hold(BOT_ID, 7, world.clock() + 5_000)])
    calling, message_id = await world.calling(json=SAID, headers=KEY)
    world.waits[0].over.set()
    assert retry_after(await calling) == 5
    assert world.status(message_id) is Status.QUEUED

    again = asyncio.create_task(world.call("sendMessage", json=SAID, headers=KEY))
    await world.until_waits(2)
    await world.sent(message_id)

    assert (await again).content == SENT_BODY
    assert len(world.storage.messages) == 1


async def test_a_call_with_the_key_of_a_message_that_was_sent_shows_that_message(world: DoorWorld) -> None:
    calling, message_id = await world.calling(json=SAID, headers=KEY)
    await world.sent(message_id)
    await calling

    result = (await world.call("sendMessage", json=SAID, headers=KEY)).json()["result"]

    assert (result["message_id"], result["chat"]["id"], result["text"]) == (7, 7, "hello")
    assert len(world.storage.messages) == 1


# A client that goes


@asynccontextmanager
async def made(world: DoorWorld, **wishes: object) -> AsyncIterator[tuple[asyncio.Task[object], asyncio.Event, str]]:
    """Make a call whose client goes when the event is set; give the call, the event and the message's id."""
    assert world.dependencies.door is not None
    calls = BotApi(world.dependencies, world.dependencies.door, Submissions(world.dependencies))
    call = BotApiCall(bot_id=BOT_ID, method="sendMessage", params=SAID, files={}, wishes=wishes)
    going = asyncio.Event()

    async def until_gone() -> None:
        await going.wait()

    gone = asyncio.create_task(until_gone())
    making: asyncio.Task[object] = asyncio.create_task(calls.make(call, gone))
    await world.storage.added.wait()
    (message_id,) = world.storage.messages
    await world.until_queued(message_id)
    yield making, going, message_id
    gone.cancel()


async def test_the_message_of_a_client_that_has_gone_is_taken_back(world: DoorWorld) -> None:
    async with made(world) as (making, going, message_id):
        going.set()

        with pytest.raises(ClientDisconnect):
            await making
    assert world.status(message_id) is Status.CANCELLED
    assert await world.broker.knows([message_id]) == [False]


async def test_a_message_that_is_being_sent_when_its_client_goes_ends_as_it_ends(world: DoorWorld) -> None:
    async with made(world) as (making, going, message_id):
        await world.leased()
        going.set()
        await world.until_waits(2)
        await world.end_as(message_id, Sent(9, SENT_BODY))
        await making

    assert world.status(message_id) is Status.SENT


async def test_a_message_that_waits_again_after_its_client_has_gone_is_taken_back(world: DoorWorld) -> None:
    async with made(world) as (making, going, message_id):
        (lease,) = await world.leased()
        going.set()
        await world.until_waits(2)
        await world.back_in_queue(lease)
        world.waits[1].over.set()

        with pytest.raises(ClientDisconnect):
            await making
    assert world.status(message_id) is Status.CANCELLED


async def test_a_message_with_a_key_stays_when_its_client_goes(world: DoorWorld) -> None:
    async with made(world, dedup_key="a-key") as (making, going, message_id):
        going.set()

        with pytest.raises(ClientDisconnect):
            await making
    assert world.status(message_id) is Status.QUEUED
    assert await world.broker.knows([message_id]) == [True]
