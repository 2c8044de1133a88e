"""The windows alone, with times passed in, against their plainest definition."""

from hypothesis import given
from hypothesis import strategies as st

from tempogram.simulator.limits.windows import MS, SECOND, SlidingWindow, Throttle, Windows
from tempogram.simulator.settings import SimulatorSettings

GROUP, PRIVATE = -5, 5
STEPS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=60)


def naive_count(taken_ms: list[int], *, now_ms: int, span_ms: int) -> int:
    return sum(1 for at_ms in taken_ms if now_ms - span_ms < at_ms <= now_ms)


@given(steps=STEPS, limit=st.integers(1, 6), span_ms=st.integers(1, 1_000))
def test_a_window_lets_through_exactly_what_a_naive_count_would(
    steps: list[tuple[int, int]], limit: int, span_ms: int
) -> None:
    window, taken_ms, now_ms = SlidingWindow(), list[int](), 0

    for pause_ms, cost in steps:
        now_ms += pause_ms
        free_at = window.free_at_ns(cost, limit=limit, now_ns=now_ms, span_ns=span_ms)
        taken = naive_count(taken_ms, now_ms=now_ms, span_ms=span_ms)

        assert (free_at <= now_ms) == (taken + min(cost, limit) <= limit)
        if free_at <= now_ms:
            window.take(cost, now_ns=now_ms)
            taken_ms += [now_ms] * cost


@given(steps=STEPS, limit=st.integers(1, 6), span_ms=st.integers(1, 1_000))
def test_a_full_window_names_the_first_instant_with_room(
    steps: list[tuple[int, int]], limit: int, span_ms: int
) -> None:
    window, now_ms = SlidingWindow(), 0

    for pause_ms, cost in steps:
        now_ms += pause_ms
        free_at_ms = window.free_at_ns(cost, limit=limit, now_ns=now_ms, span_ns=span_ms)
        if free_at_ms > now_ms:
            assert window.free_at_ns(cost, limit=limit, now_ns=free_at_ms - 1, span_ns=span_ms) == free_at_ms
            now_ms = free_at_ms
        assert window.free_at_ns(cost, limit=limit, now_ns=now_ms, span_ns=span_ms) == now_ms
        window.take(cost, now_ns=now_ms)


@given(pauses_ms=st.lists(st.integers(0, 1_500), max_size=40))
def test_no_span_of_a_private_chat_holds_more_than_three_and_one_a_second(pauses_ms: list[int]) -> None:
    windows, accepted_ns, now_ns = Windows(SimulatorSettings(penalty_growth=1.0, bot_limit=0)), list[int](), SECOND

    for pause_ms in pauses_ms:
        now_ns += pause_ms * MS
        if windows.admit(1, PRIVATE, 1, now_ns=now_ns) is None:
            accepted_ns.append(now_ns)

    for first, start_ns in enumerate(accepted_ns):
        for last, end_ns in enumerate(accepted_ns[first:], first):
            assert last - first + 1 <= 3 + (end_ns - start_ns) / SECOND


@given(steps=STEPS)
def test_an_admitted_call_takes_a_place_in_all_windows_and_a_refused_one_in_none(steps: list[tuple[int, int]]) -> None:
    settings = SimulatorSettings(bot_limit=5, group_limit=3, group_window_ms=2_000, penalty_growth=1.0)
    windows, accepted = Windows(settings), list[tuple[int, int]]()
    now_ms = 0

    for pause_ms, chat in steps:
        now_ms += pause_ms
        if windows.admit(1, -chat, 1, now_ns=now_ms * MS) is None:
            accepted.append((now_ms, chat))

    for at_ms, chat in accepted:
        assert naive_count([ms for ms, _ in accepted], now_ms=at_ms, span_ms=1_000) <= 5
        assert naive_count([ms for ms, of in accepted if of == chat], now_ms=at_ms, span_ms=2_000) <= 3


def test_the_twenty_first_message_to_a_group_waits_until_the_first_is_a_minute_old() -> None:
    windows = Windows(SimulatorSettings())
    for number in range(20):
        assert windows.admit(1, GROUP, 1, now_ns=number * SECOND) is None

    assert windows.admit(1, GROUP, 1, now_ns=50 * SECOND) == Throttle(10, "window")
    assert windows.admit(1, GROUP, 1, now_ns=60 * SECOND) is None


def test_groups_of_one_bot_and_bots_of_one_group_have_windows_of_their_own() -> None:
    windows = Windows(SimulatorSettings(group_limit=1))

    assert windows.admit(1, GROUP, 1, now_ns=0) is None
    assert windows.admit(1, GROUP - 1, 1, now_ns=0) is None
    assert windows.admit(2, GROUP, 1, now_ns=0) is None
    assert windows.admit(1, GROUP, 1, now_ns=0) is not None


def test_an_album_takes_a_place_for_each_item() -> None:
    windows = Windows(SimulatorSettings())

    assert windows.admit(1, GROUP, 10, now_ns=0) is None
    assert windows.admit(1, GROUP, 10, now_ns=0) is None
    assert windows.admit(1, GROUP, 1, now_ns=0) is not None


