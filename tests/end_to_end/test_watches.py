"""The real program watches the prices of a shop that fails, refuses and is slow, and is killed in the middle."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from aiohttp import web

from examples.fake_shop import FakeShop
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator
from tests import ROOT
from tests.end_to_end.program import Program, program

BEHAVIOURS = "tempogram.bot.behaviours.watches,examples.prices"
EACH_HOUR = {"WATCH_PRESET": "priority", "WATCH_GAP_MS": "50", "WATCH_DEBOUNCE_S": "2"}
TASKS = ("tempogram.watches.prices", "tempogram.watch-digests")
KEYS = list("abcdefghijklmno")
"""Short, as the simulator keeps the beginning of a text; three of them are in it."""


@asynccontextmanager
async def world(tmp_path: Path, shop: FakeShop, **settings: str) -> AsyncIterator[tuple[RunningSimulator, Program]]:
    services = tmp_path / "services.toml"
    services.write_text((ROOT / "examples/prices.toml").read_text())
    async with served(shop) as url, running_simulator() as telegram:
        environment = {
            "SHOP_API": url,
            "SERVICES_FILE": str(services),
            "BEHAVIOURS": BEHAVIOURS,
            **EACH_HOUR,
            **settings,
        }
        async with program(tmp_path, telegram.url, **environment) as tempogram:
            yield telegram, tempogram


@asynccontextmanager
async def served(shop: FakeShop) -> AsyncIterator[str]:
    runner = web.AppRunner(shop.app())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def watch(tempogram: Program, user: int, keys: Sequence[str]) -> None:
    for key in keys:
        wanted = {"bot": 42, "chat_id": user, "source": "prices", "key": key}
        answer = await tempogram.call("PUT", "/watches/subscriptions", json=wanted)
        assert answer == (200, {"changed": True})


async def let_run(tempogram: Program) -> None:
    for task in TASKS:
        status, _ = await tempogram.call("PATCH", f"/tasks/{task}", json={"interval_s": 1})
        assert status == 200


def begin_another_hour(tempogram: Program) -> None:
    """Let each item be due again, as if the last check had been in the hour before."""
    (file,) = (tempogram.directory / "data").glob("*.db")
    with closing(sqlite3.connect(file, timeout=30)) as db, db:
        db.execute("UPDATE watch_items SET attempted_at_ms = attempted_at_ms - 3600000, not_before_ms = 0")


async def until_known(tempogram: Program, items: int) -> None:
    async def are_known() -> bool:
        _, page = await tempogram.call("GET", "/watches/items", params={"source": "prices"})
        return sum(each["fields"] is not None for each in page["items"]) == items

    await tempogram.until(are_known, within_s=30)


async def until_said(telegram: RunningSimulator, user: int, texts: int) -> list[str]:
    async def are_said() -> bool:
        return len(await texts_to(telegram, user)) >= texts

    await Program.until(are_said, within_s=30)
    return await texts_to(telegram, user)


async def texts_to(telegram: RunningSimulator, user: int) -> list[str]:
    calls = accepted(await telegram.calls())
    return [str(call["text"]) for call in calls if str(call["chat_id"]) == str(user)]


async def test_a_change_reaches_each_subscriber_once_in_one_digest(tmp_path: Path) -> None:
    shop = FakeShop(prices=dict.fromkeys(KEYS, 1.0))
    async with world(tmp_path, shop) as (telegram, tempogram):
        anna, ben = [await telegram.add_user(name) for name in ("Anna", "Ben")]
        await telegram.say(anna, "/watch a", bot=42)
        begun = await until_said(telegram, anna, 1)
        await telegram.say(ben, "/watches", bot=42)
        await until_said(telegram, ben, 1)
        await watch(tempogram, ben, KEYS[:3])
        await let_run(tempogram)
        await until_known(tempogram, 3)
        for key in KEYS[:3]:
            shop.prices[key] += 1
        begin_another_hour(tempogram)
        to_anna, to_ben = await until_said(telegram, anna, 2), await until_said(telegram, ben, 2)
        begin_another_hour(tempogram)
        await asyncio.sleep(3)
        later = [await texts_to(telegram, user) for user in (anna, ben)]

    assert begun == ["I watch a: price 1, in_stock yes."]
    assert to_anna[1:] == ["Changed:\n• a: price 1 → 2"]
    assert to_ben[1:] == ["Changed:\n• a: price 1 → 2\n• b: price 1 → 2\n• c: price 1 → 2"]
    assert later == [to_anna, to_ben]


async def test_a_shop_that_fails_refuses_and_is_slow_costs_no_item_and_no_budget(tmp_path: Path) -> None:
    shop = FakeShop(fails=0.3, refuses=0.1, slow_s=0.05)
    async with world(tmp_path, shop) as (telegram, tempogram):
        anna = await telegram.add_user("Anna")
        await telegram.say(anna, "/watches", bot=42)
        await until_said(telegram, anna, 1)
        await watch(tempogram, anna, KEYS)
        await let_run(tempogram)
        await tempogram.until(lambda: _has(shop.statuses[503] >= 3), within_s=30)
        shop.fails = shop.refuses = 0
        await until_known(tempogram, len(KEYS))
        _, metrics = await tempogram.call("GET", "/metrics", params={"format": "json"})

    answered = Counter(key for _, key in shop.calls)
    assert answered.keys() == set(KEYS)
    assert len(shop.calls) <= 100  # what the preset allows in an hour, with what is asked again
    assert any(name.startswith("watch_checks_total") for name in metrics)


async def test_a_kill_loses_no_change_and_says_none_twice(tmp_path: Path) -> None:
    shop = FakeShop(prices=dict.fromkeys(KEYS, 1.0))
    async with world(tmp_path, shop) as (telegram, tempogram):
        users = [await telegram.add_user(f"User {number}") for number in range(5)]
        for number, user in enumerate(users):
            await telegram.say(user, "/watches", bot=42)
            await until_said(telegram, user, 1)
            await watch(tempogram, user, KEYS[3 * number :][:3])
        await let_run(tempogram)
        await until_known(tempogram, len(KEYS))
        shop.prices = dict.fromkeys(KEYS, 2.0)
        calls = len(shop.calls)
        begin_another_hour(tempogram)
        await tempogram.until(lambda: _has(len(shop.calls) >= calls + 4), within_s=30)
        await tempogram.kill()
        tempogram.lose_runs()
        await tempogram.start()
        for user in users:
            await _until_each_is_said(telegram, user)
        await asyncio.sleep(2)
        said = [line for user in users for text in (await texts_to(telegram, user))[1:] for line in text.splitlines()]

    assert sorted(line for line in said if line.startswith("•")) == [f"• {key}: price 1 → 2" for key in KEYS]


async def _until_each_is_said(telegram: RunningSimulator, user: int) -> None:
    async def are_said() -> bool:
        return sum(text.count("•") for text in (await texts_to(telegram, user))[1:]) >= 3

    await Program.until(are_said, within_s=60)


async def _has(value: bool) -> bool:  # noqa: FBT001 - polled
    return value
