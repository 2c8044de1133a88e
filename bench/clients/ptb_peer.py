"""Sends a plan with python-telegram-bot's AIORateLimiter; it comes on standard input, see ``bench.peers``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from telegram.error import TelegramError
from telegram.ext import AIORateLimiter, Application

# Its default is 0, which loses every message that meets a 429; this is generous.
MAX_RETRIES = 20
CONNECTIONS = 512


def application(plan: dict[str, Any], token: str) -> Any:
    limiter = AIORateLimiter(group_time_period=plan["group_window_s"], max_retries=MAX_RETRIES)
    builder = Application.builder().token(token).base_url(f"{plan['url']}/bot").rate_limiter(limiter)
    return builder.connection_pool_size(CONNECTIONS).pool_timeout(600).build()


async def send(bot: Any, message: dict[str, Any], start_s: float) -> bool:
    await asyncio.sleep(max(0.0, start_s + message["at_s"] - time.monotonic()))
    try:
        await bot.send_message(message["chat_id"], message["text"])
    except TelegramError:
        return False
    return True


async def main() -> None:
    plan = json.loads(sys.stdin.readline())
    apps = {int(number): application(plan, token) for number, token in plan["tokens"].items()}
    await asyncio.gather(*(app.initialize() for app in apps.values()))
    print("ready", flush=True)
    sys.stdin.readline()
    start_s = time.monotonic()
    sent = await asyncio.gather(*(send(apps[message["bot"]].bot, message, start_s) for message in plan["messages"]))
    print(json.dumps({"sent": sum(sent)}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    asyncio.run(main())
