"""``tempogram alerts``: what it prints."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from tempogram.bot.commands import alerts
from tempogram.bot.commands.client import Client


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the API answers, by path."""
    answers: dict[str, Any] = {}
    monkeypatch.setenv("ADMIN_TOKEN", "an-admin-token-for-tests")
    monkeypatch.setattr(Client, "get", lambda _, path: answers[path])
    monkeypatch.setattr(Client, "post", lambda _, path, __: answers[path])
    return answers


def typed(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(alerts.app, words, env={"COLUMNS": "150"})
    return result.exit_code, result.output


def test_open_alerts_are_listed_and_what_was_not_said_yet_is_marked(answers: dict[str, Any]) -> None:
    shown = {"kind": "task_stalled", "text": "task poll is stalled", "since_ms": 1_700_000_000_000, "is_said": True}
    answers["/alerts"] = {"alerts": [shown, shown | {"text": "task [sweep] is stalled", "is_said": False}]}

    status, output = typed()

    assert status == 0
    assert "task poll is stalled" in output
    assert "task [sweep] is stalled (not said yet: quiet hours)" in output


def test_without_alerts_that_is_said(answers: dict[str, Any]) -> None:
    answers["/alerts"] = {"alerts": []}

    assert typed() == (0, "There are no alerts.\n")


@pytest.mark.parametrize(("outcome", "status"), [("accepted", 0), ("pending", 1), ("refused", 1), ("away", 1)])
def test_a_test_fails_if_a_channel_does(answers: dict[str, Any], outcome: str, status: int) -> None:
    accepted = {"channel": "email", "outcome": "accepted", "reason": ""}
    answers["/alerts/test"] = {"channels": [accepted, {"channel": "slack", "outcome": outcome, "reason": "why"}]}

    exit_code, output = typed("test")

    assert exit_code == status
    assert output.startswith("email: accepted\nslack: ")


def test_a_test_without_channels_says_where_they_are_set(answers: dict[str, Any]) -> None:
    answers["/alerts/test"] = {"channels": []}

    assert typed("test") == (0, "No channel is set; see ALERT_… in .env.example.\n")
