"""The examples of docs/python.md, each run as it stands there, from the first to the last."""

from __future__ import annotations

import ast
import re
from inspect import iscoroutine
from types import CodeType
from typing import Any

import tempogram
from tests import ROOT
from tests.bot.embedding.started import BOT_ID, Engine

PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)

FUNCTIONS = (
    "cancel",
    "dead_letters",
    "explain",
    "options",
    "priority",
    "send",
    "state",
    "stats",
    "submit",
    "submit_many",
)


def compiled(example: str) -> CodeType:
    code: CodeType = compile(example, "docs/python.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


async def test_every_example_of_the_page_works(engine: Engine) -> None:
    names: dict[str, Any] = {"bot": engine.bot}

    for example in EXAMPLES:
        running = eval(compiled(example), names)  # noqa: S307 - our own page
        if iscoroutine(running):
            await running
    await engine.until_sent()

    assert [engine.shown(chat_id)[0] for chat_id in (1, 2, 3)] == ["News"] * 3
    assert engine.shown(7) == ["Only today", "Your parcel is here.", "Done"]
    assert names["refused"] == []
    assert (await tempogram.state(names["submitted"].id)).status == "cancelled"
    assert engine.bot.id == BOT_ID


def test_the_page_has_an_example_of_each_function() -> None:
    shown = "".join(EXAMPLES)

    assert [name for name in FUNCTIONS if f"tempogram.{name}(" not in shown] == []
