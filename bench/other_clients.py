"""Other frameworks against the simulator, or through the Bot API door: do they understand it?

Question    Does a Bot API client that knows nothing of us take the simulator, or with ``--door`` Tempogram's Bot API
            door before it, for Telegram?
Workload    python-telegram-bot and grammY, each in a fresh place of its own (a virtual environment, a folder
            from npm): getMe, polling, an answer, a pressed button, an edit, uploads, an album, 429, 403, a migration,
            a 400. A user of the simulator sends /start and presses the button.
Measured    Nothing; each script says line by line what its framework understood, in the framework's own terms.
Checked     Every step was understood, and the simulator saw what the script claims.

    python -m bench.other_clients [--door]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.environments import Environments, environments
from bench.harness import Checks, engine, main
from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.simulator.limits.faults import Fault

SCRIPTS = {"python-telegram-bot": "ptb.py", "grammY": "grammy.mjs"}
STEPS = (
    "getMe",
    "polling: /start came, an answer went",
    "a pressed button",
    "an edit",
    "an upload",
    "the same file by its id",
    "an album of uploads",
    "a 429",
    "a 403",
    "a migration",
    "a 400",
)
TOKEN, USER, UPLOAD_BYTES = "100:other-client", 77, 70_000
WITHIN_S = 60

OWNED = "101:bot-of-the-engine"
"""The client's own bot only sends through the door, and gets its updates itself."""


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - the harness hands it on
    async with environments() as places:
        for name, script in SCRIPTS.items():
            print(f"  {name}")
            async with running_simulator() as telegram, address_of(telegram) as url:
                await one_client(checks, telegram, places, script, url)


@asynccontextmanager
async def address_of(telegram: RunningSimulator) -> AsyncIterator[str]:
    """Give the address that a client is given as Telegram's."""
    if not has_door():
        yield telegram.url
        return
    await telegram.add_bots(OWNED)
    async with engine(telegram.url, [OWNED], BOT_API_DOOR="true", BOT_API_DOOR_WAIT="1") as tempogram:
        yield tempogram.url


def has_door() -> bool:
    return "--door" in sys.argv[1:]


async def one_client(checks: Checks, telegram: RunningSimulator, places: Environments, script: str, url: str) -> None:
    await telegram.call("POST", "bots", {"token": TOKEN, "username": "other_bot"})
    await telegram.add_user("Anna", user_id=USER)
    await telegram.say(USER, "/start", bot=100)
    await telegram.order(
        Fault(kind="429", chat_id=501, retry_after_s=3),
        Fault(kind="blocked", chat_id=502),
        Fault(kind="migrated", chat_id=-503, times=1),
    )
    process = await asyncio.create_subprocess_exec(
        *places.command(script), url, TOKEN, *(["--door"] if has_door() else []), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    understood: list[str] = []
    try:
        async with asyncio.timeout(WITHIN_S):
            while line := (await process.stdout.readline()).decode().strip():
                understood.append(line)
                if line.startswith("polling"):
                    await telegram.call("POST", "press", {"user": USER, "bot": 100, "message_id": 2, "button": "Yes"})
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    for step in STEPS:
        checks.that(step in understood, step)
    checks.that(status == 0, f"the script ended with status {status}")
    await saw(checks, telegram)


async def saw(checks: Checks, telegram: RunningSimulator) -> None:
    """Compare with what the simulator kept."""
    answered = await telegram.call("GET", f"messages?chat={USER}")
    uploaded = await telegram.call("GET", "messages?chat=7")
    report = await telegram.report()
    texts = [message.get("text") for message in answered]
    checks.that(texts == ["/start", "you pressed it"], f"the simulator shows {texts}")
    checks.that(uploaded[0]["document"]["file_size"] == UPLOAD_BYTES, "the upload's bytes arrived")
    times = report.by_code.get("429"), report.by_code.get("403")
    checks.that(times == (1, 1), f"answers by code {report.by_code}")


if __name__ == "__main__":
    main("Other frameworks against the simulator: do they understand it?", bench)
