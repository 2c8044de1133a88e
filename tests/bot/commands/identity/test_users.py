"""``tempogram users``: what it asks, and what it prints."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from tempogram.bot.commands.identity import users
from tests.bot.commands.identity.conftest import ADA, Api

PASSWORD = "canary of a long password"


def typed(*words: str, line: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(users.app, words, env={"COLUMNS": "150"}, input=line)
    return result.exit_code, result.output


def test_a_user_is_added_with_a_password_that_is_read_and_not_shown(api: Api) -> None:
    api.answers["POST", "/users"] = ADA

    status, output = typed("add", "Ada", "--role", "viewer", "--password", line=f"{PASSWORD}\n")

    assert (status, output) == (0, "User Ada is added, as viewer.\n")
    assert api.asked == [("POST", "/users", {"name": "Ada", "role": "viewer", "password": PASSWORD})]


def test_users_are_listed(api: Api) -> None:
    status, output = typed("list")

    assert status == 0
    assert "Ada" in output


def test_without_users_that_is_said(api: Api) -> None:
    api.answers["GET", "/users"] = {"users": []}

    assert typed("list") == (0, "There are no users; tempogram users add makes one.\n")


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (["disable", "ada"], {"is_active": False}, "User Ada is let in no more."),
        (["enable", "ada"], {"is_active": True}, "User Ada is let in again."),
        (["role", "ada", "admin"], {"role": "admin"}, "User Ada has the role admin."),
        (["password", "ada"], {"password": PASSWORD}, "User Ada has a new password."),
    ],
)
def test_a_user_is_changed_by_its_name_in_any_case(
    api: Api, words: list[str], changes: dict[str, Any], said: str
) -> None:
    api.answers["PATCH", "/users/0a1b"] = ADA

    status, output = typed(*words, line=f"{PASSWORD}\n")

    assert (status, output) == (0, f"{said}\n")
    assert api.asked[-1] == ("PATCH", "/users/0a1b", changes)


def test_a_link_is_all_that_is_printed_and_in_one_line(api: Api) -> None:
    link = f"tpgl_{'a' * 12}_{'b' * 43}_{'0' * 8}"
    api.answers["POST", "/users/0a1b/link"] = {"link": link, "expires_at": "2026-01-01T00:00:00Z"}

    result = CliRunner().invoke(users.app, ["link", "ada", "--url", "http://127.0.0.1:8000/"], env={"COLUMNS": "60"})

    assert result.output == f"http://127.0.0.1:8000/login?link={link}\n"


def test_all_sessions_of_a_user_are_ended(api: Api) -> None:
    api.answers["DELETE", "/users/0a1b/sessions"] = {"ended": 2}

    assert typed("log-out", "ada") == (0, "Sessions of ada that were ended: 2.\n")


def test_a_user_is_removed(api: Api) -> None:
    api.answers["DELETE", "/users/0a1b"] = {"id": "0a1b"}

    assert typed("remove", "ada") == (0, "User ada is removed.\n")


def test_a_user_that_there_is_not_is_named(api: Api) -> None:
    result = CliRunner().invoke(users.app, ["disable", "eve"])

    assert str(result.exception) == "there is no user 'eve'; tempogram users list shows all"
