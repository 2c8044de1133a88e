from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.catalogue import from_environment, parse, service_of, shipped, variables
from tempogram.engine.services.limit import CallLimit


def test_the_missions_services_are_shipped_with_their_numbers() -> None:
    services = shipped()

    assert set(services) == {"twilio", "quickbase", "database", "llm", "x", "films"}
    twilio = services["twilio"]
    assert twilio.limit.concurrency == 10
    assert {name: each.limit.count for name, each in twilio.operations.items()} == {
        "voice": 1, "sms": 1, "taskrouter": 100, "general": 100,
    }  # fmt: skip
    assert services["x"].operations["tweet_lookup"].limit == CallLimit(count=15, window_ms=900_000)
    assert services["llm"].limit == CallLimit(concurrency=5, apart_ms=200)
    assert services["films"].limit == CallLimit(concurrency=2, apart_ms=500)


def test_a_declared_service_overrides_only_what_it_names() -> None:
    changed = service_of("twilio", {"operations": {"voice": {"count": 2}}}, shipped()["twilio"])

    assert changed.operations["voice"].limit == CallLimit(count=2, window_ms=1_000)
    assert changed.operations["sms"] == shipped()["twilio"].operations["sms"]
    assert changed.limit.concurrency == 10


def test_a_limit_of_tokens_keeps_what_a_change_of_it_leaves_out() -> None:
    changed = service_of("llm", {"operations": {"chat": {"tokens": {"count": 9}}}}, shipped()["llm"])

    assert changed.operations["chat"].tokens == CallLimit(count=9, window_ms=60_000)


def test_an_operation_may_have_a_name_that_no_service_may_have() -> None:
    assert "queue" in service_of("pay", {"operations": {"queue": {}}}).operations


WORDS_OF_A_SERVICE = (
    "operations concurrency max_concurrent min_time apart_ms count window_ms burst reservoir tenant tokens breaker "
    "timeout_s deadline_s retries delay_s waiting_max throttled_codes idempotent failures failure_rate a"
).split()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 20) | st.floats() | st.sampled_from(["", "5", "high"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS_OF_A_SERVICE), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(WORDS_OF_A_SERVICE), VALUES, max_size=4))
def test_what_is_declared_makes_a_service_or_is_refused_as_a_setting(words: dict[str, object]) -> None:
    with suppress(SettingsError):
        assert service_of("shop", words, shipped()["llm"]).operations.keys() >= {"chat"}


def test_the_environment_overrides_what_is_declared() -> None:
    environment = {"QUICKBASE_CONCURRENCY_LIMIT": "3", "QUICKBASE_RATE_LIMIT_WINDOW": "2000"}

    quickbase = from_environment(shipped()["quickbase"], environment)

    assert quickbase.limit.concurrency == 3
    assert {each.limit.window_ms for each in quickbase.operations.values()} == {2_000}
    assert set(environment) <= set(variables(shipped()))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[telegram]", "no service may be called telegram: that name has another meaning in the settings"),
        ("[pay]", "service pay has no operation; declare one under operations"),
        ("[pay]\nretrys = 3", "retrys is no setting of a service; there are"),
        ("[pay]\nretries = -1\noperations = {a = {}}", "retries is -1; it must be a whole number from 0 to 100"),
        ("[pay.operations]\na = {idempotent = 'no'}", "idempotent is 'no'; it must be true or false"),
        ("[pay]\nthrottled_codes = 429", "throttled_codes is 429; it must be a list of whole numbers"),
        ("[pay]\nthrottled_codes = ['a']", "a code of throttled_codes is 'a'; it must be a whole number"),
        ("[pay.breaker]\nfailures = '5'", "failures of a breaker is '5'; it must be a whole number from 0 to"),
        ("[pay.breaker]\nslow_rate = 2", "slow_rate of a breaker is 2; it must be a number from 0 to 1"),
        ("[pay.operations]\na = {count = 5, window_ms = 1, burst = 'x'}", "burst is 'x'; it must be a whole number"),
        ("[pay]\ndeadline_s = nan\noperations = {a = {}}", "deadline_s is nan; it must be a number from 0.001 to"),
        ("[pay]\noperations = 5", "operations is 5; it must be a table"),
        ("[pay.operations]\na = {count = 5}", "a count of 5 in a window of 0 ms is no limit; set both, or neither"),
        ("[pay.breaker]\nfailure = 5", "failure is no part of a breaker; there are"),
        ("[pay.operations]\n'a b' = {}", "'a b' is no name of an operation"),
        ("pay = 5", "pay is 5; a service is a table"),
        ("[pay", "services.toml is no TOML:"),
    ],
)
def test_a_wrong_declaration_is_one_sentence_that_says_where(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(text, "services.toml")

    assert "\n" not in str(refused.value)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("services.toml")


def test_a_wrong_value_in_the_environment_is_named() -> None:
    with pytest.raises(SettingsError, match="TWILIO_CONCURRENCY_LIMIT is 'ten'; it must be a whole number above 0"):
        from_environment(shipped()["twilio"], {"TWILIO_CONCURRENCY_LIMIT": "ten"})


def test_a_limit_over_all_services_has_nothing_but_a_limit() -> None:
    assert service_of("all", {"max_concurrent": 50}).limit.concurrency == 50
    with pytest.raises(SettingsError, match="retries is no part of a limit over all services"):
        service_of("all", {"retries": 3})
