"""A user's behaviour for ``bench.awaited``: a user who writes ``flood 7`` makes the bot write to the group and wait.

Each handler writes one line when it begins to wait and one when it is done, as JSON, to the file that
``BENCH_NOTES`` names. ``flood 7 impatient`` gives up after 0.2 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO

from aiogram import F, Router
from aiogram.types import Message

GROUP = -1_001_000_000_001
IMPATIENT_S = 0.2

router = Router(name="awaiting")


@cache
def notes() -> TextIO:
    return Path(os.environ["BENCH_NOTES"]).open("a", buffering=1, encoding="utf-8")


@router.message(F.text.startswith("flood"))
async def flood(message: Message) -> None:
    assert message.bot is not None
    number = int(str(message.text).split()[1])
    notes().write(json.dumps({"began": number}) + "\n")
    started_s = time.monotonic()
    message_id: int | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(IMPATIENT_S if "impatient" in str(message.text) else None):
            message_id = (await message.bot.send_message(GROUP, f"flood #{number}")).message_id
    notes().write(
        json.dumps({"ended": number, "message_id": message_id, "waited_s": time.monotonic() - started_s}) + "\n"
    )


@router.message()
async def nothing(_: Message) -> None:
    """Say nothing to anything else."""
