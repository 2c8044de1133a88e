"""An erased chat: what waits for it ends, what is being sent is sent, and nothing more is accepted."""

from __future__ import annotations

import pytest

from tempogram.engine.closing.reachability import ERASED
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, LedgerAway
from tempogram.engine.model.messages import BotChat, Status
from tempogram.engine.ports import Accepted
from tests.engine.desk import Desk
from tests.fakes import outgoing


async def test_what_waits_is_cancelled_and_a_lease_whose_call_has_not_begun_makes_none(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=7), outgoing("c", chat_id=8))
    lease = await desk.lease()

    await desk.eraser.erase(1, 7)
    await desk.send(lease)

    assert desk.transport.ids == []
    assert desk.ledger.statuses == {"a": Status.DEAD, "b": Status.CANCELLED, "c": Status.QUEUED}


async def test_nothing_more_is_accepted_for_an_erased_chat_whatever_is_heard_of_it(desk: Desk) -> None:
    desk.deaf.add(1)
    await desk.eraser.erase(1, 7)

    refused, other = await desk.dispatcher.submit([outgoing("a", chat_id=7), outgoing("b", chat_id=8)])

    assert isinstance(refused, ChatUnreachable)
    assert refused.reason == ERASED
    assert other == Accepted()


async def test_an_erased_chat_is_refused_for_businesses_too(desk: Desk) -> None:
    await desk.eraser.erase(1, 7)

    for_shop = outgoing("a", chat_id=7, params=b'{"text":"hello","business_connection_id":"shop"}')

    assert desk.reachability.refusal(for_shop) is not None


async def test_what_another_process_accepted_is_refused_when_its_turn_comes(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7))
    await desk.erasures.begin(1, 7, now_ms=desk.clock())
    desk.reachability.note_erased(1, 7)

    await desk.send(await desk.lease())

    assert desk.transport.ids == []
    assert desk.ledger.statuses == {"a": Status.DEAD}


async def test_an_answer_to_a_person_who_wrote_to_another_process_is_sent(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7))
    await desk.erasures.begin(1, 7, now_ms=desk.clock())
    desk.reachability.note_erased(1, 7)
    await desk.erasures.lift(1, 7)  # by the other process, whose notice is under way

    await desk.send(await desk.lease())

    assert desk.ledger.statuses == {"a": Status.SENT}


async def test_nothing_is_sent_to_an_erased_chat_while_it_cannot_be_read_whether_it_is_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> set[BotChat]:
        raise LedgerAway("the database is away")

    await desk.accept(outgoing("a", chat_id=7))
    await desk.erasures.begin(1, 7, now_ms=desk.clock())
    desk.reachability.note_erased(1, 7)
    monkeypatch.setattr(desk.erasures, "among", away)

    await desk.send(await desk.lease())

    assert desk.transport.ids == []


async def test_an_erasure_without_the_queue_closes_the_chat_and_is_made_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> list[bool]:
        raise BrokerUnavailable("the queue is away")

    await desk.accept(outgoing("a", chat_id=7))
    with monkeypatch.context() as patch:
        patch.setattr(desk.broker, "cancel", away)
        with pytest.raises(BrokerUnavailable):
            await desk.eraser.erase(1, 7)
    (refused,) = await desk.dispatcher.submit([outgoing("b", chat_id=7)])

    await desk.eraser.finish_pending()

    assert isinstance(refused, ChatUnreachable)
    assert desk.ledger.statuses == {"a": Status.CANCELLED}


async def test_an_erased_chat_is_known_after_a_start_and_when_another_process_changes_it(desk: Desk) -> None:
    await desk.erasures.begin(1, 7, now_ms=desk.clock())

    await desk.reachability.load()
    after_start = desk.reachability.is_erased(1, 7)
    await desk.erasures.lift(1, 7)
    await desk.reachability.reload([(1, 7)])

    assert (after_start, desk.reachability.is_erased(1, 7)) == (True, False)
