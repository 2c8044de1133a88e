"""An engine whose bots have many chats, and its broadcasts over the API."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, insert

from bench.harness import Engine, engine, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import chats

ROWS = 10_000
LOOK_S = 0.1


@dataclass
class Casting:
    """The engine, the simulated Telegram, and what broadcasts do there."""

    telegram: RunningSimulator
    tempogram: Engine

    async def started(self, *, bot: int = 1, text: str = "news") -> int:
        broadcast_id = await self.made(bot=bot, text=text)
        await self.do("start", broadcast_id)
        return broadcast_id

    async def made(self, *, bot: int = 1, text: str = "news") -> int:
        body = {"name": "news", "bot": str(bot), "text": text}
        made: int = (await self.tempogram.call("POST", "/broadcasts", body))["id"]
        return made

    async def do(self, what: str, broadcast_id: int) -> dict[str, Any]:
        answer: dict[str, Any] = await self.tempogram.call("POST", f"/broadcasts/{broadcast_id}/{what}", {})
        return answer

    async def shown(self, broadcast_id: int) -> dict[str, Any]:
        shown: dict[str, Any] = await self.tempogram.call("GET", f"/broadcasts/{broadcast_id}")
        return shown

    async def sent(self) -> Counter[tuple[int, int]]:
        """Count what arrived by bot and chat."""
        return Counter((call["bot_id"], call["chat_id"]) for call in accepted(await self.telegram.calls()))

    async def arrived(self) -> int:
        return (await self.telegram.report()).accepted

    async def until(self, holds: Callable[[], Awaitable[bool]], *, within_s: float) -> float:
        """Wait for something, and return how long that took.

        Raises:
            TimeoutError: It did not come in time.
        """
        begun = time.monotonic()
        while not await holds():
            if time.monotonic() > begun + within_s:
                raise TimeoutError
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - begun

    async def until_arrived(self, messages: int, *, within_s: float) -> float:
        async def have() -> bool:
            return await self.arrived() >= messages

        return await self.until(have, within_s=within_s)

    async def until_done(self, broadcast_id: int, *, within_s: float) -> float:
        async def is_done() -> bool:
            return bool((await self.shown(broadcast_id))["state"] == "done")

        return await self.until(is_done, within_s=within_s)

    def memory_mb(self) -> float:
        """Return how much memory the engine has now."""
        (pid,) = self.tempogram.pids.values()
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1_024


@asynccontextmanager
async def casting(*, bots: int = 1, chats: int, bot_limit: int = 30, ceiling: int = 0) -> AsyncIterator[Casting]:
    """Run bots that have so many private chats each, until the block ends."""
    with TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/chats.db"
        await fill(url, range(1, bots + 1), chats)
        async with (
            running_simulator(bot_limit=bot_limit, total_limit=ceiling) as telegram,
            engine(
                telegram.url,
                [token(number) for number in range(1, bots + 1)],
                DATABASE_URL=url,
                TELEGRAM_BOT_LIMIT=str(bot_limit),
                TELEGRAM_GLOBAL_LIMIT=str(ceiling),
            ) as tempogram,
        ):
            yield Casting(telegram, tempogram)


async def fill(url: str, bots: Iterable[int], number: int) -> None:
    """Give bots private chats; each chat has one bot."""
    database = await Database.open(url)
    for bot in bots:
        first = chat_of(bot, 0)
        for start in range(first, first + number, ROWS):
            rows = [_row(bot, chat) for chat in range(start, min(start + ROWS, first + number))]
            await database.write_alone(lambda connection, rows=rows: _insert(connection, rows))  # type: ignore[misc]
    await database.close()


def chat_of(bot: int, number: int) -> int:
    return bot * 10_000_000 + number + 1


def moment(text: str) -> float:
    """Return the seconds since the epoch of a time of the API."""
    return datetime.fromisoformat(text).timestamp()


def options(description: str, **defaults: int) -> argparse.Namespace:
    """Read numbers from the command line."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    known, _ = parser.parse_known_args()
    return known


def _row(bot: int, chat: int) -> dict[str, Any]:
    return {"bot_id": bot, "chat_id": str(chat), "type": "private", "title": f"User {chat}"}


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(chats), rows)
