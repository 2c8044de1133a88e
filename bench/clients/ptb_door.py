"""Sends a broadcast with plain python-telegram-bot, without a rate limiter.

It comes on standard input; see ``bench.door``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

from telegram.error import NetworkError, RetryAfter, TelegramError
from telegram.ext import Application

CONNECTIONS = 1_024


def application(plan: dict[str, Any]) -> Any:
    builder = Application.builder().token(plan["token"]).base_url(f"{plan['url']}/bot")
    builder = builder.connection_pool_size(CONNECTIONS).pool_timeout(600)
    return (builder.read_timeout(plan["read_s"]) if plan["read_s"] else builder).build()


async def send(bot: Any, message: dict[str, Any], plan: dict[str, Any], found: Counter[str]) -> None:
    """Send one message; if the plan says so, come back when it is asked to."""
    while True:
        try:
            await bot.send_message(message["chat_id"], message["text"])
        except RetryAfter as error:
            found["throttled"] += 1
            if plan["obeys"]:
                await asyncio.sleep(int(error.retry_after))
                continue
        except NetworkError:
            found["broken"] += 1
        except TelegramError:
            found["refused"] += 1
        else:
            found["sent"] += 1
        return


async def main() -> None:
    plan = json.loads(sys.stdin.readline())
    app = application(plan)
    await app.initialize()
    print("ready", flush=True)
    sys.stdin.readline()
    found = Counter[str]()
    places = asyncio.Semaphore(plan["at_once"] or len(plan["messages"]))

    async def one(message: dict[str, Any]) -> None:
        async with places:
            await send(app.bot, message, plan, found)

    await asyncio.gather(*map(one, plan["messages"]))
    print(json.dumps(found), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    asyncio.run(main())
