from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tempogram.api.security import allowance
from tempogram.api.security.principals import Principal, Role
from tempogram.api.security.wrong_tokens import AT_ONCE, EVERY_MS, LINE_EVERY_MS, LINES_APART_MS, WrongTokens
from tests.fakes import Clock

HERE, THERE = "203.0.113.7", "198.51.100.1"
ADMIN, VIEWER = Principal("admin", Role.ADMIN), Principal("viewer", Role.VIEWER)


class Door:
    """``WrongTokens`` with a clock, and what it counted."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.counted = 0
        self.wrong_tokens = WrongTokens(clock=self.clock, count=self._count)

    def _count(self) -> None:
        self.counted += 1

    def send(self, times: int, host: str = HERE) -> int:
        """Send wrong tokens; return how many were looked at."""
        return sum(self.wrong_tokens.admits(host, None) for _ in range(times))


@pytest.fixture
def door() -> Door:
    return Door()


def test_an_address_may_send_some_wrong_tokens_at_once_and_saves_up_no_more(door: Door) -> None:
    at_once = door.send(1_000)
    door.clock.advance(60 * EVERY_MS)
    after_a_minute = door.send(100)

    assert (at_once, after_a_minute) == (AT_ONCE, AT_ONCE)
    assert door.counted == 1_100


def test_of_wrong_tokens_at_full_speed_one_a_second_is_looked_at(door: Door) -> None:
    looked_at = 0
    for _ in range(600):
        looked_at += door.send(10)
        door.clock.advance(100)

    assert looked_at == AT_ONCE + 59


def test_a_right_token_is_not_looked_at_either_where_too_many_were_wrong(door: Door) -> None:
    door.send(AT_ONCE)

    assert not door.wrong_tokens.admits(HERE, ADMIN)
    door.clock.advance(EVERY_MS)
    assert door.wrong_tokens.admits(HERE, ADMIN)


def test_a_token_that_was_right_from_an_address_is_served_there_whatever_else_comes(door: Door) -> None:
    door.wrong_tokens.admits(HERE, ADMIN)
    door.send(1_000)

    assert door.wrong_tokens.admits(HERE, ADMIN)
    assert not door.wrong_tokens.admits(HERE, VIEWER)


def test_other_addresses_are_not_slowed(door: Door) -> None:
    door.send(1_000)

    assert door.wrong_tokens.admits(THERE, ADMIN)
    assert door.send(1, THERE) == 1


def test_the_addresses_of_one_subscriber_are_one(door: Door) -> None:
    looked_at = sum(door.send(1, f"2001:db8::{number:x}") for number in range(1, 100))

    assert looked_at == AT_ONCE
    assert door.send(1, "2001:db8:0:1::1") == 1


def test_addresses_are_forgotten_before_they_fill_the_memory(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "KEYS_MAX", 100)

    for number in range(1_000):
        door.send(1, f"10.0.{number // 256}.{number % 256}")
        door.wrong_tokens.admits(f"10.1.{number // 256}.{number % 256}", ADMIN)

    assert (
        len(door.wrong_tokens._refused)
        == len(door.wrong_tokens._places._free_at_ms)
        == len(door.wrong_tokens._proven)
        == 100
    )


def test_an_address_with_wrong_tokens_is_one_line_a_minute_with_their_number(door: Door) -> None:
    with capture_logs() as logs:
        door.send(50)
        door.clock.advance(LINE_EVERY_MS)
        door.send(50)

    assert [(each["event"], each["address"], each["refused"]) for each in logs] == [
        ("tokens_refused", HERE, 1),
        ("tokens_refused", HERE, 50),
    ]


def test_many_such_addresses_are_one_line_a_second(door: Door) -> None:
    with capture_logs() as logs:
        for number in range(100):
            door.send(1, f"10.0.0.{number}")
            door.clock.advance(LINES_APART_MS // 10)

    assert len(logs) == 10
