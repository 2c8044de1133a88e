"""A busy bot leaves places to the others, whatever they take and give back."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tempogram.bot.updates.shares import Shares

BOTS = 6


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(1, BOTS), st.booleans(), st.booleans()), max_size=200),
)
def test_a_bot_that_holds_none_waits_only_while_as_many_others_hold_one_as_places_are_kept(
    size: int, steps: Sequence[tuple[int, bool, bool]]
) -> None:
    shares = Shares(size)
    for bot_id, takes, is_urgent in steps:
        if not takes and shares.held(bot_id):
            shares.give_back(bot_id)
        elif takes and shares.may_take(bot_id, is_urgent=is_urgent):
            shares.take(bot_id)

        held = [shares.held(each) for each in range(1, BOTS + 1)]
        assert sum(held) + shares.free == size
        assert shares.free >= 0
        if not shares.may_take(0):
            assert sum(each > 0 for each in held) >= max(1, shares.kept)


def test_one_busy_bot_has_three_quarters_and_its_queries_some_more() -> None:
    shares = Shares(200)
    while shares.may_take(1):
        shares.take(1)
    at_most = shares.held(1)
    while shares.may_take(1, is_urgent=True):
        shares.take(1)

    assert (at_most, shares.held(1), shares.kept) == (150, 175, 25)


def test_two_busy_bots_that_grow_together_have_as_many_each() -> None:
    shares = Shares(200)
    while shares.may_take(1) or shares.may_take(2):
        for bot_id in (1, 2):
            if shares.may_take(bot_id):
                shares.take(bot_id)

    assert abs(shares.held(1) - shares.held(2)) <= 1
    assert shares.free >= shares.kept


def test_places_taken_beyond_the_last_one_are_given_back_before_another_is_free() -> None:
    shares = Shares(1)
    shares.take(1)
    shares.take(1)

    assert not shares.may_take(2)
    shares.give_back(1)
    assert not shares.may_take(2)
    shares.give_back(1)
    assert shares.may_take(2)


def test_what_a_bot_holds_beyond_the_places_counts_for_its_own_starts_only() -> None:
    shares = Shares(200)
    for _ in range(300):
        shares.go_beyond(1)
    while shares.may_take(2):
        shares.take(2)

    assert (shares.may_take(1), shares.held(1), shares.held(2)) == (False, 300, 150)
    for _ in range(300):
        shares.come_back(1)
    assert shares.may_take(1)
