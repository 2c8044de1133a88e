from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as some

from tempogram.engine.model.watches import Subscriber, Waiting
from tempogram.engine.selection.days import minute_of_day
from tempogram.engine.watches.quiet import quiet_until_ms

BERLIN = "Europe/Berlin"


def waiting(quiet_from: int | None = 22 * 60, quiet_until: int | None = 8 * 60, zone: str | None = BERLIN) -> Waiting:
    return Waiting(to=Subscriber(1, 7), may_be_written=True, zone=zone, quiet_from=quiet_from, quiet_until=quiet_until)


def ms(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    return round(datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(BERLIN)).timestamp() * 1_000)


def test_a_night_ends_in_the_morning_also_where_the_clock_is_put_forward() -> None:
    assert quiet_until_ms(waiting(), ms(2026, 3, 28, 23)) == ms(2026, 3, 29, 8)
    assert quiet_until_ms(waiting(), ms(2026, 3, 29, 7, 59)) == ms(2026, 3, 29, 8)
    assert quiet_until_ms(waiting(), ms(2026, 3, 29, 8)) is None


def test_a_siesta_ends_on_the_same_day() -> None:
    assert quiet_until_ms(waiting(13 * 60, 15 * 60), ms(2026, 1, 5, 14)) == ms(2026, 1, 5, 15)
    assert quiet_until_ms(waiting(13 * 60, 15 * 60), ms(2026, 1, 5, 12)) is None


def test_a_chat_without_quiet_hours_is_never_in_them() -> None:
    assert quiet_until_ms(waiting(None, None), ms(2026, 1, 5, 3)) is None
    assert quiet_until_ms(waiting(480, 480), ms(2026, 1, 5, 8)) is None


@given(
    now=some.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=some.just(UTC)),  # noqa: DTZ001 - a bound
    begin=some.integers(0, 1_439),
    end=some.integers(0, 1_439),
)
def test_when_quiet_hours_end_the_wall_shows_that_minute_or_the_one_after_a_jump(
    now: datetime, begin: int, end: int
) -> None:
    now_ms = round(now.timestamp() * 1_000)
    until_ms = quiet_until_ms(waiting(begin, end), now_ms)

    if until_ms is not None:
        assert 0 < until_ms - now_ms <= 26 * 3_600_000
        assert (minute_of_day(BERLIN, until_ms) - end) % 1_440 in {0, 60}
