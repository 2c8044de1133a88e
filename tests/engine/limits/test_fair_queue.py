"""The fair queue, seen from outside: how often each competitor was served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import pytest

from tempogram.engine.limits.fair_queue import LAG, STRIDE, FairQueue


class Round:
    """Competitors that all wait, by weight."""

    def __init__(self, weights: dict[str, int], *, entry: int = 0) -> None:
        self.turns = FairQueue(entry=entry)
        self.weights = dict(weights)
        self.passes = {name: self.turns.enter(0) for name in weights}

    def join(self, name: str, weight: int, last_pass: int = 0) -> None:
        self.weights[name] = weight
        self.passes[name] = self.turns.enter(last_pass)

    def leave(self, name: str) -> int:
        self.turns.leave()
        del self.weights[name]
        return self.passes.pop(name)

    def serve(self, count: int, *, costs: Mapping[str, int] | None = None, blocked: str = "") -> list[str]:
        served = []
        for _ in range(count):
            name = min(self.passes.keys() - {blocked}, key=lambda name: (self.passes[name], name))
            cost = (costs or {}).get(name, 1)
            self.passes[name] = self.turns.serve(self.passes[name], cost=cost, weight=self.weights[name])
            served.append(name)
        return served


def test_equals_take_turns() -> None:
    assert Round({"a": 1, "b": 1, "c": 1}).serve(6) == ["a", "b", "c", "a", "b", "c"]


def test_turns_are_shared_by_weight() -> None:
    counts = Counter(Round({"high": 16, "normal": 4, "low": 1}).serve(2_100))

    assert counts == {"high": 1_600, "normal": 400, "low": 100}


@pytest.mark.parametrize("costs", [{"a": 10}, {"b": 10}, {"a": 10, "b": 3}, {"c": 7}])
def test_whatever_messages_cost_the_places_are_shared_by_weight(costs: dict[str, int]) -> None:
    weights = {"a": 1, "b": 1, "c": 3}

    served = Round(weights).serve(3_000, costs=costs)

    places = {name: served.count(name) * costs.get(name, 1) for name in weights}
    fair = sum(places.values()) / 5
    assert places == pytest.approx({name: fair * weight for name, weight in weights.items()}, abs=20)


def test_the_lightest_is_served_within_a_round() -> None:
    served = Round({"high": 16, "normal": 4, "low": 1}).serve(300)
    gaps = [later - earlier for earlier, later in pairwise(n for n, name in enumerate(served) if name == "low")]

    assert max(gaps) <= 21


def test_a_newcomer_is_not_behind_and_claims_nothing() -> None:
    others = Round({"a": 1, "b": 1})
    others.serve(1_000)

    others.join("c", 1)

    assert 9 <= Counter(others.serve(30))["c"] <= 11


def test_leaving_and_coming_back_gains_no_turns() -> None:
    both = Round({"a": 1, "b": 1})
    served: list[str] = []
    for _ in range(100):
        served += both.serve(1)
        both.join("a", 1, both.leave("a"))

    assert 45 <= Counter(served)["a"] <= 55


def test_the_last_one_to_leave_takes_no_debt_to_the_next_round() -> None:
    alone = Round({"a": 1})
    alone.serve(1_000)
    last_pass = alone.leave("a")

    alone.join("a", 1, last_pass)
    alone.join("b", 1)

    assert Counter(alone.serve(10)) == {"a": 5, "b": 5}


def test_a_pass_that_a_newcomer_would_get_too_can_be_forgotten() -> None:
    two = Round({"a": 1, "b": 1})
    two.serve(10)

    assert two.turns.is_past(0)
    assert not two.turns.is_past(two.passes["a"] + STRIDE)


def test_one_that_could_not_go_makes_good_for_a_short_while_and_not_for_a_long_one() -> None:
    short, long = Round({"a": 1, "b": 1}), Round({"a": 1, "b": 1})
    short.serve(11, blocked="b")
    long.serve(1_000, blocked="b")

    assert short.serve(12) == [*"bbbbbbbbbbba"]
    assert long.serve(20).count("b") <= LAG // STRIDE + 2


def test_one_that_owes_an_album_is_not_overtaken_by_newcomers_for_ever() -> None:
    chats = Round({"album": 1}, entry=STRIDE)
    chats.serve(1, costs={"album": 10})
    turns = 0
    for n in range(100):
        chats.join(f"z{n}", 1)
        (name,) = chats.serve(1)
        turns += 1
        if name == "album":
            break
        chats.leave(name)

    assert turns <= 11


def test_a_newcomer_stands_behind_those_who_wait_for_their_turn_where_newcomers_never_end() -> None:
    chats = Round({"b": 1, "c": 1}, entry=STRIDE)
    chats.serve(1)

    chats.join("a", 1)

    assert chats.serve(3) == ["c", "a", "b"]


def test_one_that_comes_back_after_a_while_goes_before_those_who_had_turns_meanwhile() -> None:
    """However often it did so: a high message that meets no other high one never waits."""
    both = Round({"normal": 4, "low": 1})
    high_pass, waited = 0, []
    for _ in range(1_000):
        both.serve(30)
        both.join("high", 16, high_pass)
        waited.append(both.serve(3).index("high"))
        high_pass = both.leave("high")

    assert set(waited) == {0}
