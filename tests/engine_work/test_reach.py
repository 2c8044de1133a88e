"""Which chats take nothing more: refused at the door, remembered, and forgotten when somebody writes."""

from __future__ import annotations

from engine.messages import Status
from engine.outcomes import Rejected
from engine.ports import Accepted
from engine.reach import Reach
from tests.engine_work.desk import Desk
from tests.fakes import outgoing

BLOCKED = "Forbidden: bot was blocked by the user"


def reach_of(desk: Desk, *, chats_max: int = 100) -> Reach:
    return Reach(
        ledger=desk.ledger,
        broker=desk.broker,
        results=desk.results,
        clock=desk.clock,
        hears=lambda _: True,
        chats_max=chats_max,
    )


async def test_a_lost_chat_is_refused_with_telegrams_words_until_somebody_writes(desk: Desk) -> None:
    await desk.reach.lose(1, 7, BLOCKED)

    (refused, other) = await desk.dispatcher.submit([outgoing("a", chat_id=7), outgoing("b", chat_id=8)])
    desk.reach.regain(1, 7)
    (again,) = await desk.dispatcher.submit([outgoing("c", chat_id=7)])

    assert getattr(refused, "reason", None) == BLOCKED
    assert (other, again) == (Accepted(), Accepted())
    assert list(desk.ledger.statuses) == ["b", "c"]


async def test_a_bot_that_hears_nothing_tries_every_message_that_comes_after_a_refusal(desk: Desk) -> None:
    desk.deaf.add(1)
    desk.transport.answers(Rejected(403, BLOCKED, unreachable=True))
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=7))

    await desk.send(await desk.lease())
    await desk.send(await desk.leased(outgoing("c", chat_id=7)))

    assert desk.ledger.statuses == {"a": Status.DEAD, "b": Status.DEAD, "c": Status.SENT}


async def test_a_replay_tries_a_lost_chat_once_more(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7))
    await desk.reach.lose(1, 7, BLOCKED)
    desk.ledger.statuses["a"] = Status.QUEUED
    desk.transport.answers(Rejected(403, BLOCKED, unreachable=True))

    await desk.dispatcher.readmit([outgoing("a", chat_id=7)])
    await desk.send(await desk.lease())

    assert desk.transport.ids == ["a"]
    assert desk.reach.is_lost(1, 7)


async def test_another_bots_messages_to_the_chat_go(desk: Desk) -> None:
    await desk.reach.lose(1, 7, BLOCKED)

    assert desk.reach.refusal(outgoing("a", bot_id=2, chat_id=7)) is None


async def test_what_the_books_know_is_known_after_a_start(desk: Desk) -> None:
    desk.ledger.unreachable = [(1, -1_001, BLOCKED)]
    desk.ledger.names = [(1, "@news", -1_001)]
    reach = reach_of(desk)

    await reach.load()

    assert reach.is_lost(1, "@news")
    assert reach.is_lost(1, -1_001)
    assert not reach.is_lost(1, -1_002)


async def test_beyond_its_bound_it_forgets_the_chat_that_was_lost_first(desk: Desk) -> None:
    reach = reach_of(desk, chats_max=2)

    for chat_id in (7, 8, 9):
        await reach.lose(1, chat_id, BLOCKED)

    assert [reach.is_lost(1, chat_id) for chat_id in (7, 8, 9)] == [False, True, True]


async def test_a_group_that_migrates_can_be_sent_to_and_is_lost_under_both_ids_if_it_removes_the_bot(
    desk: Desk,
) -> None:
    await desk.reach.lose(1, -5, BLOCKED)

    desk.reach.rename(1, -5, -1_001)
    before = desk.reach.is_lost(1, -5), desk.reach.is_lost(1, -1_001)
    await desk.reach.lose(1, -5, BLOCKED)

    assert before == (False, False)
    assert desk.reach.is_lost(1, -1_001)
    desk.reach.regain(1, -1_001)
    assert not desk.reach.is_lost(1, -5)


async def test_two_ids_that_change_places_do_not_point_at_each_other(desk: Desk) -> None:
    desk.reach.rename(1, -5, -6)
    desk.reach.rename(1, -6, -5)

    await desk.reach.lose(1, -6, BLOCKED)

    assert desk.reach.is_lost(1, -5)


async def test_what_waits_is_given_up_page_by_page(desk: Desk) -> None:
    await desk.accept(*(outgoing(f"m{number:04}", chat_id=7) for number in range(1_201)))

    await desk.reach.lose(1, 7, BLOCKED)

    assert set(desk.ledger.statuses.values()) == {Status.DEAD}
    assert (await desk.broker.stats()).waiting == dict.fromkeys((await desk.broker.stats()).waiting, 0)
