"""The examples of docs/watches.md, each as it stands there, and the names in its tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tempogram.api.schemas.queue import WatchStatsOut
from tempogram.bot.behaviours.watches import router
from tempogram.bot.behaviours.watches.declared import declared, forget_all
from tempogram.bot.commands.plan import app
from tempogram.bot.commands.queue import _stats_table
from tempogram.bot.config.settings import Settings
from tempogram.engine.model.watches import DAY_MS, SHIPPED_PLANS, Preset
from tempogram.engine.services.catalogue import shipped
from tempogram.engine.watches.answers import fields_of
from tests import ROOT

PAGE = (ROOT / "docs" / "watches.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _nothing_declared() -> Iterator[None]:
    forget_all()
    yield
    forget_all()


async def test_the_examples_declare_sources_that_can_be_asked() -> None:
    first, second = examples("python")
    exec(first, {"__name__": "prices"})  # noqa: S102 - our own page
    exec(second, {"__name__": "titles"})  # noqa: S102 - our own page

    shop = replace(shipped()["films"], name="shop", operations={"item": shipped()["films"].operations["availability"]})
    sources = declared({**shipped(), "shop": shop})

    assert list(sources) == ["prices", "titles"]
    assert fields_of(await sources["titles"].fetch("tt0111161")) == {"streams": 3, "cheapest": 2.99}


def test_the_first_example_is_that_of_the_examples() -> None:
    words = re.sub(r"\s|SHOP_API|[{}]", "", (ROOT / "examples" / "prices.py").read_text())

    assert 'watched("prices",uses="shop:item",fetch=JsonApi(url=' in words
    assert "BEHAVIOURS=tempogram.bot.behaviours.watches,examples.prices" in PAGE
    assert Path(ROOT / "examples" / "prices.toml").exists()


def test_the_presets_are_planned_as_the_page_says() -> None:
    (command,) = re.findall(r"^\$ tempogram plan (.+)", PAGE, re.MULTILINE)
    smaller = [str(int(word) // 500) if word.isdecimal() else word for word in command.split()]

    planned = CliRunner().invoke(app, [*smaller, "--json"])

    assert planned.exit_code == 0, planned.output
    assert len(json.loads(planned.stdout)) == 7


def rows(below: str) -> list[list[str]]:
    """Return the cells of the first table below a heading or a sentence."""
    table = PAGE.partition(below)[2]
    lines = re.search(r"^\|.+\n\| ---.*\n((?:\|.+\n)+)", table, re.MULTILINE)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1].splitlines()]


def test_the_page_names_what_there_is() -> None:
    answered = {handler.flags["commands"][0].commands[0] for handler in router().message.handlers}
    plans = [(each.name, str(each.items_max), str(each.priority)) for each in SHIPPED_PLANS]
    often = {DAY_MS: "daily", 7 * DAY_MS: "weekly"}

    assert {re.findall(r"/(\w+)", row[0])[0] for row in rows("## What a chat writes")} == answered
    assert [row[0].strip("`") for row in rows("## When an item is asked for")] == [each.value for each in Preset]
    assert [(row[0].strip("`"), row[1], row[3]) for row in rows("## Plans")] == plans
    assert [row[2] for row in rows("## Plans")] == [often[each.interval_ms] for each in SHIPPED_PLANS]
    assert {name.lower() for name in re.findall(r"WATCH_[A-Z_]+", PAGE)} <= Settings.model_fields.keys()


def test_the_stats_have_the_parts_that_the_page_shows() -> None:
    shown: dict[str, Any] = json.loads(examples("json")[0])["watches"]

    table = _stats_table({"stats": {}, "total_queued": 0, "watches": shown})

    assert shown.keys() == WatchStatsOut.model_fields.keys()
    assert table.caption == (
        "50,000 items are watched by 1,000 chats: 12 due, 3 failing, 0 digests waiting; prices every 0.5 s"
    )
