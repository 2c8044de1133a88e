"""An aiogram program with the one line; see ``bench.one_line``. Sends its plan all at once, and awaits every call.

Started again after a kill, with the same folder and an empty plan, it waits until nothing waits.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

import tempogram
from tempogram import Tempogram

LOOK_S = 0.1


async def nothing_waits() -> bool:
    return (await tempogram.stats())["total_queued"] == 0


async def main() -> None:
    plan = json.loads(sys.stdin.readline())
    session = AiohttpSession(api=TelegramAPIServer.from_base(plan["url"]))
    bots = {int(number): Bot(token, session=session) for number, token in plan["tokens"].items()}
    async with Tempogram(telegram_api_url=plan["url"], data_dir=sys.argv[1], telegram_global_limit=30):
        print("ready", flush=True)
        sys.stdin.readline()
        sent = await asyncio.gather(
            *(bots[one["bot"]].send_message(one["chat_id"], one["text"]) for one in plan["messages"])
        )
        while not await nothing_waits():  # noqa: ASYNC110 - it tells of no end
            await asyncio.sleep(LOOK_S)
        print(json.dumps({"sent": len(sent)}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
