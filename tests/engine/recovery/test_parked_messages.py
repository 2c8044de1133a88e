"""What is parked goes when all that it waits for has ended, whichever process parked it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest
from msgspec.structs import replace

from tempogram.bot.calls.handles import Amended
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import PARKED_MS, Outgoing, Status
from tempogram.engine.model.outcomes import Rejected
from tempogram.engine.ports import WaitsAt
from tempogram.engine.recovery.parked_messages import ParkedMessages
from tests.bot.gateways import parked_messages_of, references_of
from tests.bot.memory_handles import MemoryHandles
from tests.engine.desk import Desk, turns
from tests.fakes import outgoing

TARGET, PARKED = outgoing("a"), outgoing("b", chat_id=8, ready_at_ms=PARKED_MS)


@pytest.fixture
async def desk() -> Desk:
    """A desk at which one message is parked until another has ended."""
    desk = Desk()
    desk.handles = MemoryHandles(desk.ledger)  # type: ignore[attr-defined]
    await desk.handles.refer("b", ["a"], after_ids=["a"])  # type: ignore[attr-defined]
    await desk.accept(TARGET, PARKED)
    return desk


@pytest.fixture
def parked_messages(desk: Desk) -> ParkedMessages:
    return parked_messages_of(desk, desk.handles)  # type: ignore[attr-defined]


@contextmanager
def running(parked_messages: ParkedMessages) -> Iterator[None]:
    task = asyncio.create_task(parked_messages.run())
    try:
        yield
    finally:
        task.cancel()


async def test_a_parked_message_waits_though_it_has_a_place(desk: Desk, parked_messages: ParkedMessages) -> None:
    released = await parked_messages.release()
    leases = await desk.leases()

    assert released == 0
    assert [lease.message.id for lease in leases] == ["a"]


@pytest.mark.parametrize("refusal", [None, Rejected(400, "Bad Request: no rights")], ids=["sent", "refused"])
async def test_it_goes_once_its_target_has_ended(
    desk: Desk, parked_messages: ParkedMessages, refusal: Rejected | None
) -> None:
    if refusal is not None:
        desk.transport.answers(refusal)
    await desk.work()

    assert await parked_messages.release() == 1
    await desk.work()

    assert desk.sent == ["a", "b"]
    assert await parked_messages.release() == 0


async def test_it_goes_at_once_when_the_result_of_its_target_comes(desk: Desk, parked_messages: ParkedMessages) -> None:
    with running(parked_messages):
        parked_messages.watch(["a"])
        await turns()
        await desk.work()
        await turns()

        assert [lease.message.id for lease in await desk.leases()] == ["b"]


async def test_it_goes_after_a_restart(desk: Desk) -> None:
    await desk.work()
    await desk.restart()

    assert await parked_messages_of(desk, desk.handles).release() == 1  # type: ignore[attr-defined]


async def test_while_the_queue_is_away_it_stays_parked(desk: Desk, parked_messages: ParkedMessages) -> None:
    await desk.work()
    desk.broker.asleep = True
    with pytest.raises(BrokerUnavailable):
        await parked_messages.release()
    desk.broker.asleep = False

    assert await parked_messages.release() == 1


async def test_a_crash_before_the_ledger_knows_of_the_release_loses_nothing(
    desk: Desk, parked_messages: ParkedMessages
) -> None:
    await desk.work()
    await parked_messages.release()
    desk.ledger.messages["b"] = PARKED  # as if the ledger had not been amended
    await desk.restart()

    assert await parked_messages.release() == 1
    desk.clock.advance(60_000)
    await desk.work()
    assert desk.ledger.statuses["b"] is Status.SENT


async def test_a_parked_message_expires_and_is_cancelled_like_any_other(desk: Desk) -> None:
    assert await desk.broker.cancel(["b"]) == [True]


async def test_the_queue_explains_a_parked_message_as_one_that_has_its_time(desk: Desk) -> None:
    explanation = await desk.broker.explain("b")

    assert explanation is not None
    assert (explanation.waits_at, explanation.earliest_at_ms) == (WaitsAt.SCHEDULED, PARKED_MS)


async def test_only_the_process_that_looks_for_others_finds_what_another_has_parked(
    desk: Desk, parked_messages: ParkedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempogram.engine.recovery.parked_messages.LOOK_S", 0)
    looks: list[bool] = []
    monkeypatch.setattr(parked_messages, "_looks_for_others", lambda: bool(looks))
    await desk.work()
    with running(parked_messages):
        await turns()
        await desk.work()
        unseen = list(desk.sent)
        looks.append(True)
        await turns()
        await desk.work()

    assert (unseen, desk.sent) == (["a"], ["a", "b"])


async def test_an_edit_of_a_message_that_is_just_let_go_is_not_lost(
    desk: Desk, parked_messages: ParkedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = await desk.handles.hand_out(PARKED.bot_id, "b", 1)  # type: ignore[attr-defined]
    params = msgspec.json.encode({"message_id": number, "text": "new"})
    edit = replace(outgoing("c", chat_id=8), method="editMessageText", params=params)
    references, open_among = references_of(desk, desk.handles), desk.ledger.open_among  # type: ignore[attr-defined]

    async def edited_meanwhile(message_ids: Sequence[str]) -> list[Outgoing]:
        read = await open_among(message_ids)
        monkeypatch.undo()
        assert await references.change_waiting(edit) == Amended("b")
        return read

    await desk.work()
    monkeypatch.setattr(desk.ledger, "open_among", edited_meanwhile)
    await parked_messages.release()

    (lease,) = await desk.leases()
    assert msgspec.json.decode(lease.message.params)["text"] == "new"
    assert desk.ledger.messages["b"].params == lease.message.params


async def test_a_message_goes_though_the_queue_was_rebuilt_while_it_was_let_go(
    desk: Desk, parked_messages: ParkedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    amend = desk.ledger.amend

    async def rebuilt_before(messages: Sequence[Outgoing]) -> None:
        await desk.broker.amend([PARKED])  # as the ledger has it until now
        await amend(messages)

    await desk.work()
    monkeypatch.setattr(desk.ledger, "amend", rebuilt_before)
    await parked_messages.release()
    await desk.work()

    assert desk.sent == ["a", "b"]


async def test_what_had_ended_before_it_was_watched_is_watched_no_more(
    desk: Desk, parked_messages: ParkedMessages
) -> None:
    await desk.work()
    parked_messages.watch(["a", "b"])

    await parked_messages.forget_ended()

    assert parked_messages.watched == {"b"}


DUE = outgoing("c", chat_id=9)


@pytest.fixture
async def due(desk: Desk) -> Outgoing:
    """A message that is due, and refers to one that is not sent yet."""
    await desk.handles.refer("c", ["a"], after_ids=["a"])  # type: ignore[attr-defined]
    await desk.accept(DUE)
    return DUE


async def test_a_message_that_is_not_ready_leaves_its_lane_and_goes_once_its_target_has_ended(
    desk: Desk, parked_messages: ParkedMessages, due: Outgoing
) -> None:
    await parked_messages.park(due)
    (lease,) = await desk.leases()
    await desk.send(lease)
    released = await parked_messages.release()

    assert (lease.message.id, released) == ("a", 2)
    assert {lease.message.id for lease in await desk.leases()} == {"b", "c"}


@pytest.mark.parametrize("who", ["ledger", "broker"])
async def test_a_message_that_cannot_be_parked_stays_in_its_lane(
    desk: Desk, parked_messages: ParkedMessages, due: Outgoing, who: str
) -> None:
    getattr(desk, who).asleep = True
    await parked_messages.park(due)
    getattr(desk, who).asleep = False

    assert "c" in {lease.message.id for lease in await desk.leases()}


async def test_a_message_whose_target_ends_while_it_is_parked_is_not_left_behind(
    desk: Desk, parked_messages: ParkedMessages, due: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    amend = desk.broker.amend

    async def released_meanwhile(messages: Sequence[Outgoing]) -> list[bool]:
        monkeypatch.undo()
        desk.ledger.statuses["a"] = Status.SENT
        await parked_messages.release()
        return await amend(messages)

    monkeypatch.setattr(desk.broker, "amend", released_meanwhile)
    await parked_messages.park(due)

    assert "c" in {lease.message.id for lease in await desk.leases()}
