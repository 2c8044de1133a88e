from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.bot.config.misspelt import misspelt, names, nearest

OURS = [name.upper() for name in names()]

FOREIGN = (
    *("HOME", "HOSTNAME", "HOSTS", "POST", "PORTS", "PATH", "SHELL", "USER", "LANG", "TERM", "EDITOR", "PWD", "OLDPWD"),
    *("REDIS_TTL", "REDIS_HOST", "REDIS_PORT", "DATABASE_NAME", "DATABASE_USER", "POSTGRES_URL", "POSTGRES_PASSWORD"),
    *("TELEGRAM_TOKEN", "TELEGRAM_CHAT_ID", "TELEGRAM_API_ID", "TELEGRAM_API_HASH", "BOT_USERNAME", "BOT_ADMINS"),
    *("LLM_PROVIDER", "PUBLIC_KEY", "SECRET_NAME", "ADMIN_IDS", "ADMIN_CHAT", "META_DIR", "BASE_DIR", "LOG_FILE"),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "NO_COLOR", "FORWARDED_ALLOW_IPS", "PYTHONPATH", "VIRTUAL_ENV"),
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, _ in misspelt():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TELEGRAM_GROUP_LIMITS", "TELEGRAM_GROUP_LIMIT"),
        ("TELEGRAM_GROUP_LIMTIS", "TELEGRAM_GROUP_LIMIT"),
        ("TELEGRAMM_BOT_LIMIT", "TELEGRAM_BOT_LIMIT"),
        ("BOT_TOKEN", "BOT_TOKENS"),
        ("REDIS_URI", "REDIS_URL"),
        ("DATABASEURL", "DATABASE_URL"),
        ("PUBLIC_ULR", "PUBLIC_URL"),
        ("SECRETKEY", "SECRET_KEY"),
        ("ADMIN_TOKEN_FIEL", "ADMIN_TOKEN_FILE"),
        ("METRIC_PORT", "METRICS_PORT"),
    ],
)
def test_a_mistyped_setting_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "15")

    assert misspelt() == [(name, meant)]


def test_one_in_dot_env_is_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("telegram_group_limits=15\nTELEGRAM_GROUP_LIMIT=15\n")

    assert misspelt() == [("TELEGRAM_GROUP_LIMITS", "TELEGRAM_GROUP_LIMIT")]


def test_a_name_that_a_users_code_declares_is_as_good_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKENSS", "declared")
    monkeypatch.setenv("SHOP_CURENCY", "EUR")

    assert misspelt(["BOT_TOKENSS", "SHOP_CURRENCY"]) == [("SHOP_CURENCY", "SHOP_CURRENCY")]


def test_a_setting_that_a_process_does_not_act_upon_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "of a program of its own")

    assert misspelt(unused=["bot_tokens"]) == []


@pytest.mark.parametrize("name", [*OURS, *FOREIGN])
def test_settings_and_ordinary_variables_of_others_are_not_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    monkeypatch.setenv(name, "15")

    assert misspelt() == []


@given(st.data())
def test_a_slip_in_a_long_name_is_found_and_what_is_farther_away_is_not(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([each for each in OURS if len(each) >= 8]))
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from(string.ascii_uppercase))
    slip = data.draw(
        st.sampled_from(
            [
                name[:place] + letter + name[place:],
                name[:place] + name[place + 1 :],
                name[:place] + letter + name[place + 1 :],
                name[:place] + name[place : place + 2][::-1] + name[place + 2 :],
            ]
        )
    )

    assert nearest(slip, OURS) is not None
    assert nearest(f"{slip}_XYZ", [name]) is None
