from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.broadcasts.forecast import Arrival, Rate, arrivals_of, ends_ms, rate_of
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import Priority
from tempogram.engine.model.selection import QuietHours
from tempogram.engine.ports.broker import QueueStats
from tests.broadcasts import BOT, plan
from tests.fakes import START_MS

HOUR_MS = 3_600_000


def stats(**bots: int) -> QueueStats:
    return QueueStats({Priority.LOW: 0}, retry=0, leased=0, bots={int(name[1:]): count for name, count in bots.items()})


def test_a_bot_shares_the_ceiling_with_the_others_of_which_something_waits() -> None:
    limits = Limits(bot=Limit(30, 1_000), ceiling=Limit(30, 1_000))

    alone = rate_of(limits, stats(b42=5), BOT, is_paid=False)
    beside = rate_of(limits, stats(b1=5, b2=5, b3=0), BOT, is_paid=False)

    assert (round(alone.per_s, 1), round(beside.per_s, 1), alone.slot_ms) == (28.8, 9.6, 33)


def test_without_a_limit_it_arrives_at_once() -> None:
    free = rate_of(Limits(bot=Limit(0, 1_000), ceiling=Limit(0, 1_000)), stats(), BOT, is_paid=False)

    assert ends_ms([Arrival(START_MS, 1_000)], free, before=9, now_ms=START_MS) == START_MS


def test_a_spread_takes_as_long_as_it_is_spread_unless_the_limit_takes_longer() -> None:
    fast, slow = Rate(per_s=30, slot_ms=33), Rate(per_s=0.1, slot_ms=10_000)
    arrivals = list(arrivals_of(plan(spread_ms=HOUR_MS), 1_000, {}, started_at_ms=START_MS))

    assert ends_ms(arrivals, fast, before=0, now_ms=START_MS) - START_MS < HOUR_MS + 1_000
    assert ends_ms(arrivals, slow, before=0, now_ms=START_MS) - START_MS > 10_000_000


def test_each_zone_has_its_own_hour() -> None:
    arrivals = list(arrivals_of(plan(at_minute=600), 100, {"UTC": 1, "Asia/Tokyo": 3}, started_at_ms=START_MS))

    by_hour = {each.at_ms // HOUR_MS % 24: each.recipients for each in arrivals}
    assert by_hour == {10: 25.0, 1: 75.0}


def test_quiet_hours_hold_it_until_they_end() -> None:
    night = QuietHours(from_minute=0, until_minute=23 * 60)
    (arrival,) = arrivals_of(plan(quiet_hours=night, default_zone="UTC"), 5, {}, started_at_ms=START_MS)

    assert arrival.at_ms // HOUR_MS % 24 == 23


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 100)), max_size=20),
    st.integers(0, 1_000),
    st.floats(0.1, 1_000),
)
def test_nothing_ends_before_it_is_due_or_before_the_limit_lets_it(
    due: list[tuple[int, int]], before: int, per_s: float
) -> None:
    arrivals = [Arrival(at_ms, count) for at_ms, count in due]

    ends = ends_ms(arrivals, Rate(per_s=per_s, slot_ms=1), before=before, now_ms=0)

    assert ends >= max((at_ms for at_ms, count in due), default=0)
    assert ends + 1 >= (before + sum(count for _, count in due)) * 1_000 / per_s
