"""What does the queue of one process cost, with a short and with a long backlog?

Question    Does the memory broker keep up with a thousand bots at Telegram's limit, 30,000 messages a second, and
            as well with a million messages waiting as with a thousand? What does one that waits take up, and for how
            long does one call keep others waiting?
Workload    1,000 bots x 100 chats (80 private, 20 groups), all windows on, and a ceiling of 30,000 a second. A backlog
            of 1,000 or of 1,000,000 messages; then as many come as go, in batches of 50: lease, admit, and settle what
            was leased 50 ms before. A virtual clock goes as fast as the windows allow. 7 rounds of 40,000 messages at
            each size, after one that is not counted.
Measured    Wall and CPU time in the three verbs; of any one call the longest, while the backlog grows and after it,
            garbage collection included, set as the program sets it (``bot.runtime.gc_tuning``); resident memory over
            the size of the backlog, the messages themselves (with 90 bytes of parameters that all share) included.
Not measured  The ledger, HTTP, the event loop: no verb of this broker ever waits.
Checked     No bot, no chat and no ceiling is over its limit in any window of the virtual time, what went in came out or
            waits, and a million costs at most 1.5 times as much as a thousand. Aimed at: 30,000 a second at both.

    python -m bench.memory_broker
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench.harness import Checks, main, spread
from tempogram.bot.runtime.gc_tuning import GcTuning
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import PRIORITIES, Done, Lease, Outgoing, Settlement

T = TypeVar("T")
BOTS, PRIVATE, GROUPS = 1_000, 80, 20
CHATS = PRIVATE + GROUPS
SIZES, ROUNDS, MESSAGES, BATCH = (1_000, 1_000_000), 7, 40_000, 50
RATE, LATENCY_MS = 30_000, 50
LIMITS = Limits(ceiling=Limit(RATE, 1_000), chat_cap=0, bot_cap=0)
PARAMS = b'{"text":"' + b"x" * 80 + b'"}'


@dataclass
class Traffic:
    """A broker with a backlog, and a virtual clock."""

    size: int
    now_us: int = 1_700_000_000_000_000
    made: int = 0
    sent: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    longest_s: float = 0.0
    under_way: deque[tuple[int, tuple[Lease, ...]]] = field(default_factory=deque)
    counted_ms: list[tuple[int, Outgoing]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(LIMITS, clock=self.now_ms, lease_ms=30_000)

    def now_ms(self) -> int:
        return self.now_us // 1_000

    async def fill(self) -> None:
        while self.made < self.size:
            await self._admit(min(BATCH, self.size - self.made))

    async def round(self, messages: int) -> None:
        """Let as many come as go, until so many have gone."""
        end = self.sent + messages
        while self.sent < end:
            leased = await self._timed(self.broker.lease(worker_id="w", slots=BATCH))
            self.sent += len(leased.leases)
            if leased.leases:
                self.under_way.append((self.now_us + LATENCY_MS * 1_000, leased.leases))
                await self._admit(len(leased.leases))
            self.now_us += BATCH * 1_000_000 // RATE
            while self.under_way and self.under_way[0][0] <= self.now_us:
                await self._settle(self.under_way.popleft()[1])

    async def _admit(self, count: int) -> None:
        messages = [self._message() for _ in range(count)]
        await self._timed(self.broker.admit(messages, worker_id="w", slots=0))

    async def _settle(self, leases: Iterable[Lease]) -> None:
        self.counted_ms += [(self.now_ms(), lease.message) for lease in leases]
        await self._timed(self.broker.settle([Settlement(lease, Done(), 0) for lease in leases]))

    async def _timed(self, verb: Awaitable[T]) -> T:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        answer = await verb
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        self.cpu_s += cpu_s
        self.wall_s += wall_s
        self.longest_s = max(self.longest_s, wall_s)
        return answer

    def _message(self) -> Outgoing:
        bot, chat = self.made % BOTS, self.made // BOTS % CHATS
        self.made += 1
        return Outgoing(
            id=f"{self.made:024}",
            bot_id=bot + 1,
            chat_id=chat + 1 if chat < PRIVATE else -chat,
            method="sendMessage",
            params=PARAMS,
            priority=PRIORITIES[chat % len(PRIORITIES)],
        )


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    GcTuning().install()
    each_us = {size: await measured(checks, size) for size in SIZES}
    flat = each_us[SIZES[-1]] / each_us[SIZES[0]]
    checks.that(flat <= 1.5, f"{SIZES[-1]:,} waiting cost {flat:.2f} times as much as {SIZES[0]:,}")


async def measured(checks: Checks, size: int) -> float:
    """Print what a size costs, and return the CPU microseconds of a message."""
    resident = resident_bytes()
    traffic = Traffic(size)
    await traffic.fill()
    taken, filling_s = resident_bytes() - resident, traffic.longest_s
    await traffic.round(MESSAGES)
    traffic.longest_s = 0.0
    rates, cpu_us = [], []
    for _ in range(ROUNDS):
        sent, wall_s, cpu_s = traffic.sent, traffic.wall_s, traffic.cpu_s
        await traffic.round(MESSAGES)
        rates.append((traffic.sent - sent) / (traffic.wall_s - wall_s))
        cpu_us.append((traffic.cpu_s - cpu_s) / (traffic.sent - sent) * 1e6)
    print(f"  {size:,} waiting: {spread(rates, '/s', digits=0)}; CPU {spread(cpu_us, 'us', digits=1)}")
    print(
        f"  longest call {traffic.longest_s * 1_000:.0f} ms, {filling_s * 1_000:.0f} ms while the backlog grew", end=""
    )
    print(f"; {taken / size:.0f} bytes a message" if size >= 100_000 else "")
    broke = broken_limit(traffic.counted_ms)
    checks.that(not broke, f"no window broken {broke}")
    open_now = sum((await traffic.broker.stats()).waiting.values())
    settled = len(traffic.counted_ms)
    checks.that(traffic.made == settled + open_now, f"{traffic.made:,} in, {settled:,} out, {open_now:,} open")
    return median(cpu_us)


def broken_limit(counted_ms: Iterable[tuple[int, Outgoing]]) -> str:
    """Return which limit was broken, '' if none: the place so many after another begins a window later at least."""
    times: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    limits: dict[tuple[object, ...], Limit] = {}
    for at_ms, message in counted_ms:
        bot_id, chat_id = message.bot_id, message.chat_id
        of_chat = LIMITS.of_chat(chat_id) or LIMITS.group
        mine: tuple[tuple[object, ...], ...] = ((), (bot_id,), (bot_id, chat_id))
        for key, limit in zip(mine, (LIMITS.ceiling, LIMITS.bot, of_chat), strict=True):
            times[key].append(at_ms)
            limits[key] = limit
    for key, limit in limits.items():
        after = times[key][limit.burst or limit.count :]
        if any(at_ms - since_ms < limit.window_ms for since_ms, at_ms in zip(times[key], after, strict=False)):
            return f"of {key}"
    return ""


def resident_bytes() -> int:
    """Return the memory of this process that is in use (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main("What does the queue of one process cost, with a short and with a long backlog?", bench)
