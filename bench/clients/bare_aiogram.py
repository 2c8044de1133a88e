"""Sends a plan with nothing but ``await bot.send_message(…)``: no queue, no ledger, no limits; see ``bench.fleet``.

One loop for each bot, all at once; ``uvloop`` as its argument puts uvloop under them. Prints the CPU seconds of the
sending.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer


async def send(bot: Bot, messages: list[tuple[int, str]]) -> None:
    for chat_id, text in messages:
        await bot.send_message(chat_id, text)


async def main() -> None:
    plan = json.loads(sys.stdin.readline())
    async with AiohttpSession(api=TelegramAPIServer.from_base(plan["url"])) as session:
        bots = {number: Bot(token, session=session) for number, token in plan["tokens"].items()}
        await asyncio.gather(*(bot.get_me() for bot in bots.values()))
        await asyncio.gather(
            *(send(bots[number], messages) for number, messages in plan["messages"].items())
        )  # warms up
        started_s = time.process_time()
        await asyncio.gather(*(send(bots[number], messages) for number, messages in plan["messages"].items()))
        print(json.dumps({"cpu_s": time.process_time() - started_s}), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if "uvloop" in sys.argv else None) as runner:
        runner.run(main())
