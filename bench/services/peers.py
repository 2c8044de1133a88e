"""Limiters of others and ours beside each other: what a decision costs, and what arrives at the service.

Question    What do ``limits``, ``pyrate-limiter``, ``throttled-py``, ``aiolimiter``, Bottleneck and Tempogram take to
            decide, what does a service see of a burst, and what does a call with several limits take while it waits?
Workload    (1) calls that may begin at once: 100 keys with 100 in 1 s each, one or four limiters a call; (2) 50 calls,
            made together, of a service: at 10 in any second, answered after 50 ms; as the mission sets Bottleneck for
            chat completions (5 at once, 200 ms apart, 10 a second), answered after 1.2 s; and at 10 in any second from
            two processes with one Redis; (3) 5 calls pass a limit of 10 and then one of 2, and 10 more pass only the
            first.
Measured    (1) in memory CPU of a decision, its end included, 5 rounds of 2,000; over Redis the time until it is made,
            200 one after another, and that of a PING by the same library for Redis. (2) when each request has arrived,
            by the strict server, which here refuses nothing. (3) which calls begin.
Not measured  Retries, priorities, a breaker: what only some have.
Checked     Ours breaks no window, no distance and no number of calls at once, keeps the order, takes all places or
            none; every call of every peer arrives. Aimed at: 15 us in memory, 0.3 ms over Redis with four limiters.

    python -m bench.services.peers [--only cost,bursts,several] [--python PATH] [--npm FOLDER]

The others come from ``clients/limiters-requirements.txt`` and ``clients/bottleneck``, into places that are thrown away,
or are in those that are given.
"""

from __future__ import annotations

import argparse
import shutil
from statistics import median
from typing import Any

from bench.harness import Checks, main, quantile
from bench.peers import table
from bench.redis_clients import own_redis
from bench.services.arrivals import Arrivals, takes_all
from bench.services.limiter_peers import Peer, peers
from bench.services.processes import strict_server
from tempogram.simulator.services.counts import least_apart_ms

QUESTION = "Limiters of others and ours: what does a decision cost, and what does a service see?"
CALLS, DECISIONS = 50, 200
ANSWER_MS, CHAT_MS = 50, 1_200
AIM_US, REDIS_AIM_US = 15, 300
COUNT, WINDOW_MS = 10, 1_000
WINDOW = {"count": COUNT, "window_ms": WINDOW_MS}
MISSION = {**WINDOW, "apart_ms": 200, "concurrency": 5}
NONE = "-"
CAVEATS = """\
What favours ours: the server is ours, and counts every window, as the strictest service would; a limiter that counts by
the clock, or refills a bucket, says by its manual that it does otherwise. The order of limits in the last table is the
one in which the others take places too early; in the other order they do not.
What does not favour ours: it keeps calls in a line by priority and arrival, and is given their ends, which costs. Of
the others only Bottleneck does that.
The others by their manuals: `limits` does not wait, so a call sleeps until the time that it says and asks again. It and
`throttled-py` have no window of 200 ms. Calls at once are asyncio's semaphore, except in Bottleneck and ours.
`aiolimiter` and Bottleneck's reservoir let through up to twice the count in a window by design."""


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    options = arguments()
    async with peers(options.python, options.npm) as all_peers:
        print(f"  {', '.join(peer.title for peer in all_peers)}\n")
        if "cost" in options.only:
            await costs(all_peers)
        if "bursts" in options.only:
            await bursts(checks, all_peers)
        if "several" in options.only:
            await several(checks, all_peers)
    print(CAVEATS)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.services.peers")
    parser.add_argument("--only", default="cost,bursts,several", help="parts, by commas")
    parser.add_argument("--python", help="of an environment that has the limiters")
    parser.add_argument("--npm", help="a folder that has Bottleneck, ioredis and peer.mjs")
    return parser.parse_args()


async def costs(all_peers: list[Peer]) -> None:
    rows, missed = [], []
    for peer in all_peers:
        memory = [(await peer.see(plan("decide", limiters=count)))[0]["each_us"] for count in (1, 4)]
        shared = [await over_redis(peer, count) for count in (1, 4)] if has_redis() and peer.is_shared else []
        cells = [f"{median(each):.1f} us ({min(each):.1f} to {max(each):.1f})" for each in memory]
        cells += [
            f"{in_ms(each['each_us'])}, {median(each['each_us']) / median(each['ping_us']):.1f}" for each in shared
        ]
        cells += [in_ms([*shared[0]["ping_us"], *shared[1]["ping_us"]])] if shared else [NONE] * 3
        rows.append([peer.title, *cells])
        if peer.is_ours:
            aims = [(memory[0], AIM_US), (memory[1], AIM_US), *((each["each_us"], REDIS_AIM_US) for each in shared[1:])]
            missed = [f"{median(each):.0f} us instead of {aim}" for each, aim in aims if median(each) > aim]
    head = ["a decision", "memory, one limiter", "memory, four"]
    head += ["Redis, one: p50, p99, PINGs", "Redis, four: p50, p99, PINGs", "a PING: p50, p99"]
    print(f"{table(head, rows)}\n\n  aims of ours: {'missed, ' + '; '.join(missed) if missed else 'met'}\n")


