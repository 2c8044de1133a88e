"""The queue after a restart, rebuilt from the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.limits.limits import DAY_MS, Limit, Limits
from tempogram.engine.model.messages import Guarantee, Hold, Outgoing, PastSend, Status
from tempogram.engine.model.outcomes import Failed, Rejected
from tempogram.engine.ports import Ledger
from tempogram.engine.recovery.rebuild import PAGE, RebuildReport, rebuild
from tests.engine.desk import Desk
from tests.fakes import START_MS, outgoing

GROUP = -100_5
GUARD_MS = 25
WINDOW_MS = 1_000
ONE_BOT = Limits(ceiling=Limit(0, 1_000), guard_ms=GUARD_MS)
PAYING = replace(ONE_BOT, purse=Limit(10, DAY_MS))


@pytest.fixture
async def desk() -> Desk:
    return Desk(limits=ONE_BOT)


def keep(desk: Desk, *messages: Outgoing) -> None:
    """Let the ledger have open messages from before."""
    desk.ledger.messages.update({message.id: message for message in messages})
    desk.ledger.statuses.update({message.id: Status.QUEUED for message in messages})


async def restart(desk: Desk) -> RebuildReport:
    return await rebuild(desk.ledger, desk.broker, desk.closer, desk.limits, desk.clock)


async def ids_leased(desk: Desk) -> list[str]:
    return [lease.message.id for lease in await desk.leases()]


async def test_every_open_message_waits_again(desk: Desk) -> None:
    keep(desk, *(outgoing(f"{number:05}", chat_id=number + 1) for number in range(PAGE + 7)))

    found = await restart(desk)

    assert found.messages == PAGE + 7
    assert (await desk.broker.stats()).bots == {1: PAGE + 7}


async def test_messages_of_a_chat_keep_their_order(desk: Desk) -> None:
    keep(desk, *(outgoing(each) for each in "cab"))

    await restart(desk)
    desk.clock.advance(60_000)
    order = []
    while leases := await desk.leases():
        order.append(leases[0].message.id)
        await desk.send(leases[0])
        desk.clock.advance(60_000)

    assert order == ["a", "b", "c"]


async def test_messages_accepted_before_the_restart_are_not_refused_by_caps() -> None:
    desk = Desk(limits=Limits(chat_cap=1, bot_cap=1))
    keep(desk, *(outgoing(each) for each in "abc"))

    await restart(desk)

    assert await desk.broker.knows(["a", "b", "c"]) == [True] * 3


async def test_a_bot_that_was_at_work_first_waits_one_window(desk: Desk) -> None:
    keep(desk, outgoing("a"))

    await restart(desk)
    at_once = await ids_leased(desk)
    desk.clock.advance(WINDOW_MS + GUARD_MS - 1)
    too_early = await ids_leased(desk)
    desk.clock.advance(1)

    assert (at_once, too_early, await ids_leased(desk)) == ([], [], ["a"])


async def test_a_bot_that_was_at_rest_need_not_wait(desk: Desk) -> None:
    keep(desk, outgoing("a", bot_id=1))
    await restart(desk)

    await desk.accept(outgoing("b", bot_id=2))

    assert await ids_leased(desk) == ["b"]


async def test_a_bot_that_sent_just_before_waits_one_window_though_none_of_its_messages_is_open(desk: Desk) -> None:
    desk.ledger.presumed = [PastSend(1, 7, START_MS - 10, 1)]
    await restart(desk)

    await desk.accept(outgoing("a", chat_id=8))

    assert await ids_leased(desk) == []


async def test_places_that_were_taken_before_the_restart_stay_taken(desk: Desk) -> None:
    desk.ledger.presumed = [PastSend(1, GROUP, START_MS - 30_000 + number, 1) for number in range(20)]
    await restart(desk)
    await desk.accept(outgoing("a", chat_id=GROUP))

    desk.clock.advance(29_999)
    too_early = await ids_leased(desk)
    desk.clock.advance(GUARD_MS + 2)

    assert too_early == []
    assert await ids_leased(desk) == ["a"]


async def test_a_private_chat_that_got_a_message_each_second_has_its_burst_spent_after_a_restart(desk: Desk) -> None:
    """Rebuilt from the last sends alone, its bucket looked nearly empty, and two messages left at once."""
    first_ms = START_MS - 100_000
    burst = [PastSend(1, 7, first_ms, 1)] * 3
    steady = [PastSend(1, 7, first_ms + second * 1_000, 1) for second in range(1, 101)]
    desk.ledger.presumed += burst + steady
    keep(desk, *(outgoing(each, chat_id=7) for each in "ab"))

    await restart(desk)

    # The last took the third place at once; the one that is presumed comes a second after it, and then the next.
    desk.clock.advance(2_000 - 1)
    assert await ids_leased(desk) == []
    desk.clock.advance(2 + GUARD_MS)
    assert await ids_leased(desk) == ["a"]


async def test_a_private_chat_that_was_at_rest_has_its_burst_after_a_restart(desk: Desk) -> None:
    desk.ledger.presumed.append(PastSend(1, 7, START_MS - 2_000, 1))
    keep(desk, *(outgoing(each, chat_id=7) for each in "ab"))

    await restart(desk)
    desk.clock.advance(WINDOW_MS + GUARD_MS)

    assert await ids_leased(desk) == ["a"]


async def test_one_message_of_each_chat_is_presumed_to_have_been_on_its_way(desk: Desk) -> None:
    desk.ledger.presumed = [PastSend(1, GROUP, START_MS - 30_000, 1)] * 19
    keep(desk, outgoing("a", chat_id=GROUP))
    await restart(desk)

    desk.clock.advance(29_999)
    too_early = await ids_leased(desk)
    desk.clock.advance(GUARD_MS + 2)

    assert too_early == []
    assert await ids_leased(desk) == ["a"]


async def test_an_uncounted_call_is_presumed_to_have_taken_no_place(desk: Desk) -> None:
    keep(desk, outgoing("a", chat_id=GROUP, cost=0))

    found = await restart(desk)

    assert found.messages == 1
    assert await desk.ledger.sends_since(0, now_ms=START_MS) == []
    assert await ids_leased(desk) == ["a"]


async def test_an_uncounted_call_may_have_arrived_though_it_took_no_place(desk: Desk) -> None:
    waiting = outgoing("a", chat_id=GROUP, cost=0, is_paid=True)
    keep(desk, waiting, outgoing("b", chat_id=GROUP - 1, cost=0), outgoing("c", chat_id=GROUP - 1))

    await restart(desk)

    assert await desk.ledger.may_have_arrived(waiting)
    assert await desk.ledger.spent_since(0) == []
    assert [(each.chat_id, each.cost) for each in await desk.ledger.sends_since(0, now_ms=START_MS)] == [(GROUP - 1, 1)]


async def test_the_costliest_message_of_a_chat_is_the_one_presumed(desk: Desk) -> None:
    desk.ledger.presumed = [PastSend(1, GROUP, START_MS - 30_000, 1)] * 11
    keep(desk, outgoing("a", chat_id=GROUP), outgoing("b", chat_id=GROUP, cost=9))
    await restart(desk)

    desk.clock.advance(29_999)

    assert await ids_leased(desk) == []


async def test_a_chat_owes_one_place_after_a_restart_for_a_refused_call_of_a_hundred(desk: Desk) -> None:
    await desk.deliver(Rejected(400, "Bad Request: message to copy not found"), message=outgoing("a", cost=100))
    again = Desk(limits=ONE_BOT)
    again.ledger = desk.ledger
    keep(again, outgoing("b"))
    await restart(again)

    again.clock.advance(WINDOW_MS + GUARD_MS)

    assert await ids_leased(again) == ["b"]


async def test_an_interrupted_at_most_once_message_takes_its_place_and_is_not_sent_again(desk: Desk) -> None:
    keep(desk, outgoing("a", chat_id=GROUP))
    await desk.ledger.mark_sending(["a"])
    desk.ledger.presumed = [PastSend(1, GROUP, START_MS - 30_000, 1)] * 19

    found = await restart(desk)
    await desk.accept(outgoing("b", chat_id=GROUP))
    desk.clock.advance(29_999)

    assert found.interrupted == 1
    assert await ids_leased(desk) == []


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SENDING])
async def test_a_presumed_send_counts_after_a_second_crash_within_the_window(desk: Desk, status: Status) -> None:
    keep(desk, outgoing("a", chat_id=GROUP))
    desk.ledger.statuses["a"] = status
    desk.ledger.presumed = [PastSend(1, GROUP, START_MS - 30_000, 1)] * 19
    await restart(desk)
    desk.ledger.statuses["a"] = Status.CANCELLED  # so that the second start finds nothing open

    desk.clock.advance(10_000)
    again = Desk(limits=ONE_BOT)
    again.clock.advance(10_000)
    again.ledger = desk.ledger
    await restart(again)
    await again.broker.admit([outgoing("b", chat_id=GROUP)], worker_id="", slots=0)
    again.clock.advance(19_999)
    too_early = await ids_leased(again)
    again.clock.advance(GUARD_MS + 2)

    assert too_early == []
    assert await ids_leased(again) == ["b"]


async def test_holds_survive_a_restart(desk: Desk) -> None:
    holds = [Hold(1, 7, START_MS + 90_000), Hold(2, None, START_MS + 90_000)]
    await desk.ledger.record_holds(holds, now_ms=START_MS)
    await restart(desk)
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=8), outgoing("c", bot_id=2))

    before = await ids_leased(desk)
    desk.clock.advance(90_000)
    after = await ids_leased(desk)

    assert before == ["b"]
    assert sorted(after) == ["a", "c"]


async def test_a_paused_bot_stays_paused(desk: Desk) -> None:
    await desk.ledger.pause(1, paused=True)
    keep(desk, outgoing("a", bot_id=1), outgoing("b", bot_id=2))

    await restart(desk)
    desk.clock.advance(90_000)

    assert await ids_leased(desk) == ["b"]


async def test_the_names_of_a_chat_are_one_chat_again(desk: Desk) -> None:
    desk.ledger.alias_of = {(1, "@news"): GROUP}
    keep(desk, outgoing("a", chat_id="@news"), outgoing("b", chat_id=GROUP))

    await restart(desk)
    desk.clock.advance(90_000)
    leases = await desk.leases()

    assert [(lease.message.id, lease.message.chat_id) for lease in leases] == [("a", GROUP)]


async def test_weights_survive_a_restart() -> None:
    desk = Desk(limits=Limits(ceiling=Limit(12, 1_000), bot=Limit(0, 1), chat=Limit(0, 1), saved_up=12, guard_ms=0))
    desk.ledger.bot_weights = {2: 5}
    keep(desk, *(outgoing(f"{bot_id}-{n:02}", bot_id=bot_id, chat_id=n) for bot_id in (1, 2) for n in range(1, 13)))

    await restart(desk)
    desk.clock.advance(90_000)
    served = [lease.message.bot_id for lease in await desk.leases(6)]  # half of the ceiling, which is not shared out

    assert (served.count(1), served.count(2)) == (1, 5)


async def test_a_retry_keeps_its_time_and_its_spent_attempts(desk: Desk) -> None:
    keep(desk, outgoing("a", attempt=3, ready_at_ms=START_MS + 5_000))

    await restart(desk)
    desk.clock.advance(4_999)
    too_early = await desk.leases()
    desk.clock.advance(1)
    lease = await desk.lease()

    assert too_early == []
    assert lease.attempt == 4


async def test_no_message_is_leased_before_the_rebuild_is_done(desk: Desk) -> None:
    leased: list[int | None] = []

    class WatchfulLedger:
        """A ledger that notes, at each call, how many messages are leased by then."""

        def __getattr__(self, name: str) -> Any:
            async def asked(*arguments: Any, **options: Any) -> Any:
                leased.append((await desk.broker.stats()).leased)
                return await getattr(desk.ledger, name)(*arguments, **options)

            return asked

    ledger: Ledger = WatchfulLedger()
    keep(desk, outgoing("a"))

    await rebuild(ledger, desk.broker, desk.closer, desk.limits, desk.clock)

    assert leased
    assert set(leased) == {0}
    assert desk.broker.slots_asked == []


async def test_a_failed_message_survives_a_restart_with_its_guarantee(desk: Desk) -> None:
    keep(desk, outgoing("a"))
    await restart(desk)
    desk.clock.advance(90_000)
    desk.transport.answers(Failed("HTTP 502", 502))

    await desk.send(await desk.lease())

    assert desk.ledger.messages["a"].guarantee is Guarantee.AT_LEAST_ONCE
    assert desk.ledger.statuses["a"] is Status.QUEUED


async def test_a_message_that_expired_while_the_process_was_down_is_recorded_at_the_first_lease(desk: Desk) -> None:
    late = outgoing("a", expires_at_ms=desk.clock() - 1)
    desk.ledger.messages["a"], desk.ledger.statuses["a"] = late, Status.QUEUED

    await restart(desk)
    desk.clock.advance(2_000)
    leased = await desk.broker.lease(worker_id="w", slots=1)
    await desk.closer.record_expired(leased.expired)

    assert desk.ledger.statuses["a"] is Status.EXPIRED


async def test_of_the_edits_of_a_message_only_the_newest_is_admitted_again(desk: Desk) -> None:
    keep(desk, *(outgoing(each, method="editMessageText", replaces="edit:1") for each in "abc"))

    await restart(desk)

    assert await desk.broker.knows(["a", "b", "c"]) == [False, False, True]
    assert desk.ledger.statuses == {"a": Status.CANCELLED, "b": Status.CANCELLED, "c": Status.QUEUED}


async def test_the_spent_part_of_a_purse_is_spent_after_a_restart() -> None:
    desk = Desk(limits=PAYING)
    desk.ledger.presumed = [
        PastSend(1, 7, START_MS - 3_600_000, 9, is_paid=True),
        PastSend(1, 7, START_MS - DAY_MS - 60_000, 1, is_paid=True),
    ]
    await restart(desk)

    await desk.accept(outgoing("a", chat_id=1, is_paid=True), outgoing("b", chat_id=2, is_paid=True))

    assert [each.message.is_paid for each in await desk.leases()] == [True, False]


async def test_no_more_of_a_purse_is_presumed_spent_than_calls_may_have_been_under_way() -> None:
    desk = Desk(limits=PAYING)
    keep(desk, *(outgoing(f"{number:02}", chat_id=number + 1, is_paid=True) for number in range(20)))

    await rebuild(desk.ledger, desk.broker, desk.closer, desk.limits, desk.clock, calls_max=4)

    assert (await desk.broker.stats()).paid == {1: 4}


# A clock that was set back: what was written before is an hour ahead of it

HOUR_MS = 3_600_000
AHEAD_MS = START_MS + HOUR_MS


async def test_sends_recorded_before_the_clock_was_set_back_count_as_made_now(desk: Desk) -> None:
    """A bot sent nothing for an hour, and its health was ``up``."""
    desk.ledger.presumed = [PastSend(1, GROUP, AHEAD_MS - number, 1) for number in range(20)]
    await restart(desk)
    await desk.accept(outgoing("a", chat_id=GROUP), outgoing("b", chat_id=7))

    desk.clock.advance(WINDOW_MS + GUARD_MS)
    elsewhere = await ids_leased(desk)
    desk.clock.advance(60_000 - WINDOW_MS - GUARD_MS)
    too_early = await ids_leased(desk)
    desk.clock.advance(1)

    assert (elsewhere, too_early, await ids_leased(desk)) == (["b"], [], ["a"])


@pytest.mark.parametrize("bot", [Limit(30, 1_000), Limit(30, 1_000, burst=5)], ids=["window", "bucket"])
async def test_an_hour_of_sends_recorded_ahead_of_the_clock_costs_a_window_and_no_more(bot: Limit) -> None:
    desk = Desk(limits=replace(ONE_BOT, bot=bot))
    chats = range(1, 61)
    desk.ledger.presumed = [PastSend(1, chat, AHEAD_MS - 60_000 * minute, 1) for minute in range(60) for chat in chats]
    await restart(desk)
    await desk.accept(*(outgoing(f"{chat:02}", chat_id=chat) for chat in chats))

    sent = []
    for _ in range(80):
        desk.clock.advance(100)
        for lease in await desk.leases():
            sent.append(lease.message.id)
            await desk.send(lease)

    assert len(sent) == 60


async def test_a_hold_recorded_before_the_clock_was_set_back_keeps_its_length(desk: Desk) -> None:
    await desk.ledger.record_holds([Hold(1, 7, AHEAD_MS + 90_000)], now_ms=AHEAD_MS)
    await restart(desk)
    await desk.accept(outgoing("a", chat_id=7))

    desk.clock.advance(90_000 - 1)
    too_early = await ids_leased(desk)
    desk.clock.advance(1)

    assert (too_early, await ids_leased(desk)) == ([], ["a"])


async def test_a_retry_scheduled_before_the_clock_was_set_back_keeps_its_delay_and_a_send_at_its_time(
    desk: Desk,
) -> None:
    desk.ledger.presumed = [PastSend(2, 8, AHEAD_MS, 1)]
    retry = outgoing("a", attempt=1, ready_at_ms=AHEAD_MS + 60_000)
    keep(desk, retry, outgoing("b", chat_id=9, ready_at_ms=AHEAD_MS))
    await restart(desk)

    desk.clock.advance(60_000)
    after_the_delay = await ids_leased(desk)
    desk.clock.advance(HOUR_MS - 60_000)

    assert after_the_delay == ["a"]
    assert await ids_leased(desk) == ["b"]


async def test_a_clock_that_was_set_back_is_logged_with_its_seconds(desk: Desk) -> None:
    desk.ledger.presumed = [PastSend(1, 7, AHEAD_MS, 1)]

    with capture_logs() as logs:
        await restart(desk)

    assert [each["seconds"] for each in logs if each["event"] == "clock_set_back"] == [3_600]


async def test_a_clock_that_differs_by_less_than_a_second_was_not_set_back(desk: Desk) -> None:
    desk.ledger.presumed = [PastSend(1, 7, START_MS + 999, 1)]

    with capture_logs() as logs:
        await restart(desk)

    assert "clock_set_back" not in [each["event"] for each in logs]
