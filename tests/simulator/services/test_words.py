from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.services.said import Quota, read
from tempogram.simulator.services.words import FORMS, Left

NOW_MS = 1_700_000_000_000
FULL = Left(limit=10, left=0, window_ms=60_000, after_ms=2_000, now_s=NOW_MS / 1_000, is_refused=True, unit="calls")


@pytest.mark.parametrize("form", ["retry-after", "retry-after-date", "retry-after-ms"])
def test_a_refusal_says_when_there_is_room_again(form: str) -> None:
    assert read(FORMS[form](FULL), NOW_MS).hold_until_ms == NOW_MS + 2_000


@pytest.mark.parametrize("form", ["retry-after", "retry-after-date", "retry-after-ms"])
def test_what_only_refusals_say_is_in_no_other_answer(form: str) -> None:
    assert FORMS[form](replace(FULL, is_refused=False)) == {}


@pytest.mark.parametrize("form", ["ratelimit", "github", "x", "openai", "anthropic"])
def test_each_answer_says_what_is_left_of_calls_until_when(form: str) -> None:
    said = read(FORMS[form](replace(FULL, left=3, is_refused=False)), NOW_MS)

    assert said.quotas == (Quota(3, NOW_MS + 2_000, 10),)


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_tokens_are_said_under_names_of_their_own(form: str) -> None:
    said = read(FORMS[form](replace(FULL, left=3, unit="tokens")), NOW_MS)

    assert said.quotas == (Quota(3, NOW_MS + 2_000, 10, "tokens"),)


def test_a_service_may_say_nothing() -> None:
    assert FORMS["none"](FULL) == {}