def test_an_album_larger_than_a_window_goes_when_the_window_is_empty() -> None:
    windows = Windows(SimulatorSettings(bot_limit=0))

    assert windows.admit(1, PRIVATE, 10, now_ns=0) is None
    assert windows.admit(1, PRIVATE, 1, now_ns=7 * SECOND) == Throttle(1, "window")
    assert windows.admit(1, PRIVATE, 1, now_ns=8 * SECOND) is None


def test_a_limit_of_zero_is_no_limit_and_is_still_measured() -> None:
    windows = Windows(SimulatorSettings(bot_limit=0, group_limit=0, private_limit=0))

    assert all(windows.admit(1, chat, 1, now_ns=0) is None for chat in (GROUP, PRIVATE) for _ in range(100))
    assert windows.busiest["group"].places == 100
    assert windows.busiest["bot"].places == 200


def test_a_ceiling_over_all_bots_is_counted_and_not_enforced_unless_asked() -> None:
    reported = Windows(SimulatorSettings(total_limit=2))
    enforced = Windows(SimulatorSettings(total_limit=2, total_enforced=True))

    assert [reported.admit(bot, GROUP, 1, now_ns=0) for bot in (1, 2, 3)] == [None, None, None]
    assert [enforced.admit(bot, GROUP, 1, now_ns=0) for bot in (1, 2, 3)] == [None, None, Throttle(1, "window")]
    assert reported.violations_by_window == enforced.violations_by_window == {"total": 1}


def test_waiting_for_retry_after_ends_a_penalty_and_its_deadline_is_absolute() -> None:
    windows = Windows(SimulatorSettings(bot_limit=1, bot_penalty_s=5))
    windows.admit(1, GROUP, 1, now_ns=0)

    assert windows.admit(1, GROUP, 1, now_ns=0) == Throttle(5, "window")
    assert windows.admit(1, GROUP, 1, now_ns=SECOND) == Throttle(4, "penalty")
    assert windows.admit(1, GROUP, 1, now_ns=5 * SECOND) is None


def test_asking_again_and_again_during_a_penalty_makes_it_grow_up_to_a_cap() -> None:
    settings = SimulatorSettings(bot_limit=1, bot_penalty_s=5, penalty_patience=1, penalty_cap_s=15)
    windows = Windows(settings)
    windows.admit(1, GROUP, 1, now_ns=0)

    answers = [windows.admit(1, GROUP, 1, now_ns=0) for _ in range(5)]

    assert [answer.retry_after_s for answer in answers if answer] == [5, 5, 10, 15, 15]


def test_a_bots_penalty_refuses_all_its_chats_and_no_other_bot() -> None:
    windows = Windows(SimulatorSettings(bot_limit=1))
    for _ in range(2):
        windows.admit(1, GROUP, 1, now_ns=0)

    assert windows.admit(1, PRIVATE, 1, now_ns=2 * SECOND) == Throttle(3, "penalty")
    assert windows.admit(2, PRIVATE, 1, now_ns=2 * SECOND) is None


def test_a_chats_penalty_refuses_only_that_chat() -> None:
    windows = Windows(SimulatorSettings(group_limit=1))
    for _ in range(2):
        windows.admit(1, GROUP, 1, now_ns=0)

    assert windows.admit(1, GROUP, 1, now_ns=SECOND) == Throttle(59, "penalty")
    assert windows.admit(1, GROUP - 1, 1, now_ns=SECOND) is None


def test_an_ordered_hold_does_not_grow() -> None:
    windows = Windows(SimulatorSettings())
    windows.hold(1, GROUP, for_s=7, now_ns=0)

    answers = [windows.admit(1, GROUP, 1, now_ns=number * SECOND) for number in range(8)]

    assert [answer and answer.retry_after_s for answer in answers] == [7, 6, 5, 4, 3, 2, 1, None]


def test_a_violation_says_which_window_when_and_whose() -> None:
    windows = Windows(SimulatorSettings(group_limit=1))
    for _ in range(3):
        windows.admit(1, GROUP, 1, now_ns=9)

    # The third came during the penalty of the second, and broke nothing more.
    assert [(v.window, v.at_ns, v.bot_id, v.chat_id) for v in windows.violations] == [("group", 9, 1, GROUP)]


def test_idle_chats_are_forgotten() -> None:
    windows = Windows(SimulatorSettings(bot_limit=0))

    for chat in range(1, 40_001):
        windows.admit(1, chat if chat % 2 else -chat, 1, now_ns=chat * SECOND)

    assert len(windows._groups) + len(windows._privates_full_at_ns) <= 10_000


def test_paid_calls_have_a_window_of_their_own() -> None:
    windows = Windows(SimulatorSettings(bot_limit=2, paid_limit=3))

    free = [windows.admit(1, chat, 1, now_ns=0) for chat in (1, 2)]
    paid = [windows.admit(1, chat, 1, now_ns=0, is_paid=True) for chat in (3, 4, 5)]

    assert (free, paid) == ([None] * 2, [None] * 3)
    assert windows.admit(1, 6, 1, now_ns=0, is_paid=True) == Throttle(5, "window")
    assert windows.violations_by_window == {"paid": 1}
