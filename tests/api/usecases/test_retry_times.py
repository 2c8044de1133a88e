"""When callers are to come back: each at a time at which its limits have room."""

from __future__ import annotations

import pytest

from tempogram.api.usecases.retry_times import (
    AHEAD_MS_MAX,
    CEILING_AHEAD_MS_MAX,
    EARLY_MS,
    LATE_MS,
    RETURNS_MAX,
    RetryTimes,
    Returning,
    WaitingCalls,
)
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports import Explanation, WaitsAt
from tests.fakes import START_MS, Clock, outgoing

LIMITS = Limits()


class Promises:
    """Takes messages back, and tells after how many milliseconds each is to come back."""

    def __init__(self, clock: Clock, limits: Limits = LIMITS) -> None:
        self.times = RetryTimes(clock)
        self.limits = limits

    def after_ms(
        self,
        chat_id: ChatId | None,
        *,
        bot_id: int = 1,
        earliest_ms: int | None = 0,
        before: int = 0,
        taken_back: int = 0,
        cost: int = 1,
    ) -> int:
        message = outgoing("a", bot_id=bot_id, chat_id=chat_id, cost=cost)
        explanation = explained(earliest_ms, before=before)
        return self.times.promise(message, explanation, self.limits, taken_back=taken_back) - START_MS


def explained(earliest_ms: int | None, *, before: int) -> Explanation:
    return Explanation(
        message_id="a",
        waits_at=WaitsAt.TURN,
        before_in_lane=0,
        before_in_line=before,
        earliest_at_ms=None if earliest_ms is None else START_MS + earliest_ms,
    )


@pytest.fixture
def promises(clock: Clock) -> Promises:
    return Promises(clock)


def test_a_message_alone_is_promised_the_time_of_its_explanation(promises: Promises) -> None:
    assert promises.after_ms(-100, earliest_ms=42_000) == 42_000


def test_messages_to_one_group_are_promised_one_place_after_the_other(promises: Promises) -> None:
    assert [promises.after_ms(-100, earliest_ms=60_000) for _ in range(22)][-2:] == [120_000, 123_000]


def test_messages_to_many_chats_are_promised_the_places_of_their_bot(promises: Promises) -> None:
    times = [promises.after_ms(chat_id) for chat_id in range(1, 302)]

    assert times[0] == 0
    assert 9_900 <= times[-1] <= 10_000  # the 301st at 30 a second


def test_messages_that_wait_before_it_are_counted(promises: Promises) -> None:
    assert promises.after_ms(7, before=300) == 10_000


def test_messages_before_it_that_will_be_taken_back_are_not_counted(promises: Promises) -> None:
    times = [promises.after_ms(chat_id, before=300 - chat_id, taken_back=300) for chat_id in range(1, 302)]

    assert times[0] == 0
    assert 9_900 <= times[-1] <= 10_000  # whatever their order


def test_a_message_that_keeps_its_place_is_expected_after_those_before_it(clock: Clock) -> None:
    times = RetryTimes(clock)

    assert times.expected_at(explained(2_000, before=300), LIMITS) == START_MS + 10_000
    assert times.expected_at(explained(20_000, before=300), LIMITS) == START_MS + 20_000
    assert times.expected_at(explained(None, before=0), LIMITS) == START_MS + 60_000


def test_what_waits_is_known_by_its_chat_and_bot() -> None:
    waiting, first, second = WaitingCalls(), outgoing("a", chat_id=7), outgoing("b", chat_id=7)

    with waiting.including(second), waiting.including(outgoing("c", chat_id=8)):
        with waiting.including(first):
            assert waiting.oldest(first) == "b"
            assert waiting.of_bot(1) == 3
            waiting.leave(second)
            waiting.leave(second)
            assert (waiting.oldest(first), waiting.of_bot(1)) == ("a", 3)  # the queue may have it still
            waiting.join(second)
        assert waiting.of_bot(1) == 2
    assert waiting.of_bot(1) == 0


def test_bots_share_the_ceiling_and_only_that(clock: Clock) -> None:
    free = Promises(clock, Limits(ceiling=Limit(0, 1_000)))
    bound = Promises(clock, Limits(ceiling=Limit(30, 1_000)))

    assert [free.after_ms(7, bot_id=bot_id) for bot_id in (1, 2, 3)] == [0, 0, 0]
    assert [bound.after_ms(7, bot_id=bot_id) for bot_id in (1, 2, 3)] == [0, 33, 66]


def test_callers_that_never_come_back_do_not_move_a_time_without_end(promises: Promises) -> None:
    for _ in range(10_000):
        promises.after_ms(-100, earliest_ms=60_000)

    assert promises.after_ms(-100, earliest_ms=60_000) == 60_000 + AHEAD_MS_MAX


def test_callers_of_one_bot_move_the_times_of_others_by_little(promises: Promises) -> None:
    for chat_id in range(1, 3_000):
        promises.after_ms(chat_id, bot_id=1)

    assert promises.after_ms(7, bot_id=2) == CEILING_AHEAD_MS_MAX


def test_an_album_is_promised_all_of_its_places(promises: Promises) -> None:
    promises.after_ms(-100, cost=10)

    assert promises.after_ms(-100) == 30_000


def test_a_call_that_takes_no_place_is_promised_none(promises: Promises) -> None:
    assert [promises.after_ms(-100, cost=0, earliest_ms=2_000) for _ in range(3)] == [2_000] * 3


def test_what_was_promised_in_the_past_keeps_no_place(promises: Promises, clock: Clock) -> None:
    for _ in range(3):
        promises.after_ms(-100)
    clock.advance(60_000)

    assert promises.after_ms(-100, earliest_ms=60_000) == 60_000


def test_a_paused_bots_callers_are_asked_to_come_back_in_a_minute(promises: Promises) -> None:
    assert promises.after_ms(7, earliest_ms=None) == 60_000


def test_a_caller_is_expected_at_its_time_and_once(clock: Clock) -> None:
    returning = Returning(clock)
    returning.expect(b"a", 1, START_MS + 5_000)

    assert not returning.comes_back(b"a")  # too early
    clock.advance(5_000 - EARLY_MS)
    assert returning.is_any_expected(1)
    assert returning.comes_back(b"a")
    assert not returning.comes_back(b"a")
    assert not returning.is_any_expected(1)


def test_a_caller_that_never_comes_back_is_expected_no_more(clock: Clock) -> None:
    returning = Returning(clock)
    returning.expect(b"a", 1, START_MS)
    returning.expect(b"b", 2, START_MS + 60_000)

    clock.advance(LATE_MS + 1)

    assert not returning.comes_back(b"a")
    assert (returning.is_any_expected(1), returning.is_any_expected(2)) == (False, True)


def test_no_more_callers_are_expected_than_can_be_remembered(clock: Clock) -> None:
    returning = Returning(clock)
    for number in range(RETURNS_MAX):
        returning.expect(str(number).encode(), 1, START_MS)

    returning.expect(b"one more", 2, START_MS)

    assert not returning.is_any_expected(2)
