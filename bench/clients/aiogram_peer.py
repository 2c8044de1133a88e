"""Sends a plan with the loop that many bots have: send, obey a 429, sleep 0.05 s, next; see ``bench.peers``.

One loop for each bot, in the order of the plan. What is urgent goes round the loop, as an answer in a handler would.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramRetryAfter

PAUSE_S = 0.05


async def send(bot: Bot, message: dict[str, Any], start_s: float) -> bool:
    await asyncio.sleep(max(0.0, start_s + message["at_s"] - time.monotonic()))
    while True:
        try:
            await bot.send_message(message["chat_id"], message["text"])
        except TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)
        except TelegramAPIError:
            return False
        else:
            return True


async def loop(bot: Bot, messages: list[dict[str, Any]], start_s: float) -> int:
    sent = 0
    for message in messages:
        sent += await send(bot, message, start_s)
        await asyncio.sleep(PAUSE_S)
    return sent


async def main() -> None:
    plan = json.loads(sys.stdin.readline())
    async with AiohttpSession(api=TelegramAPIServer.from_base(plan["url"])) as session:
        bots = {int(number): Bot(token, session=session) for number, token in plan["tokens"].items()}
        await asyncio.gather(*(bot.get_me() for bot in bots.values()))
        print("ready", flush=True)
        sys.stdin.readline()
        start_s = time.monotonic()
        urgent = [message for message in plan["messages"] if message["urgent"]]
        others = [message for message in plan["messages"] if not message["urgent"]]
        sent = await asyncio.gather(
            *(send(bots[message["bot"]], message, start_s) for message in urgent),
            *(
                loop(bot, [message for message in others if message["bot"] == number], start_s)
                for number, bot in bots.items()
            ),
        )
    print(json.dumps({"sent": sum(sent)}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    asyncio.run(main())
