"""``tempogram bots``: what it asks of the API, and prints."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from tempogram.bot.commands.cli import app
from tempogram.bot.commands.client import Client

SECRET = "as Telegram has it"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the API was asked."""
    asked: list[Any] = []
    monkeypatch.setenv("ADMIN_TOKEN", "an-admin-token-for-tests")

    def get(_: Client, path: str, _params: object = ()) -> Any:
        asked.append(("GET", path))
        return {"secret": SECRET}

    def post(_: Client, path: str, _body: object) -> Any:
        asked.append(("POST", path))
        return {"id": "42"}

    monkeypatch.setattr(Client, "get", get)
    monkeypatch.setattr(Client, "post", post)
    return asked


def typed(*words: str) -> str:
    result = CliRunner().invoke(app, ["bots", "webhook-secret", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_secret_of_a_webhook_is_shown(asked: list[Any]) -> None:
    assert typed("42") == f"{SECRET}\n"
    assert asked == [("GET", "/bots/42/webhook-secret")]


def test_the_secret_of_a_webhook_is_replaced(asked: list[Any]) -> None:
    printed = typed("42", "--rotate")

    assert printed.startswith("Bot 42 has another webhook secret. The former one is accepted until Telegram has")
    assert SECRET not in printed
    assert asked == [("POST", "/bots/42/webhook-secret")]
