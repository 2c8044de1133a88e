"""The examples of docs/selection.md, each run as it stands there."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex

import typer.main
from aiogram.methods import SendMessage
from sqlalchemy import Connection, insert

import tempogram
from tempogram.api.schemas.selections import SelectionIn
from tempogram.bot.commands.cli import app
from tempogram.storage.chats import ChatActivity
from tempogram.storage.database.models import chat_tags
from tests import ROOT
from tests.bot.embedding.started import BOT_ID, Engine

PAGE = (ROOT / "docs" / "selection.md").read_text()


def examples(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found


async def test_the_python_example_writes_to_each_chat_once(engine: Engine) -> None:
    note = ChatActivity(bot_id=BOT_ID, chat_id=501, at_ms=engine.built.context.clock(), type="private")
    await engine.built.storage.chats.note_activity(note)
    await engine.pause()

    def tag(connection: Connection) -> None:
        connection.execute(insert(chat_tags).values(bot_id=BOT_ID, chat_id="501", tag="news"))

    await engine.built.storage.audience._database.write_alone(tag)
    [example] = examples("python")
    code = compile(example, "docs/selection.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    for _ in range(2):
        running = eval(code, {"tempogram": tempogram, "bot": engine.bot, "SendMessage": SendMessage})  # noqa: S307
        assert inspect.isawaitable(running)
        await running

    [kept] = await engine.built.storage.ledger.open_messages(after_id="", limit=9)
    assert (kept.chat_id, kept.tag) == (501, "weekly")


def test_the_request_is_one_that_the_api_takes() -> None:
    [example] = examples("json")

    assert SelectionIn.model_validate(json.loads(example)).tags == ["news"]


def test_the_commands_are_ones_that_the_command_line_takes() -> None:
    [lines] = examples("sh")
    command = typer.main.get_command(app)
    select = command.commands["select"]  # type: ignore[attr-defined]

    for line in lines.splitlines():
        words = shlex.split(line.partition(">")[0])
        assert words[:2] == ["tempogram", "select"]
        assert select.make_context("select", words[2:]).params["bot"] == "42"
