"""Every environment variable, and what is said about a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from tempogram.bot.config.data_dir import AdminToken, read_admin_token
from tempogram.bot.config.misspelt import names
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import Settings, load
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.resilience.backoff import RetryPolicy
from tests import ROOT

EXAMPLE = ROOT / ".env.example"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's environment nor a ``.env`` shall decide."""
    for name in names():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def example() -> list[tuple[str, str]]:
    return re.findall(r"^#([A-Z_0-9]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)


def test_the_example_lists_every_setting_in_the_order_of_the_class() -> None:
    assert [name for name, _ in example()] == [name.upper() for name in Settings.model_fields]


def test_the_example_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in example():
        monkeypatch.setenv(name, value)

    assert load() == Settings()


def test_the_example_describes_each_setting_as_the_class_does() -> None:
    described = re.findall(r"^# (.*)\n#[A-Z_0-9]+=", EXAMPLE.read_text(), re.MULTILINE)

    assert described == [field.description for field in Settings.model_fields.values()]


def test_the_defaults_are_the_limits_that_telegram_names() -> None:
    settings = Settings()

    assert settings.limits() == Limits()
    assert settings.retries() == RetryPolicy()


def test_a_burst_is_a_bucket_besides_the_window_and_for_a_private_chat_instead_of_it() -> None:
    limits = Settings(telegram_global_burst=9, telegram_bot_burst=5, telegram_group_burst=3).limits()

    assert limits.ceiling == Limit(30, 1_000, burst=9)
    assert (limits.bot, limits.group) == (Limit(30, 1_000, burst=5), Limit(20, 60_000, burst=3))
    assert [each.has_window for each in (limits.ceiling, limits.bot, limits.group, limits.chat)] == [True] * 3 + [False]


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")

    assert load() == Settings()


def test_tokens_are_separated_by_commas_and_hidden_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKENS", " 1:abc , 2:def,, ")

    settings = load()

    assert settings.bot_tokens == (SecretStr("1:abc"), SecretStr("2:def"))
    assert "abc" not in repr(settings)


def test_a_limit_of_0_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_GLOBAL_LIMIT", "0")

    assert load().limits().ceiling.count == 0


def test_an_awaited_call_waits_until_it_is_sent_unless_a_time_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().telegram_rate_limit_wait is None

    monkeypatch.setenv("TELEGRAM_RATE_LIMIT_WAIT", "3600")
    assert load().telegram_rate_limit_wait == 3_600


def test_a_lease_is_longer_than_a_call_may_take() -> None:
    settings = Settings(telegram_timeout=600)

    assert settings.lease_ms > settings.timeout_ms == 600_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("TELEGRAM_TIMEOUT", "0"),
        ("TELEGRAM_TIMEOUT", "inf"),
        ("TELEGRAM_TIMEOUT", "nan"),
        ("TELEGRAM_TIMEOUT", "20s"),
        ("TELEGRAM_BASE_DELAY", "inf"),
        ("TELEGRAM_MAX_DELAY", "inf"),
        ("TELEGRAM_MAX_RETRY_AFTER", "inf"),
        ("TELEGRAM_RATE_LIMIT_WAIT", "-1"),
        ("TELEGRAM_RATE_LIMIT_WAIT", "inf"),
        ("TELEGRAM_MAX_RETRIES", "-1"),
        ("TELEGRAM_MAX_RETRIES", "1.5"),
        ("TELEGRAM_CONNECTIONS", "0"),
        ("TELEGRAM_GLOBAL_LIMIT", "-30"),
        ("TELEGRAM_GLOBAL_LIMIT_WINDOW_S", "0"),
        ("TELEGRAM_GROUP_LIMIT_WINDOW_S", "inf"),
        ("TELEGRAM_BOT_LIMIT", "many"),
        ("TELEGRAM_CHAT_BURST", "0"),
        ("TELEGRAM_WINDOW_GUARD_MS", "1e9"),
        ("QUEUE_CHAT_CAP", "-1"),
    ],
)
def test_a_broken_value_is_one_sentence_with_its_variable_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        load()

    sentence = str(refused.value)
    assert sentence.startswith(f"{name} is {value!r}: ")
    assert "\n" not in sentence


def test_delays_in_the_wrong_order_name_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BASE_DELAY", "90")

    with pytest.raises(SettingsError, match=r"TELEGRAM_BASE_DELAY \(90.0\) must not be longer than TELEGRAM_MAX_DELAY"):
        load()


@pytest.mark.parametrize("name", ["bot_tokens", "admin_token", "secret_key"])
def test_a_broken_secret_is_named_and_never_shown(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**{name: ["a-secret-value", {"a-secret-value": 1}]})

    assert str(refused.value).startswith(f"{name.upper()} makes no sense: ")
    assert "a-secret-value" not in str(refused.value)


