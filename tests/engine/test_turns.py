"""Who has the turn, seen from outside: how often each was served."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from engine.turns import STRIDE, Turns


class Round:
    """Competitors who all wait, by weight."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.turns = Turns()
        self.weights = dict(weights)
        self.passes = {name: self.turns.enter(0, weight=weight) for name, weight in weights.items()}

    def join(self, name: str, weight: int, last_pass: int = 0) -> None:
        self.weights[name] = weight
        self.passes[name] = self.turns.enter(last_pass, weight=weight)

    def leave(self, name: str) -> int:
        self.turns.leave(weight=self.weights.pop(name))
        return self.passes.pop(name)

    def serve(self, count: int, *, cost: int = 1) -> list[str]:
        served = []
        for _ in range(count):
            name = min(self.passes, key=lambda name: (self.passes[name], name))
            self.passes[name] = self.turns.serve(self.passes[name], cost=cost, weight=self.weights[name])
            served.append(name)
        return served


def test_equals_take_turns() -> None:
    assert Round({"a": 1, "b": 1, "c": 1}).serve(6) == ["a", "b", "c", "a", "b", "c"]


def test_turns_are_shared_by_weight() -> None:
    counts = Counter(Round({"high": 16, "normal": 4, "low": 1}).serve(2_100))

    assert counts["high"] == pytest.approx(1_600, rel=0.02)
    assert counts["normal"] == pytest.approx(400, rel=0.04)
    assert counts["low"] == pytest.approx(100, rel=0.1)


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
