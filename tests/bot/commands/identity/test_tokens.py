"""``tempogram tokens``: what it asks, and what it prints."""

from __future__ import annotations

from typer.testing import CliRunner

from tempogram.bot.commands.identity import tokens
from tests.bot.commands.identity.conftest import Api

TOKEN = {
    "id": "9z8y",
    "name": "ci",
    "role": "operator",
    "user": "Ada",
    "bots": ["42", "43"],
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
}


def typed(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(tokens.app, words, env={"COLUMNS": "150"})
    return result.exit_code, result.output


def test_a_token_is_all_that_is_printed_when_it_is_made(api: Api) -> None:
    api.answers["POST", "/tokens"] = {"token": TOKEN, "text": "tpg_9z8y_a_b"}

    assert typed("add", "ci", "--role", "operator", "--user", "ada", "--bot", "42", "--bot", "43") == (
        0,
        "tpg_9z8y_a_b\n",
    )
    assert api.asked[-1] == (
        "POST",
        "/tokens",
        {"name": "ci", "role": "operator", "user": "0a1b", "bots": ["42", "43"]},
    )


def test_days_become_the_seconds_that_it_is_valid(api: Api) -> None:
    api.answers["POST", "/tokens"] = {"token": TOKEN, "text": "tpg_9z8y_a_b"}

    typed("add", "ci", "--days", "30")

    assert api.asked[-1][2] == {"name": "ci", "role": "viewer", "expires_in_s": 2_592_000}


def test_tokens_are_listed_with_what_they_are_bound_to_and_how_they_end(api: Api) -> None:
    revoked = TOKEN | {"id": "7x6w", "bots": None, "revoked_at": "2026-01-01T00:00:00Z"}
    api.answers["GET", "/tokens"] = {"tokens": [TOKEN, revoked]}

    status, output = typed("list", "--user", "ada")

    assert status == 0
    assert "42, 43" in output
    assert "revoked" in output
    assert api.asked[-1] == ("GET", "/tokens", [("user", "0a1b")])


def test_without_tokens_that_is_said(api: Api) -> None:
    api.answers["GET", "/tokens"] = {"tokens": []}

    assert typed("list") == (0, "There are no tokens; tempogram tokens add makes one.\n")


def test_a_token_is_revoked_by_its_id(api: Api) -> None:
    api.answers["DELETE", "/tokens/9z8y"] = {"id": "9z8y"}

    assert typed("revoke", "9z8y") == (0, "Token 9z8y is revoked.\n")