def in_ms(times_us: list[float]) -> str:
    return f"{median(times_us) / 1e3:.2f}, {quantile(times_us, 0.99) / 1e3:.2f} ms"


async def over_redis(peer: Peer, limiters: int) -> dict[str, Any]:
    async with own_redis() as (_, url):
        return (await peer.see(plan("decide", url, limiters=limiters, decisions=DECISIONS)))[0]


async def bursts(checks: Checks, all_peers: list[Peer]) -> None:
    rows = []
    for peer in all_peers:
        cells = [*await window_alone(checks, peer), *await mission(checks, peer)]
        cells += await two_processes(checks, peer) if has_redis() and peer.is_shared else [NONE] * 2
        rows.append([peer.title, *cells])
    head = [f"{CALLS} calls together", "in the first second", "all after", "above 10 in a second", "overtaken"]
    head += ["mission's settings: all after", "above 10 in a second", "under 200 ms apart (least)", "most at once"]
    head += ["two processes, one Redis: all after", "above 10 in a second"]
    print(f"\n{table(head, rows)}\n")


async def window_alone(checks: Checks, peer: Peer) -> list[str]:
    arrived, began_s, took_s = await burst(checks, peer, WINDOW)
    above, overtaken = arrived.above(COUNT, WINDOW_MS), arrived.overtaken()
    if peer.is_ours:
        checks.that(above == 0, f"ours keeps the window ({above} above)")
        checks.that(overtaken == 0, f"ours keeps the order ({overtaken} overtaken)")
    first = sum(at_ms < began_s * 1_000 + WINDOW_MS for at_ms in arrived.at_ms)
    return [str(first), f"{took_s:.2f} s", str(above), str(overtaken)]


async def mission(checks: Checks, peer: Peer) -> list[str]:
    arrived, _, took_s = await burst(checks, peer, MISSION, answer_ms=CHAT_MS)
    above, near, most = arrived.above(COUNT, WINDOW_MS), arrived.too_near(MISSION["apart_ms"]), arrived.most_at_once
    if peer.is_ours:
        kept = above == near == 0 and most <= MISSION["concurrency"]
        checks.that(kept, f"ours keeps the mission's settings ({above} above, {near} too near, {most} at once)")
    return [f"{took_s:.2f} s", str(above), f"{near} ({least_apart_ms(arrived.at_ms):.1f} ms)", str(most)]


async def two_processes(checks: Checks, peer: Peer) -> list[str]:
    async with own_redis() as (_, url):
        arrived, _, took_s = await burst(checks, peer, WINDOW, redis_url=url, processes=2)
    above = arrived.above(COUNT, WINDOW_MS)
    if peer.is_ours:
        checks.that(above == 0, f"ours keeps the window over two processes ({above} above)")
    return [f"{took_s:.2f} s", str(above)]


async def burst(
    checks: Checks,
    peer: Peer,
    limit: dict[str, int],
    *,
    answer_ms: float = ANSWER_MS,
    redis_url: str = "",
    processes: int = 1,
) -> tuple[Arrivals, float, float]:
    """Return what arrived, when the burst began, and how long it took."""
    async with strict_server() as server:
        await server.begin(takes_all(answer_ms))
        words = plan("burst", redis_url, url=server.url, calls=CALLS // processes, limit=limit)
        seen = await peer.see(words, processes=processes)
        arrived = Arrivals.of(await server.report())
    if len(arrived.numbers) != CALLS:
        checks.that(False, f"{len(arrived.numbers)} of {CALLS} calls of {peer.title} arrived")  # noqa: FBT003
    began_s = min(each["began_s"] for each in seen)
    return arrived, began_s, max(each["began_s"] + each["took_s"] for each in seen) - began_s


async def several(checks: Checks, all_peers: list[Peer]) -> None:
    rows = []
    for peer in all_peers:
        begun = (await peer.see(plan("several")))[0]
        if peer.is_ours:
            checks.that(begun == {"both": 2, "one": 8}, f"a call of ours that waits takes nothing ({begun})")
        rows.append([peer.title, str(begun["both"]), str(begun["one"])])
    head = ["5 calls pass a limit of 10 and then one of 2, 10 calls the first alone", "begun of 5", "of 10, if 8 fit"]
    print(f"\n{table(head, rows)}\n")


def plan(work: str, redis_url: str = "", **words: Any) -> dict[str, Any]:
    return {"work": work, "redis_url": redis_url, **words}


def has_redis() -> bool:
    return shutil.which("redis-server") is not None


if __name__ == "__main__":
    main(QUESTION, bench)
