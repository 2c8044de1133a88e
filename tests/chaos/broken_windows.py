"""Finds the windows that were broken only because a message arrived twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.chaos.duplicates import repeated_at
from tests.chaos.evidence import Arrival, Terms, Violation

SAME_MS = 0.001


def broken_without_duplicates(
    violations: Iterable[Violation], arrivals: Sequence[Arrival], terms: Terms
) -> tuple[list[Violation], list[Violation]]:
    """Sort violations into those that stand, and those that only duplicates explain."""
    seconds = repeated_at(arrivals)
    firsts = [arrival for index, arrival in enumerate(arrivals) if index not in seconds and arrival.is_accepted]
    repeated = [arrivals[index] for index in seconds]
    standing: list[Violation] = []
    explained: list[Violation] = []
    for violation in violations:
        is_of_duplicate = any(_is_of(violation, arrival) for arrival in repeated)
        has_room = _has_room(violation, firsts, terms)
        (explained if is_of_duplicate or has_room else standing).append(violation)
    return standing, explained


def _is_of(violation: Violation, arrival: Arrival) -> bool:
    return (
        abs(arrival.at_ms - violation.at_ms) < SAME_MS
        and arrival.bot_id == violation.bot_id
        and arrival.chat_id == violation.chat_id
    )


def _has_room(violation: Violation, firsts: Sequence[Arrival], terms: Terms) -> bool:
    before = [each for each in firsts if each.at_ms < violation.at_ms - SAME_MS and _shares_window(violation, each)]
    if violation.window == "private":
        return _bucket_has_room([each.at_ms for each in before], violation.at_ms, terms)
    limit, window_ms = _window(violation.window, terms)
    return sum(each.cost for each in before if each.at_ms > violation.at_ms - window_ms) < limit


def _shares_window(violation: Violation, arrival: Arrival) -> bool:
    if violation.window == "total":
        return True
    is_of_bot = arrival.bot_id == violation.bot_id
    return is_of_bot and (violation.window == "bot" or arrival.chat_id == violation.chat_id)


def _window(name: str, terms: Terms) -> tuple[int, float]:
    return {
        "bot": (terms.bot_limit, terms.bot_window_ms),
        "group": (terms.group_limit, terms.group_window_ms),
        "total": (terms.total_limit, terms.total_window_ms),
    }[name]


def _bucket_has_room(taken_ms: Iterable[float], at_ms: float, terms: Terms) -> bool:
    """One place a window comes back, up to the burst, as the simulator counts a private chat."""
    full_at_ms = 0.0
    for taken_at_ms in taken_ms:
        full_at_ms = max(full_at_ms, taken_at_ms) + terms.private_window_ms
    return full_at_ms - (terms.private_burst - 1) * terms.private_window_ms <= at_ms
