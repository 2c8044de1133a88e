from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tempogram.bot.config.misspelt import names
from tempogram.bot.config.secret_files import BYTES_MAX, secrets_of
from tempogram.bot.config.settings import Settings, load
from tempogram.engine.model.errors import SettingsError
from tests import ROOT

TOKEN = "a-token-that-is-long-enough"
VALUES = {
    "ADMIN_TOKEN": TOKEN,
    "OPERATOR_TOKEN": TOKEN,
    "VIEWER_TOKEN": TOKEN,
    "SECRET_KEY": TOKEN,
    "FORMER_SECRET_KEY": TOKEN,
    "LLM_API_KEY": "schlüssel",
    "LLM_API_URL": "https://key@llm.example.org/v1",
    "DATABASE_URL": "postgresql://me:pass@db/tempogram",
    "REDIS_URL": "redis://:pass@cache/0",
    "BOT_TOKENS": "1:abcdefgh",
    "TELEGRAM_PROXY": "http://me:pass@10.0.0.1:3128",
    "ALERT_SLACK_URL": "https://hooks.slack.example/services/T0/B0/xyz",
    "ALERT_WEBHOOK_URL": "https://key@alerts.example.org/hook",
    "ALERT_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ALERT_SMTP_URL": "smtp://me:pass@mail.example.org",
}

NEEDS = {
    "ALERT_WEBHOOK_SECRET": {"ALERT_WEBHOOK_URL": "https://alerts.example.org"},
    "ALERT_SMTP_URL": {"ALERT_MAIL_FROM": "bots@example.org", "ALERT_MAIL_TO": "me@example.org"},
}
"""Settings without which a secret is refused."""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in names():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_MODEL", "m")


def in_file(monkeypatch: pytest.MonkeyPatch, name: str, content: str | bytes) -> None:
    path = Path("secret")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(f"{name}_FILE", str(path))
    for other, value in NEEDS.get(name, {}).items():
        monkeypatch.setenv(other, value)


def shown(value: object) -> object:
    if isinstance(value, tuple):
        return ",".join(str(shown(each)) for each in value)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_every_secret_is_one_that_may_stand_in_a_file_and_the_example_names_it() -> None:
    assert sorted(VALUES) == sorted(name.upper() for name in secrets_of(Settings))
    head = (ROOT / ".env.example").read_text().partition("\n\n")[0]
    assert [name for name in VALUES if f"{name}_FILE" not in head] == []


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_its_file_without_the_last_newline(
    monkeypatch: pytest.MonkeyPatch, name: str, end: str
) -> None:
    in_file(monkeypatch, name, VALUES[name] + end)

    settings = load()

    assert shown(getattr(settings, name.lower())) == VALUES[name]
    assert VALUES[name] not in repr(settings)


def test_a_file_may_be_named_in_dot_env(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN)
    (tmp_path / ".env").write_text("VIEWER_TOKEN_FILE=secret\n")

    assert load().viewer_token.get_secret_value() == TOKEN


def test_bot_tokens_in_a_file_are_separated_by_commas_or_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(monkeypatch, "BOT_TOKENS", "1:abcdefgh, 2:abcdefgh\n3:abcdefgh\r\n\n")

    assert shown(load().bot_tokens) == "1:abcdefgh,2:abcdefgh,3:abcdefgh"


def test_a_keyword_goes_before_a_file_even_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL_FILE", "nowhere")

    assert load(database_url="sqlite:///mine.db").database_url == "sqlite:///mine.db"


def test_a_secret_that_is_set_twice_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(monkeypatch, "ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)

    with pytest.raises(SettingsError, match=r"^ADMIN_TOKEN and ADMIN_TOKEN_FILE are both set; set one of them$"):
        load()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe" * 9, "names a file that is not text in UTF-8"),
        ("\n", "names an empty file; write the secret into it, or unset ADMIN_TOKEN_FILE"),
        ("x" * (BYTES_MAX + 1), "names a file of more than 1,048,576 bytes, which is no secret"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: str | bytes, said: str
) -> None:
    in_file(monkeypatch, "ADMIN_TOKEN", content)

    with pytest.raises(SettingsError) as refused:
        load()

    assert str(refused.value) == f"ADMIN_TOKEN_FILE {said}"


@pytest.mark.parametrize("path", ["a-secret-instead-of-its-file", ".", "/etc/passwd/a-secret", "a-secret" * 99])
def test_a_file_that_cannot_be_read_is_one_sentence_without_what_was_given(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", path)

    with pytest.raises(SettingsError) as refused:
        load()

    assert str(refused.value).startswith("SECRET_KEY_FILE names a file that cannot be read (")
    assert "a-secret" not in str(refused.value)
