"""200 handlers wait for one flooded group: does the webhook notice, and does each handler get its answer?

Question    When every place for handlers is taken by one that awaits its message, is an update still taken at once?
            Does each handler get its message, or a handle after the wait? Does a message outlive its handler?
Workload    200 updates from 200 private chats, over 40 connections as Telegram would bring them; each handler awaits
            a message to one and the same group (20 in 4 s here). Ten of them are cancelled after 0.2 s. All the
            while another 100 updates a second, from other chats.
Measured    The time from an update's POST to its 200. What each handler got, in its own words. Arrivals at the
            simulator.
Checked     p99 of the webhook under 50 ms; each handler has its message's number or a handle within the wait of 2 s
            (and a second for the rest); all 200 messages arrive, those of the cancelled too, in the order in which they
            were submitted; no window broken; afterwards an update is answered as before.

    python -m bench.awaited
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.clients.awaiting import GROUP
from bench.harness import Checks, Engine, engine, main, quantile, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator

HANDLERS, IMPATIENT = 200, 10
GROUP_WINDOW_S = 4
EVERY_S = 0.01
CONNECTIONS = 40  # what our setWebhook asks for
WAIT_S, REST_S = 2.0, 1.0
WEBHOOK_S = 0.050


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        async with (
            running_simulator(group_window_ms=GROUP_WINDOW_S * 1_000) as telegram,
            engine(
                telegram.url,
                [token(1)],
                broken=broken,
                BEHAVIOURS="bench.clients.awaiting",
                BENCH_NOTES=str(notes),
                TELEGRAM_GROUP_LIMIT_WINDOW_S=str(GROUP_WINDOW_S),
                TELEGRAM_GLOBAL_LIMIT="0",
                TELEGRAM_RATE_LIMIT_WAIT=str(WAIT_S),
            ) as tempogram,
        ):
            took_s = await flood(tempogram)
            checks.that(await tempogram.drained(within_s=90), "the queue is empty again within 90 s")
            report = await telegram.report()
            calls = accepted(await telegram.calls())
            notes_made = [json.loads(line) for line in notes.read_text().splitlines()]
            checks.that(await answers(tempogram, telegram), "afterwards an update is answered as before")
    judge(checks, took_s, calls, notes_made)
    checks.that(report.broke_no_window, f"no window broken: {report.violations}")


def judge(checks: Checks, took_s: list[float], calls: list[dict[str, Any]], notes_made: list[dict[str, Any]]) -> None:
    ended = {one["ended"]: one for one in notes_made if "ended" in one}
    waits_s = [one["waited_s"] for one in ended.values()]
    at_once = sum(1 for one in ended.values() if (one["message_id"] or 0) > 0)
    later = sum(1 for one in ended.values() if (one["message_id"] or 0) < 0)
    gave_up = [number for number, one in ended.items() if one["message_id"] is None]
    arrived = [int(call["text"].partition("#")[2]) for call in calls if call["chat_id"] == GROUP]
    began = [one["began"] for one in notes_made if "began" in one]
    print(f"  {len(took_s)} updates: 200 after {quantile(took_s, 0.5) * 1e3:.1f} ms at the median,", end=" ")
    print(f"{quantile(took_s, 0.99) * 1e3:.1f} at p99, {max(took_s) * 1e3:.1f} at most")
    print(f"  {at_once} handlers got their message, {later} a handle, {len(gave_up)} gave up;", end=" ")
    print(f"the longest waited {max(waits_s):.2f} s")
    checks.that(quantile(took_s, 0.99) < WEBHOOK_S, f"p99 of the webhook is under {WEBHOOK_S * 1e3:.0f} ms")
    checks.that(len(ended) == HANDLERS, f"{len(ended)} of {HANDLERS} handlers ended")
    checks.that(max(waits_s) <= WAIT_S + REST_S, f"no caller waited longer than {WAIT_S + REST_S} s")
    checks.that(at_once >= 20, f"{at_once} handlers got their message, at least the window's 20")
    checks.that(0 < len(gave_up) <= IMPATIENT, f"{len(gave_up)} handlers were cancelled")
    checks.that(set(gave_up) <= set(arrived), "the messages of the cancelled arrived all the same")
    checks.that(arrived == began, f"{len(arrived)} of {HANDLERS} arrived, in the order in which they were submitted")


async def flood(tempogram: Engine) -> list[float]:
    """Deliver the flood, and other updates until the last handler must have ended; return how long each took."""
    took_s: list[float] = []
    free = asyncio.Semaphore(CONNECTIONS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def deliver(number: int, text: str) -> None:
            async with free:
                started_s = time.monotonic()
                await post(session, tempogram, number, text)
                took_s.append(time.monotonic() - started_s)

        deliveries = []
        for number in range(HANDLERS):
            impatient = " impatient" if number >= HANDLERS - IMPATIENT else ""
            deliveries.append(asyncio.create_task(deliver(number, f"flood {number}{impatient}")))
        until_s, number = time.monotonic() + WAIT_S + REST_S, 1_000
        while time.monotonic() < until_s:
            deliveries.append(asyncio.create_task(deliver(number, "(nothing that is answered)")))
            await asyncio.sleep(EVERY_S)
            number += 1
        await asyncio.gather(*deliveries)
    return took_s


async def answers(tempogram: Engine, telegram: RunningSimulator) -> bool:
    """Tell whether a question in a private chat is answered within the wait."""
    async with aiohttp.ClientSession() as session:
        await post(session, tempogram, 9_999, "flood 9999")
    for _ in range(round((GROUP_WINDOW_S + WAIT_S) / EVERY_S)):
        if any(call["text"] == "flood #9999" for call in accepted(await telegram.calls())):
            return True
        await asyncio.sleep(EVERY_S)
    return False


async def post(session: aiohttp.ClientSession, tempogram: Engine, number: int, text: str) -> None:
    person = {"id": 5_000 + number, "first_name": "Ada", "is_bot": False}
    chat = {"id": 5_000 + number, "type": "private", "first_name": "Ada"}
    message = {"message_id": number + 1, "date": int(time.time()), "chat": chat, "from": person, "text": text}
    update = {"update_id": 1_000 + number, "message": message}
    async with session.post(f"{tempogram.url}/webhook/telegram/{token(1)}", json=update) as response:
        assert response.status == 200, await response.text()


if __name__ == "__main__":
    main("200 handlers wait for one flooded group: does the webhook notice?", bench)
