from __future__ import annotations

from datetime import datetime

import pytest

from bench.harness import Checks
from bench.reengagement.accounts import Account, is_due, local_date
from bench.reengagement.year import Outcome, check, lived


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("zone", "wrote", "now", "due"),
    [
        ("Europe/Berlin", "2026-03-22T23:30:00+01:00", "2026-03-29T16:00:00+02:00", True),
        ("Europe/Berlin", "2026-03-23T00:00:00+01:00", "2026-03-29T16:00:00+02:00", False),
        ("Asia/Kathmandu", "2026-01-01T12:00:00+05:45", "2026-01-08T16:59:00+05:45", True),
        ("Asia/Kathmandu", "2026-01-01T12:00:00+05:45", "2026-01-08T17:00:00+05:45", False),
        (None, "2026-01-01T12:00:00-08:00", "2026-01-08T16:15:00-08:00", True),
    ],
)
def test_it_is_a_users_turn_in_the_hour_of_the_seventh_day(zone: str | None, wrote: str, now: str, due: bool) -> None:  # noqa: FBT001
    assert is_due(Account(chat_id=1, zone=zone, wrote_ms=ms(wrote)), ms(now)) is due


@pytest.mark.parametrize("left_out", ["is_opted_out", "is_reachable", "got_ms"])
def test_it_is_not_the_turn_of_one_who_must_not_or_need_not_be_written_to(left_out: str) -> None:
    account = Account(chat_id=1, zone="UTC", wrote_ms=ms("2026-01-01T12:00:00+00:00"))
    now_ms = ms("2026-01-08T16:00:00+00:00")
    before = is_due(account, now_ms)

    setattr(account, left_out, {"is_opted_out": True, "is_reachable": False, "got_ms": now_ms - 1}[left_out])

    assert (before, is_due(account, now_ms)) == (True, False)
    assert local_date(account, now_ms) == "2026-01-08"


async def test_over_a_change_of_clocks_and_kills_exactly_the_right_ones_are_written_to_once() -> None:
    outcome = await lived(accounts=250, start="2026-03-29", days=1, seed=2)

    assert outcome.written > 0
    assert outcome.kills > 0
    assert (outcome.missing, outcome.wrong, outcome.twice) == ([], [], [])


def test_what_must_not_be_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    checks = Checks()

    check(checks, Outcome(written=3, kills=1, missing=[(7, "2026-01-08")], twice=[(8, "2026-01-08")]))

    assert len(checks.failed) == 2
    assert "(7, '2026-01-08')" in capsys.readouterr().out
