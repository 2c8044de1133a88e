"""How many lines of a second are shown, and what is said of the others."""

from __future__ import annotations

import pytest

from tempogram.bot.terminal.flow import MESSAGES_MAX, Flow, Kind
from tests.fakes import Clock


@pytest.fixture
def flow(clock: Clock) -> Flow:
    return Flow(clock)


def taken(flow: Flow, kind: Kind, times: int) -> int:
    return sum(flow.takes(kind) for _ in range(times))


def test_of_fifty_messages_in_a_second_twelve_are_shown_and_the_others_counted(flow: Flow, clock: Clock) -> None:
    shown = taken(flow, Kind.SENT, 30) + taken(flow, Kind.RECEIVED, 20)
    clock.advance(1_000)

    assert shown == MESSAGES_MAX
    assert flow.rest() == "… and 38 more in this second (18 sent, 20 received)"


def test_the_count_comes_when_the_second_is_over_and_only_once(flow: Flow, clock: Clock) -> None:
    taken(flow, Kind.SENT, 13)
    clock.advance(999)
    before = flow.rest()
    clock.advance(1)

    assert (before, flow.rest(), flow.rest()) == (None, "… and 1 more in this second (1 sent)", None)


def test_the_next_second_has_lines_of_its_own(flow: Flow, clock: Clock) -> None:
    taken(flow, Kind.SENT, 20)
    clock.advance(1_000)
    flow.rest()

    assert taken(flow, Kind.SENT, 20) == MESSAGES_MAX


@pytest.mark.parametrize(
    ("flood", "kind"),
    [(Kind.SENT, kind) for kind in (Kind.WAITS, Kind.FAILED, Kind.LOGGED, Kind.PRINTED)]
    + [(Kind.PRINTED, Kind.LOGGED), (Kind.LOGGED, Kind.PRINTED), (Kind.PRINTED, Kind.OWN)],
)
def test_a_flood_hides_nothing_else(flow: Flow, flood: Kind, kind: Kind) -> None:
    taken(flow, flood, 1_000)

    assert flow.takes(kind)


def test_a_second_in_which_all_was_shown_has_no_count(flow: Flow, clock: Clock) -> None:
    taken(flow, Kind.SENT, MESSAGES_MAX)
    clock.advance(1_000)

    assert flow.rest() is None
