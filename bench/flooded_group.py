"""A flooded group in front: does it hold up the private chats behind it?

Question    With 60 messages for one group queued first, when has the last of 300 private chats its message?
Workload    60 messages to a group, then one to each of 300 private chats, one bot, all submitted at once over
            HTTP. The group's window is scaled to 20 in 10 s on both sides.
Measured    At the simulator: from the first arrival to the last private one.
Checked     At most 10.8 s (ideal: 320 messages at 30 a second, 10.5 s), no 429, no window broken, all delivered,
            the group's in order.

    python -m bench.flooded_group [--broken] [--roles]
"""

from __future__ import annotations

from bench.harness import Checks, engine, main, token
from tempogram.simulator.client import accepted, running_simulator

GROUP = -1_001_000_000_001
FLOOD, CHATS = 60, 300
WITHIN_S = 10.8


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with (
        running_simulator(group_window_ms=10_000, total_limit=30) as telegram,
        engine(telegram.url, [token(1)], broken=broken, TELEGRAM_GROUP_LIMIT_WINDOW_S="10") as tempogram,
    ):
        flood = [{"bot": "1", "chat_id": GROUP, "text": f"flood #{number}"} for number in range(FLOOD)]
        private = [{"bot": "1", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, CHATS + 1)]
        await tempogram.submit([*flood, *private])
        checks.that(await tempogram.drained(within_s=120), "the queue is empty again within 120 s")
        report = await telegram.report()
        arrivals = accepted(await telegram.calls())
    last_s = (max(call["at_ms"] for call in arrivals if call["chat_id"] > 0) - arrivals[0]["at_ms"]) / 1_000
    print(f"  last private message after {last_s:.2f} s (ideal 10.5)")
    checks.that(len(arrivals) == FLOOD + CHATS, f"{len(arrivals)} of {FLOOD + CHATS} delivered")
    checks.that(report.broke_no_window, f"no window broken: {report.violations}")
    checks.that(report.out_of_order == 0, f"{report.out_of_order} out of order")
    checks.that(last_s <= WITHIN_S, f"last private message after {last_s:.2f} s, at most {WITHIN_S}")


if __name__ == "__main__":
    main("A flooded group in front: does it hold up the private chats behind it?", bench)
