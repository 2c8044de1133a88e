"""``make env``: secrets of one's own in ``.env``."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from tempogram.bot.commands.env_file import OF_COMPOSE, SECRETS, main
from tempogram.bot.config.settings import Settings, load
from tests import ROOT

GIVEN = {"former_secret_key", "bot_tokens", "telegram_proxy", "llm_api_key", "alert_smtp_url", "alert_webhook_secret"}
"""Secrets that another party makes."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / ".env.example", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def values(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_each_secret_is_made_and_is_one_that_the_program_reads(folder: Path) -> None:
    assert main(folder) == 0

    made = values(folder)
    settings = load()
    for name in made.keys() - set(OF_COMPOSE):
        assert getattr(settings, name.lower()).get_secret_value() == made[name]
    secret = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr} - GIVEN
    assert {name.lower() for name in made} - {name.lower() for name in OF_COMPOSE} == secret


def test_no_two_secrets_are_alike_and_none_needs_quotes(folder: Path) -> None:
    main(folder)

    made = list(values(folder).values())
    assert len(set(made)) == len(made)
    assert [value for value in made if not re.fullmatch(r"[A-Za-z0-9_-]{43}", value)] == []


def test_only_the_owner_may_read_the_file(folder: Path) -> None:
    main(folder)

    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600


def test_a_file_that_is_there_stays_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").write_text("BOT_TOKENS=42:mine\n")

    assert main(folder) == 1

    assert (folder / ".env").read_text() == "BOT_TOKENS=42:mine\n"
    assert "stays as it is" in capsys.readouterr().err


def test_a_secret_that_is_in_use_here_is_taken_over(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "secret_key").write_text("the-key-of-the-first-start\n")

    main(folder)

    assert values(folder)["SECRET_KEY"] == "the-key-of-the-first-start"


def test_a_secret_in_use_that_cannot_be_read_is_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "secret_key").write_bytes(b"\xff" * 43)

    assert main(folder) == 1

    assert not (folder / ".env").exists()
    assert "cannot be read" in capsys.readouterr().err


def test_a_password_with_any_character_is_read_as_it_was_meant(folder: Path) -> None:
    (folder / ".env").write_text(r"""LLM_API_KEY='p@ss:/#?%&$ "x\'ü'""")

    assert load().llm_api_key.get_secret_value() == """p@ss:/#?%&$ "x'ü"""
