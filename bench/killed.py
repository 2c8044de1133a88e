"""kill -9: what is lost, what is sent twice, and is a window broken over the restart?

Question    The engine is killed in the middle of the first benchmark, when a group has just got its 20; then
            it is started again and nothing is submitted. And: it is killed between a webhook's 200 and its handler.
Workload    20 messages to a group and one to each of 600 private chats; killed 8 s after the start. Then 20
            updates by webhook, killed as soon as the last has its 200.
Measured    At the simulator.
Checked     0 lost; sent twice at most what was in flight (the engine's 100 connections; in fact a few); no window
            broken, over the restart either; every update answered, once.

    python -m bench.killed [--broken] [--roles]
"""

from __future__ import annotations

import asyncio

import aiohttp

from bench.harness import ECHO, Checks, Engine, engine, main, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator

GROUP = -1_001_000_000_001
CHATS, FLOOD, UPDATES = 600, 40, 20
IN_FLIGHT_MAX = 100
KILLED_AT_S = 8.0


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with running_simulator(group_window_ms=10_000, total_limit=30) as telegram:
        async with engine(telegram.url, [token(1)], broken=broken, TELEGRAM_GROUP_LIMIT_WINDOW_S="10") as tempogram:
            await killed_while_sending(checks, telegram, tempogram)
        await telegram.reset()
        async with engine(telegram.url, [token(1)], broken=broken, BEHAVIOURS=ECHO) as tempogram:
            await killed_before_handling(checks, telegram, tempogram)


async def killed_while_sending(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    private = [{"bot": "1", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, CHATS + 1)]
    await tempogram.submit(private)
    await asyncio.sleep(KILLED_AT_S - 2)
    # High, so that the group gets its 20 within these two seconds; the other 20 wait for the next window.
    group = [{"bot": "1", "chat_id": GROUP, "text": f"group #{n}", "priority": "high"} for n in range(FLOOD)]
    await tempogram.submit(group)
    await asyncio.sleep(2)
    await tempogram.kill()
    before = len(accepted(await telegram.calls()))
    await tempogram.start()
    checks.that(await tempogram.drained(within_s=90), "the queue is empty again within 90 s")
    report = await telegram.report()
    calls = accepted(await telegram.calls())
    texts = {call["text"] for call in calls}
    in_group = sum(call["chat_id"] == GROUP for call in calls[:before])
    print(f"  killed after {before} of {CHATS + FLOOD} ({in_group} in the group); {len(calls)} arrived in the end")
    checks.that(in_group == 20, f"the group had just got its 20: {in_group}")
    checks.that(len(texts) == CHATS + FLOOD, f"{CHATS + FLOOD - len(texts)} lost")
    checks.that(report.duplicates <= IN_FLIGHT_MAX, f"{report.duplicates} sent twice, at most {IN_FLIGHT_MAX}")
    checks.that(report.broke_no_window, f"no window broken, over the restart either: {report.violations}")
    checks.that(report.out_of_order == 0, f"{report.out_of_order} out of order")


async def killed_before_handling(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    async with aiohttp.ClientSession() as session:
        # From one chat, one handler after another: when the last is accepted, most still wait.
        await asyncio.gather(*(deliver(session, tempogram, number) for number in range(UPDATES)))
    await tempogram.kill()
    before = len(accepted(await telegram.calls()))
    await tempogram.start()
    checks.that(await tempogram.drained(within_s=60), "the queue is empty again within 60 s")
    await asyncio.sleep(1)
    checks.that(await tempogram.drained(within_s=60), "the queue is empty again within 60 s")
    answers = [call["text"] for call in accepted(await telegram.calls())]
    print(f"  killed after {before} answers to {UPDATES} updates")
    checks.that(before < UPDATES, "killed before everything was answered")
    checks.that(set(answers) == {f"question {n}" for n in range(UPDATES)}, f"{len(set(answers))} of {UPDATES} answered")
    checks.that(len(answers) - len(set(answers)) <= 1, f"{len(answers) - len(set(answers))} answered twice")


async def deliver(session: aiohttp.ClientSession, tempogram: Engine, number: int) -> None:
    update = {
        "update_id": 1_000 + number,
        "message": {"message_id": number + 1, "chat": {"id": 77}, "from": {"id": 77}, "text": f"question {number}"},
    }
    async with session.post(f"{tempogram.url}/webhook/telegram/{token(1)}", json=update) as response:
        assert response.status == 200, await response.text()


if __name__ == "__main__":
    main("kill -9: what is lost, what is sent twice, is a window broken over the restart?", bench)
