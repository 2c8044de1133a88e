"""A process remembers the holds that it has seen, for as long as they last."""

from __future__ import annotations

import pytest

from tempogram.engine.model.messages import ChatId, Hold
from tempogram.engine.sending import known_holds
from tempogram.engine.sending.known_holds import KnownHolds
from tests.fakes import Clock


@pytest.mark.parametrize(("held", "asked", "expected"), [(7, 7, True), (7, 8, False), (None, 8, True)])
def test_a_hold_of_a_chat_is_its_own_and_one_of_a_bot_that_of_every_chat(
    clock: Clock, held: ChatId | None, asked: ChatId, *, expected: bool
) -> None:
    holds = KnownHolds(clock)
    holds.note(Hold(1, held, clock() + 1_000))

    assert holds.is_held(1, asked) is expected
    assert not holds.is_held(2, asked)


def test_a_hold_ends_at_its_time_and_an_earlier_end_does_not_shorten_it(clock: Clock) -> None:
    holds = KnownHolds(clock)
    holds.note(Hold(1, 7, clock() + 1_000))
    holds.note(Hold(1, 7, clock() + 500))

    clock.advance(999)
    before = holds.is_held(1, 7)
    clock.advance(1)

    assert (before, holds.is_held(1, 7)) == (True, False)


def test_holds_of_single_chats_are_listed(clock: Clock) -> None:
    holds = KnownHolds(clock)
    holds.note(Hold(1, None, clock() + 1_000))
    holds.note(Hold(1, 7, clock() + 2_000))

    assert list(holds.of_chats()) == [(1, 7, clock() + 2_000)]


def test_of_too_many_holds_those_that_have_ended_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_holds, "KNOWN_MAX", 2)
    holds = KnownHolds(clock)
    holds.note(Hold(1, 7, clock() + 100))
    holds.note(Hold(1, 8, clock() + 5_000))
    clock.advance(100)

    holds.note(Hold(1, 9, clock() + 100))

    assert holds.is_held(1, 8)
    assert holds.is_held(1, 9)
