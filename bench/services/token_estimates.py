"""How far is a limit of tokens overshot when nothing is known of a call's cost but an estimate that is half wrong?

Question    Four processes call a model with 100,000 tokens a minute; what a call costs is known from its answer, and
            differs from the estimate by up to half of it. How much more than the limit do they use in any minute?
Workload    The minute is scaled to 20 s, with 33,333 tokens in it; calls of 150 to 450 estimated tokens, at most 5 at
            once, without end; the server draws what each costs, from a seed, and answers after 50 to 150 ms.
            Then every call costs half more than expected.
Measured    At a strict server, which counts what a call costs anywhere between its arrival and its answer, and answers
            429 to a call that comes when the limit is reached.
Checked     No 429; the fullest window holds at most one call's tokens more than the limit; 97 % used.
Beside      LiteLLM's Router, usage-based, with the limit of a minute that it knows (it has no other window), if it is
            installed: ``--litellm-python PATH``. Its caveat: it counts minutes by the clock, and promises no more.

    python -m bench.services.token_estimates [--litellm-python PATH]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.harness import Checks, main
from bench.services.processes import Clients, StrictServer, go_first, strict_server
from bench.services.shipped_limits import USED_MIN, busy_machine, first_call, four_processes

PROCESSES = 4
TOKENS, WINDOW_MS = 33_333, 20_000
ESTIMATE = 300
CALL_MAX = 3 * ESTIMATE // 2 * 3 // 2
"""What one call costs at the most: half above an estimate that is itself up to half above the usual one."""

COSTS = {"half too much or too little": (0.5, 1.5), "always half too little": (1.5, 1.5)}

SECONDS = 44.0
CALLERS = 3
"""In each process."""

MANNER = {"hold_ms": [50, 150]}


def rules(tokens: int, window_ms: int) -> list[dict[str, Any]]:
    prefix = "/llm/"
    return [
        {"name": "tokens", "prefix": prefix, "count": tokens, "window_ms": window_ms, "unit": "tokens"},
        {"name": "at once", "prefix": prefix, "concurrency": 5},
    ]


async def estimated(
    server: StrictServer, costs: tuple[float, float], *, seconds: float, window_ms: int = WINDOW_MS
) -> Mapping[str, Any]:
    """Return what the server saw of four processes."""
    await server.begin({"rules": rules(TOKENS, window_ms), "manner": {**MANNER, "costs": costs}, "seed": 3})
    tokens = {"count": TOKENS, "window_ms": window_ms}
    # What tokens allow is measured: calls are neither spaced out nor limited in number.
    changes = {"llm": {"min_time": 0, "operations": {"chat": {"count": 1_000, "tokens": tokens}}}}
    async with four_processes(server) as place:
        assert place.redis is not None
        order = {
            "server": server.url,
            "load": [["llm", "chat", CALLERS]],
            "services": changes,
            "redis": place.redis.url,
            "database": place.database,
            "tokens": ESTIMATE,
        }
        async with Clients(PROCESSES, order):
            await first_call(server)
            await asyncio.sleep(seconds)
            return await server.report()


def judge(checks: Checks, report: Mapping[str, Any], *, is_used: bool = True) -> None:
    tokens, statuses = report["limits"]["tokens"], report["statuses"]
    limit, window_ms = tokens["rule"]["count"], tokens["rule"]["window_ms"]
    most = tokens["most_taken"]
    print(f"  four processes: {statuses}, the fullest {window_ms / 1_000:g} s hold {most:,} of {limit:,} tokens")
    checks.that(statuses.get("429", 0) == 0, f"{statuses.get('429', 0)} calls refused")
    checks.that(most <= limit + CALL_MAX, f"overshoot {max(0, most - limit):,}, one call costs up to {CALL_MAX:,}")
    if is_used:
        used, busy = used_tokens(tokens["units"], limit, window_ms), busy_machine()
        checks.that(used >= USED_MIN or bool(busy), f"{used:.1%} used{', not judged: ' if busy else ''}{busy}")


def used_tokens(units: Sequence[tuple[float, int]], limit: int, window_ms: float) -> float:
    """Return the share of the limit that was used in whole windows from the first call on, between their first calls.

    A window's first call is the first after all of one before was used: a full window, and then nothing for long.
    """
    begins = [units[0][0]]
    for (before_ms, _), (at_ms, _) in pairwise(units):
        if at_ms - begins[-1] >= window_ms and at_ms > before_ms:
            begins.append(at_ms)
    spent = sum(tokens for at_ms, tokens in units if at_ms < begins[-1])
    return spent / limit / ((begins[-1] - begins[0]) / window_ms) if len(begins) > 1 else 0.0


def litellm_python() -> Path | None:
    words = sys.argv[1:]
    if "--litellm-python" in words:
        return Path(words[words.index("--litellm-python") + 1])
    return None


LITELLM = Path(__file__).parents[1] / "clients" / "litellm_router.py"
MINUTE_MS = 60_000


async def beside(server: StrictServer, python: Path, redis_port: int) -> None:
    """Print what LiteLLM's Router does with the same limit; its minute is not scaled."""
    # Its limit is of calls in a minute that it counts by the clock; how many are under way it is not asked.
    await server.begin({"rules": rules(TOKENS, MINUTE_MS)[:1], "manner": MANNER, "seed": 3})
    order = {"server": server.url, "tokens": TOKENS, "estimate": ESTIMATE, "redis_port": redis_port, "callers": CALLERS}
    started = [
        await asyncio.create_subprocess_exec(str(python), str(LITELLM), json.dumps({**order, "seed": number}))
        for number in range(PROCESSES)
    ]
    try:
        await first_call(server, within_s=240)  # LiteLLM takes long to import
        await asyncio.sleep(MINUTE_MS / 1_000)
        report = await server.report()
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    tokens = report["limits"]["tokens"]
    print(
        f"  LiteLLM's Router, four processes over Redis, a minute: {report['statuses']}, the fullest minute holds "
        f"{tokens['most_taken']:,} of {TOKENS:,} tokens, {len(tokens['refused'])} calls refused for tokens"
    )


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    del broken
    go_first()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(strict_server())
        for name, costs in COSTS.items():
            print(f"  {name}:")
            judge(checks, await estimated(server, costs, seconds=SECONDS))
        python = litellm_python()
        if python is None:
            print("  LiteLLM was left out: --litellm-python PATH says where it is installed")
            return
        place = await stack.enter_async_context(four_processes(server))
        assert place.redis is not None
        await beside(server, python, place.redis.port)


if __name__ == "__main__":
    main("How far is a limit of tokens overshot with estimates that are half wrong?", bench)