def test_a_password_that_breaks_the_redis_url_is_not_shown() -> None:
    with pytest.raises(SettingsError, match="port is not a number") as caught:
        load(redis_url="redis://:secret#word@localhost:6379/0")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["TELEGRAM_API_URL", "PUBLIC_URL", "LLM_API_URL"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("ftp://s3cret@x", "it must begin with http:// or https://"),
        ("s3cret.example.org", "it must begin with http:// or https://"),
        ("http://u:s3cret@x:port/v1", "its port is not a number"),
        ("http://u:s3cret/1@x/v1", "its port is not a number"),
        ("https://x:99999/?key=s3cret", "its port is not a number"),
        ("http://[::1/s3cret", "its host is not a name or an address"),
        ("http://s3cret..x/", "its host is not a name or an address"),
        ("http://?s3cret", "it names no host"),
        ("http://x/s3 cret", "it has a space"),
    ],
)
def test_a_url_that_makes_no_sense_is_named_and_never_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        load()

    assert str(refused.value).startswith(f"{name} makes no sense: {reason}")
    assert "s3" not in str(refused.value)


def test_a_language_model_with_two_ways_to_log_in_is_refused_as_its_client_would_do_at_each_call() -> None:
    with pytest.raises(SettingsError, match=r"^LLM_API_URL has a user or a password, and LLM_API_KEY is set"):
        load(llm_api_url="https://s3cret@llm.example.org/v1", llm_api_key="s3cret", llm_model="m")


def test_a_bot_token_in_a_wrong_place_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "42:token-of-the-test-bot")

    with pytest.raises(SettingsError, match=r"^PORT is '42:…': "):
        load()


@pytest.mark.parametrize("name", ["ADMIN_TOKEN", "OPERATOR_TOKEN", "VIEWER_TOKEN"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("fifteen-letters", "it has 15 characters; it needs at least 16"),
        ("schlüssel-zu-allem", "it has a character that not every client can send"),
        ("seventeen letters", "it has a character that not every client can send"),
    ],
)
def test_a_token_that_is_short_or_cannot_be_sent_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        load()

    assert str(refused.value).startswith(f"{name} makes no sense: {said}")
    assert value not in str(refused.value)


def test_an_admin_token_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path / "deep")

    first, again = read_admin_token(settings), read_admin_token(settings)

    assert (first.is_new, again.is_new) == (True, False)
    assert first.value == again.value
    assert len(first.value) >= 32
    assert (tmp_path / "deep" / "admin_token").stat().st_mode & 0o777 == 0o600


def test_an_admin_token_that_is_set_is_written_nowhere(tmp_path: Path) -> None:
    admin_token = read_admin_token(load(data_dir=tmp_path, admin_token="mine-and-long-enough"))

    assert admin_token == AdminToken(value="mine-and-long-enough", is_new=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("redis_uri", "did you mean redis_url?"), ("PORT", "did you mean port?"), ("zzz", ".env.example lists them all")],
)
def test_a_keyword_that_no_setting_has_is_refused_with_the_near_name(name: str, way_out: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**{name: 1})

    assert str(refused.value) == f"there is no setting {name!r}; {way_out}"


def test_an_embedded_program_needs_no_redis_and_another_role_does(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path)

    check(ProcessRole.EMBEDDED, settings)
    with pytest.raises(SettingsError, match="REDIS_URL"):
        check(ProcessRole.WORKER, settings)


MAIL = {"alert_smtp_url": "smtp://localhost", "alert_mail_from": "a@x.org", "alert_mail_to": "b@x.org, c@x.org"}


def test_settings_of_alerts_are_read() -> None:
    settings = load(**MAIL, alert_urgent="redis_away", alert_quiet_hours="22:00-07:00", alert_time_zone="Europe/Berlin")
    when = settings.alerts_when()

    assert settings.alert_mail_to == ("b@x.org", "c@x.org")
    assert when.urgent == {"redis_away"}
    assert when.quiet is not None
    assert when.may_say("task_stalled", 1_782_900_000_000) == (not when.quiet.hold_at(1_782_900_000_000))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"alert_urgent": "moon_away"}, "ALERT_URGENT is 'moon_away': 'moon_away' is no kind of alert; there are "),
        ({"alert_quiet_hours": "late"}, "ALERT_QUIET_HOURS is 'late': 'late' are no quiet hours; write them as in "),
        ({"alert_time_zone": "Mars"}, "ALERT_TIME_ZONE is 'Mars': there is no time zone 'Mars'; write it like "),
        ({"alert_bot": 42}, "ALERT_BOT and ALERT_CHAT belong together; set both or none"),
        ({"alert_bot": 42, "alert_chat": "ops"}, "ALERT_CHAT is 'ops': it is neither the id of a chat, such as "),
        (MAIL | {"alert_mail_to": ()}, "ALERT_SMTP_URL, ALERT_MAIL_FROM and ALERT_MAIL_TO belong together; "),
        (
            MAIL | {"alert_mail_to": "b@x.org\nBcc: c"},
            "ALERT_MAIL_TO is 'b@x.org\\nBcc: c': 'Bcc: c' is no address of a ",
        ),
        ({"alert_slack_url": "hunter2"}, "ALERT_SLACK_URL makes no sense: it must begin with http:// or https://"),
        ({"alert_smtp_url": "smtp://hunter2@x"}, "ALERT_SMTP_URL makes no sense: it has a user without a password"),
        ({"alert_webhook_secret": "hunter2"}, "ALERT_WEBHOOK_SECRET makes no sense: it must be whsec_ and then "),
    ],
)
def test_settings_of_alerts_that_make_no_sense_are_refused_in_one_sentence(
    values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**values)

    assert str(refused.value).startswith(sentence)
    assert "hunter2" not in str(refused.value)
