"""``tempogram audit``: what it prints."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tempogram.bot.commands.audit import audit
from tempogram.bot.commands.client import Client

CHANGE = {
    "id": "0" * 26, "time": "2026-12-01T10:00:00+00:00", "who": "user:anna", "role": "admin", "address": "10.0.0.7",
    "action": "PATCH /bots/{bot_id}", "target": "bot_id=42", "before": {"paused": False}, "after": {"paused": True},
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the API was asked, after the answer that it gives."""
    asked: list[Any] = [{"changes": [CHANGE], "next_before": "0" * 26}]
    monkeypatch.setenv("ADMIN_TOKEN", "an-admin-token-for-tests")

    def get(_: Client, path: str, params: object) -> Any:
        asked.append((path, params))
        return asked[0]

    monkeypatch.setattr(Client, "get", get)
    return asked


def typed(*words: str) -> str:
    app = typer.Typer()
    app.command()(audit)
    result = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_changes_are_a_table_with_what_was_there_before(asked: list[Any]) -> None:
    printed = typed()

    for word in ("user:anna", "10.0.0.7", "PATCH /bots/{bot_id} bot_id=42", "paused: False → True", "--before 000"):
        assert word in printed
    assert asked[1] == ("/audit", [("limit", "50")])


def test_only_those_of_a_caller_or_of_a_target_are_asked_for(asked: list[Any]) -> None:
    typed("--who", "user:anna", "--target", "bot_id=42", "--limit", "7")

    assert dict(asked[1][1]) == {"who": "user:anna", "target": "bot_id=42", "limit": "7"}


def test_without_changes_that_is_said(asked: list[Any]) -> None:
    asked[0] = {"changes": [], "next_before": None}

    assert typed() == "Nothing was changed.\n"
