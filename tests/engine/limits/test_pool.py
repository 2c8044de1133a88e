"""Places that calls keep until they end, and which bot may take one."""

from __future__ import annotations

import pytest

from tempogram.engine.limits.pool import ACTIVE_MS, SLOW_MS, Pool, kept_of


def pool_of(places: int, *, now_ms: int = 0, **taken: int) -> Pool:
    """Return a pool in which ``bot1=3`` has three calls under way, all begun at a time; 0 had one just before."""
    pool = Pool(places)
    for name, count in taken.items():
        bot_id = int(name.removeprefix("bot"))
        for number in range(max(1, count)):
            pool.begin(bot_id, number, 1, now_ms)
        if not count:
            pool.end(bot_id, 0, 1, now_ms)
    return pool


def test_any_bot_takes_a_place_while_more_than_half_are_free() -> None:
    pool = pool_of(30, bot1=14, bot2=0)

    assert pool.may_begin(1, 10 * SLOW_MS)


def test_a_bot_beside_which_none_was_ever_seen_takes_every_place() -> None:
    pool = pool_of(30, bot1=29)

    assert pool.may_begin(1, 10 * SLOW_MS)
    assert not pool.is_left_for_high()


def test_a_bot_takes_its_share_however_slow_it_is() -> None:
    pool = pool_of(30, bot1=6, bot2=9, bot3=0, bot4=0)

    assert pool.share(SLOW_MS) == 28 // 4
    assert pool.may_begin(1, SLOW_MS)
    assert not pool.may_begin(2, SLOW_MS)


def test_a_quick_bot_borrows_up_to_half_of_all_places() -> None:
    assert pool_of(30, bot1=14, bot2=2, bot3=0).may_begin(1, SLOW_MS - 1)
    assert not pool_of(30, bot1=15, bot2=2, bot3=0).may_begin(1, SLOW_MS - 1)


def test_quick_bots_together_leave_a_quarter_of_the_places_to_those_that_have_less_than_their_share() -> None:
    pool = Pool(40)
    for number in range(40):
        for bot_id in range(1, 21):
            if pool.may_begin(bot_id, 0):
                pool.begin(bot_id, number, 1, 0)

    assert pool.taken == 30
    assert not pool.may_begin(1, 0)
    assert pool.may_begin(21, 0)


def test_a_bot_whose_oldest_call_takes_long_borrows_nothing_though_others_end_soon() -> None:
    pool = pool_of(30, bot1=14, bot2=2, bot3=0)
    pool.end(1, 13, 1, SLOW_MS - 1)
    pool.begin(1, "another", 1, SLOW_MS - 1)

    assert not pool.may_begin(1, SLOW_MS)


def test_a_bot_without_a_call_under_way_shows_no_quickness_and_gets_its_share() -> None:
    pool = pool_of(30, bot1=0, bot2=16, bot3=0)

    given = next(number for number in range(30) if not pool.may_begin(1, 0, free=14 - number, more=number))

    assert given == pool.share(0) == 9


@pytest.mark.parametrize(("now_ms", "active"), [(0, 2), (2 * ACTIVE_MS - 1, 2), (2 * ACTIVE_MS, 1), (9 * ACTIVE_MS, 1)])
def test_a_bot_is_active_until_the_next_period_is_over_and_as_long_as_it_has_a_call(now_ms: int, active: int) -> None:
    pool = pool_of(30, bot1=3, bot2=0)

    assert pool.active(now_ms) == active


def test_shares_are_said_to_change_as_long_as_a_bot_may_become_inactive() -> None:
    pool = pool_of(30, now_ms=ACTIVE_MS // 2, bot1=3, bot2=0)

    assert pool.changes_at_ms(ACTIVE_MS // 2) == ACTIVE_MS
    assert pool.changes_at_ms(ACTIVE_MS) == 2 * ACTIVE_MS
    assert pool.changes_at_ms(2 * ACTIVE_MS) is None


def test_a_bot_that_begins_again_is_counted_once() -> None:
    pool = pool_of(30, bot1=0, bot2=0)

    pool.begin(1, "again", 1, ACTIVE_MS)
    assert pool.active(ACTIVE_MS) == 2
    pool.end(1, "again", 1, ACTIVE_MS)
    assert pool.active(ACTIVE_MS) == 2
    assert pool.active(2 * ACTIVE_MS) == 1


def test_a_call_keeps_as_many_places_as_it_costs() -> None:
    pool = pool_of(30, bot1=0, bot2=0)
    pool.begin(1, "album", 10, 0)

    assert pool.taken == 10
    pool.end(1, "album", 10, 5)
    assert pool.taken == 0


def test_the_last_places_are_left_for_high() -> None:
    assert pool_of(30, bot1=14, bot2=14).is_left_for_high()
    assert not pool_of(30, bot1=14, bot2=13).is_left_for_high()


@pytest.mark.parametrize("places", range(1, 200))
def test_some_places_are_always_left_for_normal_and_low(places: int) -> None:
    assert 0 <= kept_of(places) < places


def test_without_a_bound_every_bot_takes_what_it_wants() -> None:
    pool = pool_of(0, bot1=500, bot2=500)

    assert pool.may_begin(1, 10 * SLOW_MS)
    assert not pool.is_left_for_high()
