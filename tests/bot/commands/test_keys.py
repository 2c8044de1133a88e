"""``tempogram keys``: the way out where SECRET_KEY does not decrypt the tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner, Result

from tempogram.bot.commands.cli import app
from tempogram.bot.config import logging
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.audit import Change, SqlAudit
from tempogram.storage.bots import Bots, Removal
from tempogram.storage.database.database import Database
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Digests
from tempogram.storage.identity.tokens import ApiTokens
from tempogram.storage.keys import Seal
from tempogram.storage.present_key import KeyChange, mark_change
from tempogram.storage.processes.file_lock import locked_file
from tests.fakes import START_MS, Clock

Answer = TypeVar("Answer")

FORMER, PRESENT = "the key that was used before", "the key that is used now"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a ``.env``, with a database of two bots whose key was lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", PRESENT)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(logging, "configure", lambda *_: None)  # it would stay for the tests after this one
    (tmp_path / "tempogram.db").write_bytes(migrated_sqlite.read_bytes())
    asyncio.run(of_database(tmp_path, FORMER, add_bots))


async def add_bots(bots: Bots) -> None:
    for bot_id in (41, 42):
        await bots.add(bot_id, f"{bot_id}:former", username=f"b{bot_id}", first_name="", behaviours={}, now_ms=START_MS)


async def of_database(directory: Path, key: str, work: Callable[[Bots], Awaitable[Answer]]) -> Answer:
    database = await Database.open(f"sqlite:///{directory}/tempogram.db")
    try:
        return await work(Bots(database, Seal(key)))
    finally:
        await database.close()


def tokens(directory: Path, key: str = PRESENT) -> dict[int, str | None]:
    return asyncio.run(of_database(directory, key, lambda bots: bots.tokens()))


def typed(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["keys", *words], input=answer)


def test_each_bot_is_listed_with_whether_its_token_can_be_read_and_never_the_token() -> None:
    typed("enter", "42", answer="42:present\n")

    table, as_json = typed(), typed("--json")

    assert json.loads(as_json.output)["bots"] == [
        {"id": "41", "username": "b41", "readable": False},
        {"id": "42", "username": "b42", "readable": True},
    ]
    assert "@b41" in table.output
    assert "cannot be decrypted" in table.output
    assert "tempogram keys enter 41" in table.output
    assert (table.exit_code, as_json.exit_code) == (1, 1)
    assert "42:present" not in table.output + as_json.output


def test_status_0_says_that_every_token_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", FORMER)
    assert typed().exit_code == 0

    monkeypatch.setenv("DATA_DIR", str(tmp_path / "new"))
    assert (typed().exit_code, typed().output) == (0, "There are no bots, so there are no tokens.\n")
    assert not (tmp_path / "new" / "tempogram.db").exists()


def test_a_token_is_entered_by_standard_input(tmp_path: Path) -> None:
    entered = typed("enter", "42", answer="42:present\n")

    assert (entered.exit_code, entered.output) == (
        0,
        "The token of bot 42 is stored. Processes that run have it within a minute.\n",
    )
    assert tokens(tmp_path) == {41: None, 42: "42:present"}


@pytest.mark.parametrize(
    ("words", "line", "action", "target"),
    [
        (["enter", "42"], "42:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n", "keys enter", "bot_id=42"),
        (["remove", "42", "--yes"], "", "keys remove", "bot_id=42"),
        (["rotate"], FORMER, "keys rotate", ""),
    ],
)
def test_what_is_changed_here_is_in_the_audit_log(
    tmp_path: Path, words: list[str], line: str, action: str, target: str
) -> None:
    CliRunner().invoke(app, ["keys", *words], input=f"{line}\n")

    (change,) = asyncio.run(audited(tmp_path))
    assert (change.who, change.action, change.target) == ("command line", action, target)


async def audited(directory: Path) -> list[Change]:
    database = await Database.open(f"sqlite:///{directory}/tempogram.db")
    try:
        return await SqlAudit(database, clock=Clock()).page(before_id=None, limit=10)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("bot_id", "token", "said"),
    [
        ("42", "41:of-another", "this is the token of bot 41, not of bot 42; nothing was changed"),
        ("42", "nonsense", "this is not a bot token; one looks like"),
        ("42", "", "this is not a bot token; one looks like"),
        ("43", "43:unknown", "there is no bot 43 in this database; tempogram keys lists those that are"),
    ],
)
def test_a_wrong_token_is_refused_and_not_quoted(tmp_path: Path, bot_id: str, token: str, said: str) -> None:
    refused = typed("enter", bot_id, answer=token)

    assert isinstance(refused.exception, SettingsError)
    assert str(refused.exception).startswith(said)
    assert "of-another" not in str(refused.exception)
    assert tokens(tmp_path, FORMER) == {41: "41:former", 42: "42:former"}


def test_a_bot_whose_token_is_lost_is_removed_and_what_waits_for_it_is_cancelled_later(tmp_path: Path) -> None:
    refused = typed("remove", "42", answer="n\n")
    removed = typed("remove", "42", answer="y\n")

    assert (refused.exit_code, removed.exit_code) == (1, 0)
    assert asyncio.run(of_database(tmp_path, PRESENT, lambda bots: bots.removed())) == {42: Removal.CANCEL}


def test_a_rotation_reads_the_former_key_from_standard_input(tmp_path: Path) -> None:
    rotated = typed("rotate", answer=f"{FORMER}\n")

    assert (rotated.exit_code, rotated.output) == (0, "2 encrypted with the present SECRET_KEY.\n")
    assert tokens(tmp_path) == {41: "41:former", 42: "42:former"}


def test_a_new_key_file_is_made_by_a_rotation_from_the_one_that_was_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY")

    assert typed("rotate", answer=f"{FORMER}\n").exit_code == 0

    assert tokens(tmp_path, (tmp_path / "secret_key").read_text().strip()) == {41: "41:former", 42: "42:former"}


def test_the_list_is_read_with_the_former_key_alone_and_makes_no_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    (tmp_path / "former_secret_key").write_text(FORMER)

    listed = typed("--json")

    assert [each["readable"] for each in json.loads(listed.output)["bots"]] == [True, True]
    assert not (tmp_path / "secret_key").exists()


def test_the_list_says_what_stops_working_without_the_former_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(with_a_token(tmp_path))
    monkeypatch.setenv("FORMER_SECRET_KEY", FORMER)

    said = typed().output

    assert "Without FORMER_SECRET_KEY these stop working, unless they are used before: 1 API token." in said


def test_a_change_that_was_cut_off_and_of_which_one_key_is_lost_is_ended(tmp_path: Path) -> None:
    typed("enter", "42", answer="42:present\n")
    refused = typed("rotate", "--other-lost")
    asyncio.run(cut_off(tmp_path))

    listed, ended = typed(), typed("rotate", "--other-lost")

    assert str(refused.exception).startswith("no change of SECRET_KEY is under way")
    assert "SECRET_KEY is being changed" in listed.output
    assert ended.exit_code == 1
    assert ended.output == (
        "1 encrypted with the present SECRET_KEY.\n"
        "SECRET_KEY does not decrypt the tokens of 41; enter each anew: tempogram keys enter 41\n"
    )


def test_a_lost_key_and_running_processes_exclude_each_other() -> None:
    assert "does not go with --other-lost" in str(typed("rotate", "--running", "--other-lost").exception)


async def with_a_token(directory: Path) -> None:
    database = await Database.open(f"sqlite:///{directory}/tempogram.db")
    await ApiTokens(database, Digests(FORMER)).add("ci", Role.VIEWER, now_ms=START_MS)
    await database.close()


async def cut_off(directory: Path) -> None:
    """Leave the database as a change from another key does that was killed."""
    database, both = await Database.open(f"sqlite:///{directory}/tempogram.db"), Seal(PRESENT, FORMER)
    mark = KeyChange(former=both.fingerprints[1], present=both.fingerprints[0])
    await database.write_alone(lambda connection: mark_change(connection, mark))
    await database.close()


def test_the_list_is_read_beside_a_running_process_and_a_change_is_refused(tmp_path: Path) -> None:
    with locked_file(tmp_path / "tempogram.db"):
        listed, refused = typed(), typed("enter", "42", answer="42:present\n")

    assert "@b42" in listed.output
    assert "another tempogram uses the database" in str(refused.exception)
