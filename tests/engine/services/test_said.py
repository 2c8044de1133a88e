from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.services.said import HOLD_MS_MAX, Quota, Said, read

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
        ({"x-ratelimit-remaining": "5"}, []),
        ({"x-ratelimit-remaining": "-5", "x-ratelimit-reset": "1"}, []),
        ({"RateLimit": ";;;=,=", "RateLimit-Policy": '"'}, []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_every_form_of_a_quota_is_read(headers: dict[str, str], quotas: list[Quota]) -> None:
    assert read(headers, NOW_MS).quotas == tuple(quotas)


HEADERS = ("Retry-After", "Date", "RateLimit", "RateLimit-Policy", "x-ratelimit-remaining", "x-ratelimit-reset")


@given(
    st.dictionaries(st.sampled_from(HEADERS), st.text() | st.from_regex(r'"?\w*"?(;[rtqw]=\d{0,30})*', fullmatch=True))
)
def test_no_header_whatever_is_in_it_raises_or_holds_for_longer_than_a_month(headers: dict[str, str]) -> None:
    said = read(headers, NOW_MS)

    assert isinstance(said, Said)
    assert said.hold_until_ms is None or NOW_MS <= said.hold_until_ms <= NOW_MS + HOLD_MS_MAX
    assert all(NOW_MS <= quota.until_ms <= NOW_MS + HOLD_MS_MAX for quota in said.quotas)


def test_a_reset_that_is_a_date_a_century_ahead_is_believed_for_a_month_at_most() -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Tue, 14 Nov 2123 22:13:20 GMT"}

    assert [quota.until_ms for quota in read(headers, NOW_MS).quotas] == [NOW_MS + HOLD_MS_MAX]
