from __future__ import annotations

from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.services.said import FORMS, HOLD_MS_MAX, Quota, Said, read

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("headers", "hold_until_ms"),
    [
        ({"Retry-After": "7"}, NOW_MS + 7_000),
        ({"retry-after": "0.5"}, NOW_MS + 500),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, NOW_MS + 60_000),
        # Its clock is an hour behind: the difference of its own two dates counts.
        ({"Retry-After": "Tue, 14 Nov 2023 21:14:20 GMT", "Date": "Tue, 14 Nov 2023 21:13:20 GMT"}, NOW_MS + 60_000),
        ({"Retry-After": "Tue, 14 Nov 2000 22:14:20 GMT"}, NOW_MS),
        ({"Retry-After": "99999999999"}, NOW_MS + HOLD_MS_MAX),
        ({"Retry-After": "7, 9"}, NOW_MS + 9_000),
        ({"retry-after-ms": "250", "Retry-After": "1"}, NOW_MS + 250),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 +9999"}, None),
        ({"Retry-After": "7" * 100_000}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "\u0667"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_both_forms_of_retry_after_are_read(headers: dict[str, str], hold_until_ms: int | None) -> None:
    assert read(headers, NOW_MS).hold_until_ms == hold_until_ms


@pytest.mark.parametrize(
    ("headers", "quotas"),
    [
        (
            {"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'},
            [Quota(50, NOW_MS + 30_000, 100)],
        ),
        (
            {"RateLimit": '"hour";r=900;t=3000, "second";r=0;t=1', "RateLimit-Policy": '"hour";q=1000, "second";q=10'},
            [Quota(0, NOW_MS + 1_000, 10)],
        ),
        ({"RateLimit": "limit=100, remaining=50, reset=30"}, [Quota(50, NOW_MS + 30_000, 100)]),
        (
            {"RateLimit-Limit": "100", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"},
            [Quota(50, NOW_MS + 30_000, 100)],
        ),
        (
            {"x-rate-limit-limit": "15", "x-rate-limit-remaining": "3", "x-rate-limit-reset": "1700000900"},
            [Quota(3, NOW_MS + 900_000, 15)],
        ),
        (
            {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": "1700003600"},
            [Quota(4_999, NOW_MS + 3_600_000, 5_000)],
        ),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            [Quota(59, NOW_MS + 1_000, 60), Quota(149_984, NOW_MS + 360_000, 150_000, "tokens")],
        ),
        (
            {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "20ms"},
            [Quota(5, NOW_MS + 20, None, "tokens")],
        ),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
                "anthropic-ratelimit-tokens-remaining": "312000",
                "anthropic-ratelimit-tokens-reset": "2023-11-14T22:14:20Z",
            },
            [Quota(49, NOW_MS + 1_000, 50), Quota(312_000, NOW_MS + 60_000, None, "tokens")],
        ),
        (  # its clock is an hour ahead
            {
                "x-rate-limit-remaining": "3",
                "x-rate-limit-reset": "1700004500",
                "Date": "Tue, 14 Nov 2023 23:13:20 GMT",
            },
            [Quota(3, NOW_MS + 900_000)],
        ),
        (  # each line by itself, a name with a comma, a key in bytes, and no time but that of the policy
            {"RateLimit": '"a, b";r=7;pk=:c2Rm==:', "RateLimit-Policy": '"x";q=1,"a, b";q=9;w=60;qu="requests"'},
            [Quota(7, NOW_MS + 60_000, 9)],
        ),
        ({"RateLimit": '"a";r=0;t=9', "RateLimit-Policy": '"a";q=9;qu="content-bytes"'}, []),
        (
            {"RateLimit": '"a";r=5;t=9', "RateLimit-Policy": '"a";q=9;qu="tokens"'},
            [Quota(5, NOW_MS + 9_000, 9, "tokens")],
        ),
        (
            {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"},
            [Quota(50, NOW_MS + 30_000, 100)],
        ),
        (
            {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "99", "x-ratelimit-reset": "5"},
            [Quota(10, NOW_MS + 5_000, 10)],
        ),
        # Of two that differ the least counts.
        (
            {
                "x-ratelimit-limit": "10",
                "x-ratelimit-remaining": "99",
                "x-ratelimit-reset": "5",
                "ratelimit-remaining": "3",
                "ratelimit-reset": "7",
            },
            [Quota(3, NOW_MS + 7_000)],
        ),
        (
            {"x-ratelimit-limit": "0", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"},
            [Quota(0, NOW_MS + 5_000)],
        ),
        ({"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, []),
        ({"Age": "30", "x-ratelimit-remaining": "5", "x-ratelimit-reset": "9"}, []),
        ({"x-ratelimit-remaining": "5"}, []),
        ({"x-ratelimit-remaining": "-5", "x-ratelimit-reset": "1"}, []),
        ({"RateLimit": ";;;=,=", "RateLimit-Policy": '"'}, []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_every_form_of_a_quota_is_read(headers: dict[str, str], quotas: list[Quota]) -> None:
    assert read(headers, NOW_MS).quotas == tuple(quotas)


NAMES = [form.format(part) for _, form in FORMS for part in ("limit", "remaining", "reset")]
HEADERS = ("Retry-After", "retry-after-ms", "Date", "Age", "RateLimit", "RateLimit-Policy", *NAMES)

VALUES = st.one_of(
    st.text(),
    st.integers().map(str),
    st.floats().map(str),
    st.from_regex(r"(\d{1,70}(ms|s|m|h|d)){1,9}", fullmatch=True),
    st.datetimes().map(format_datetime),
    st.datetimes().map(str),
    st.from_regex(r'("?[\w ,]*"?(;[rtqw]=\d{0,30}){0,4},){1,9}', fullmatch=True),
    st.sampled_from(
        ['"a";r=1;t=1,' * 5_000, "9" * 100_000, "1s" * 50_000, ";" * 100_000, '"' * 100_001, "a=" * 50_000]
    ),
)


@given(st.dictionaries(st.sampled_from(HEADERS), VALUES), st.integers(0, 10**13))
def test_no_header_whatever_is_in_it_raises_or_holds_for_longer_than_a_month(
    headers: dict[str, str], now_ms: int
) -> None:
    said = read(headers, now_ms)

    until = [quota.until_ms for quota in said.quotas]
    if said.hold_until_ms is not None:
        until.append(said.hold_until_ms)
    assert all(now_ms <= each <= now_ms + HOLD_MS_MAX for each in until)
    assert all(0 <= quota.left <= (quota.of or quota.left) for quota in said.quotas)
    assert len({quota.unit for quota in said.quotas}) == len(said.quotas)


@given(st.integers(0, 10**6), st.integers(-(10**7), 10**7))
def test_a_clock_that_is_wrong_does_not_change_for_how_long_a_hold_is(after_s: int, wrong_by_s: int) -> None:
    theirs_s = NOW_MS // 1_000 + wrong_by_s
    dates = {
        "Date": formatdate(theirs_s, usegmt=True),
        "Retry-After": formatdate(theirs_s + after_s, usegmt=True),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(theirs_s + after_s),
    }

    said = read(dates, NOW_MS)

    assert said == Said(NOW_MS + after_s * 1_000, (Quota(0, NOW_MS + after_s * 1_000),))
    assert isinstance(said, Said)
    assert said.hold_until_ms is None or NOW_MS <= said.hold_until_ms <= NOW_MS + HOLD_MS_MAX
    assert all(NOW_MS <= quota.until_ms <= NOW_MS + HOLD_MS_MAX for quota in said.quotas)


def test_a_reset_that_is_a_date_a_century_ahead_is_believed_for_a_month_at_most() -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Tue, 14 Nov 2123 22:13:20 GMT"}

    assert [quota.until_ms for quota in read(headers, NOW_MS).quotas] == [NOW_MS + HOLD_MS_MAX]
