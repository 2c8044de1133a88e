"""A plan is drawn from its seed, and stays within Telegram's limits."""

from __future__ import annotations

from collections import Counter

from bench.load.plan import LoadPlan


def test_the_same_seed_draws_the_same_updates_and_another_one_others() -> None:
    assert LoadPlan(seed=3).updates() == LoadPlan(seed=3).updates()
    assert LoadPlan(seed=3).updates() != LoadPlan(seed=4).updates()


def test_3_000_updates_are_due_within_a_minute_one_after_another() -> None:
    due_ms = [update.due_ms for update in LoadPlan().updates()]

    assert len(due_ms) == 3_000
    assert due_ms == sorted(due_ms)
    assert 0 <= due_ms[0] < due_ms[-1] <= 60_000


def test_no_two_updates_have_the_same_number_or_text() -> None:
    plan = LoadPlan()
    updates = [*plan.updates(), *plan.warming_up()]

    assert len({update.number for update in updates}) == len(updates)
    assert len({update.text("the_bot") for update in updates}) == len(updates)


def test_no_group_is_asked_more_often_than_it_may_be_answered_in_a_minute() -> None:
    asked = Counter((update.bot_id, update.chat_id) for update in LoadPlan().updates() if update.is_in_group)

    assert max(asked.values()) <= 20


def test_all_bots_and_users_take_part() -> None:
    updates = LoadPlan().updates()

    assert {update.bot_id for update in updates} == set(range(1, 51))
    assert len({update.user_id for update in updates}) == 100
