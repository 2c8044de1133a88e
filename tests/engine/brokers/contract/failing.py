"""A chat whose calls fail waits for its retry, and a bot whose calls fail is tried now and then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from tempogram.engine.limits.failing import FAILING_AFTER_MS, FAILURES_MIN, TRIAL_MS_MAX, TRIAL_MS_MIN
from tempogram.engine.model.messages import Again, Done, Lease, Outgoing, Priority, Settlement, Then
from tempogram.engine.ports import Broker, FailingChange, Settled, WaitsAt
from tests.engine.brokers.contract.steps import HIGH, LOW, explained, lease, leased_ids, many, queue, wake_in_ms
from tests.fakes import Clock, outgoing


async def answer(
    broker: Broker,
    leases: Iterable[Lease],
    then: Then | None = None,
    *,
    alive: bool | None,
) -> list[Settled]:
    return await broker.settle([Settlement(each, then or Again(0), None, alive=alive) for each in leases])


async def fail(broker: Broker, clock: Clock, messages: Sequence[Outgoing]) -> list[FailingChange | None]:
    """Let the first calls of a bot's messages fail, the last of them when nothing has succeeded for long enough."""
    await queue(broker, messages)
    leases = await lease(broker)
    clock.advance(FAILING_AFTER_MS)
    return [each.failing for each in await answer(broker, leases, alive=False)]


async def trials(broker: Broker, clock: Clock, count: int) -> list[tuple[int, str]]:
    """Let so many trials hang; return how long each came after the one before, and the id of its message."""
    begun: list[tuple[int, str]] = []
    since_ms = clock()
    while len(begun) < count:
        leased = await broker.lease(worker_id="worker", slots=50)
        begun += [(clock() - since_ms, each.message.id) for each in leased.leases]
        since_ms = clock() if leased.leases else since_ms
        clock.now_ms = leased.wake_at_ms or clock()
    return begun


class Failing:
    async def test_after_a_call_that_failed_its_whole_chat_waits_for_the_retry(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a")])
        await answer(unlimited, await lease(unlimited), Again(700), alive=False)
        await queue(unlimited, [outgoing("urgent", priority=HIGH), outgoing("late", priority=LOW)])

        clock.advance(699)
        too_early = await leased_ids(unlimited)
        waiting = await explained(unlimited, clock, "urgent")
        clock.advance(1)

        assert too_early == []
        assert waiting == (WaitsAt.BACKOFF, 0, 0, 1)
        assert await leased_ids(unlimited) == ["urgent"]

    async def test_what_telegram_refuses_for_now_delays_only_its_own_lane(self, unlimited: Broker) -> None:
        await queue(unlimited, [outgoing("a")])
        await answer(unlimited, await lease(unlimited), Again(700), alive=True)
        await queue(unlimited, [outgoing("urgent", priority=HIGH)])

        assert await leased_ids(unlimited) == ["urgent"]

    async def test_a_bot_whose_calls_fail_is_held_and_tried_ever_more_seldom(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        (*before, last) = await fail(unlimited, clock, many(FAILURES_MIN))
        began_ms = clock()
        await queue(unlimited, many(8, prefix="next", priority=HIGH))

        assert before == [None] * (FAILURES_MIN - 1)
        assert last == FailingChange(begins=True, after_ms=FAILING_AFTER_MS)
        assert (await unlimited.stats()).failing == {1: began_ms}
        assert await explained(unlimited, clock, "next0007") == (WaitsAt.BOT_FAILING, 0, 7, TRIAL_MS_MIN)
        waits_ms = [after_ms for after_ms, _ in await trials(unlimited, clock, 7)]
        assert waits_ms == [TRIAL_MS_MIN, 2_000, 4_000, 8_000, 16_000, TRIAL_MS_MAX, TRIAL_MS_MAX]

    async def test_any_success_of_a_bot_that_is_failing_lets_all_of_it_go(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("slow", chat_id=99)])
        (slow,) = await lease(unlimited)
        await fail(unlimited, clock, many(FAILURES_MIN))
        clock.advance(500)

        (settled,) = await answer(unlimited, [slow], Done(), alive=True)

        assert settled.failing == FailingChange(begins=False, after_ms=500)
        assert (await unlimited.stats()).failing == {}
        assert len(await leased_ids(unlimited)) == FAILURES_MIN

    async def test_a_bot_of_which_nothing_is_open_any_more_is_not_reported_as_failing(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        messages = many(FAILURES_MIN)
        await fail(unlimited, clock, messages)
        before = (await unlimited.stats()).failing

        await unlimited.cancel([each.id for each in messages])

        assert before == {1: clock()}
        assert (await unlimited.stats()).failing == {}

    async def test_a_bot_that_begins_to_fail_again_is_tried_as_often_as_at_first(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        await queue(unlimited, many(4, prefix="next", priority=HIGH))
        await trials(unlimited, clock, 3)
        (trial,) = await lease(unlimited)
        await answer(unlimited, [trial], Done(), alive=True)
        leases = await lease(unlimited)
        clock.advance(FAILING_AFTER_MS)
        await answer(unlimited, leases, alive=False)

        ((after_ms, _),) = await trials(unlimited, clock, 1)

        assert after_ms == TRIAL_MS_MIN

    async def test_calls_that_fail_while_others_of_their_bot_succeed_hold_only_their_chats(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        for _ in range(3 * FAILURES_MIN):
            await queue(unlimited, [outgoing(f"good{clock()}", chat_id=50), *many(2, prefix=f"bad{clock()}")])
            for each in await lease(unlimited):
                good = each.message.id.startswith("good")
                (settled,) = await answer(unlimited, [each], Done() if good else Again(0), alive=good)
                assert settled.failing is None
            clock.advance(FAILING_AFTER_MS)

    async def test_many_failures_at_once_are_no_evidence_before_others_could_have_succeeded(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(3 * FAILURES_MIN))
        leases = await lease(unlimited)
        clock.advance(FAILING_AFTER_MS - 1)

        answers = await answer(unlimited, leases, alive=False)

        assert {each.failing for each in answers} == {None}

    async def test_a_bot_is_not_failing_because_one_chat_fails(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a")])
        for _ in range(3 * FAILURES_MIN):
            (settled,) = await answer(unlimited, await lease(unlimited), Again(400), alive=False)
            assert settled.failing is None
            clock.advance(FAILING_AFTER_MS)

    async def test_one_chat_under_two_names_is_one_chat_that_fails(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", chat_id="@name")])
        for turn in range(3 * FAILURES_MIN):
            if turn == FAILURES_MIN:
                await unlimited.migrate(1, "@name", -5)
            (settled,) = await answer(unlimited, await lease(unlimited), alive=False)
            assert settled.failing is None
            clock.advance(FAILING_AFTER_MS)

    async def test_answers_that_tell_nothing_of_telegram_do_not_count(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        for _ in range(3 * FAILURES_MIN):
            answers = await answer(unlimited, await lease(unlimited), alive=None)
            assert {each.failing for each in answers} == {None}
            clock.advance(FAILING_AFTER_MS)

    async def test_a_bot_that_is_failing_costs_no_other_bot_anything(self, unlimited: Broker, clock: Clock) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        await queue(unlimited, many(2, prefix="other", bot_id=2))

        assert await leased_ids(unlimited) == ["other0000", "other0001"]

    async def test_a_trial_goes_to_a_chat_that_has_not_failed_before_those_that_have(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN, priority=HIGH))
        await queue(unlimited, many(3, prefix="next", priority=LOW))

        tried = [message_id for _, message_id in await trials(unlimited, clock, 4)]

        assert tried == ["next0000", "next0001", "next0002", "m0000"]

    async def test_a_new_chat_is_tried_at_once_after_many_trials_in_chats_that_had_failed(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        for _ in range(6):
            clock.advance(TRIAL_MS_MAX)
            await answer(unlimited, await lease(unlimited), alive=False)

        await queue(unlimited, [outgoing("new", chat_id=77)])

        assert await leased_ids(unlimited) == ["new"]

    async def test_while_its_bot_is_not_failing_a_chat_that_has_failed_takes_its_turn_like_any_other(
        self, unlimited: Broker
    ) -> None:
        await queue(unlimited, many(2))
        (first, second) = await lease(unlimited)
        await answer(unlimited, [first], alive=False)
        await answer(unlimited, [second], Done(), alive=True)
        await queue(unlimited, [outgoing("new", chat_id=77)])

        assert sorted(await leased_ids(unlimited, slots=2)) == ["m0000", "new"]

    async def test_a_chat_of_which_nothing_waits_any_more_has_not_failed(self, unlimited: Broker, clock: Clock) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        await unlimited.cancel(["m0003"])
        await queue(unlimited, [outgoing("again", chat_id=4)])

        assert (await trials(unlimited, clock, 2))[0] == (TRIAL_MS_MIN, "again")

    @pytest.mark.parametrize("priority", [HIGH, LOW])
    async def test_a_trial_whose_call_is_never_made_is_given_back_so_that_another_goes_at_once(
        self, unlimited: Broker, clock: Clock, priority: Priority
    ) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        await queue(unlimited, many(2, prefix="next", priority=priority))
        clock.advance(TRIAL_MS_MIN)
        never_made = await lease(unlimited)

        clock.advance(300)
        await answer(unlimited, never_made, alive=None)
        instead = await lease(unlimited)

        assert (len(never_made), len(instead)) == (1, 1)
        assert await wake_in_ms(unlimited, clock) == 2 * TRIAL_MS_MIN

    async def test_a_trial_in_a_chat_that_has_failed_is_given_back_like_any_other(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        clock.advance(TRIAL_MS_MIN)
        await answer(unlimited, await lease(unlimited), alive=None)

        assert len(await leased_ids(unlimited)) == 1

    async def test_a_trial_is_not_given_back_once_a_later_one_has_begun(self, unlimited: Broker, clock: Clock) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        await queue(unlimited, many(3, prefix="next"))
        clock.advance(TRIAL_MS_MIN)
        first = await lease(unlimited)
        clock.advance(2 * TRIAL_MS_MIN)
        await lease(unlimited)

        await answer(unlimited, first, alive=None)

        assert await wake_in_ms(unlimited, clock) == 4 * TRIAL_MS_MIN

    async def test_what_was_under_way_before_its_bot_began_to_fail_is_no_trial_to_give_back(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("early", chat_id=99)])
        early = await lease(unlimited)
        await fail(unlimited, clock, many(FAILURES_MIN))

        await answer(unlimited, early, alive=None)

        assert await wake_in_ms(unlimited, clock) == TRIAL_MS_MIN

    async def test_a_trial_takes_one_message_though_many_lines_have_one(self, unlimited: Broker, clock: Clock) -> None:
        await fail(unlimited, clock, many(FAILURES_MIN))
        for priority in (HIGH, LOW):
            await queue(unlimited, many(2, prefix=priority, priority=priority))
        await queue(unlimited, [outgoing("album", chat_id=-9, cost=3), outgoing("paid", chat_id=78, is_paid=True)])

        clock.advance(TRIAL_MS_MIN)

        assert len(await leased_ids(unlimited)) == 1
        assert await leased_ids(unlimited) == []

    @pytest.mark.parametrize("old_fails", [True, False])
    async def test_two_ids_of_one_chat_have_failed_if_one_of_them_has(
        self,
        unlimited: Broker,
        clock: Clock,
        old_fails: bool,  # noqa: FBT001 - pytest names it
    ) -> None:
        others = [outgoing(f"m{number}", chat_id=number) for number in range(1, FAILURES_MIN)]
        await fail(unlimited, clock, [*others, outgoing("a", chat_id=-1 if old_fails else -2)])
        await queue(unlimited, [outgoing("b", chat_id=-2 if old_fails else -1), outgoing("new", chat_id=99)])
        await unlimited.migrate(1, -1, -2)

        tried = [message_id for _, message_id in await trials(unlimited, clock, 2)]

        assert tried[0] == "new"
        assert tried[1] != "b"
