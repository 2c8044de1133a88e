"""What does a limiter do when another client eats half of the same budget?

Question    A client that knows nothing of ours uses half of a service's budget. With what the service says in its
            answers, how often is ours refused? And without any word of it, beside other limiters?
Workload    The service allows 20 calls in each window of 2 s. Ours calls as often as that allows, 100 ms apart. Another
            client makes ten calls in each window, 200 ms apart, which are counted and never refused. Six windows for
            each form of headers; then as many without any, and ``pyrate-limiter``, ``aiolimiter`` and ``limits`` on the
            same server, each as its manual says, if they are installed: ``--peers-python PATH`` says where.
Measured    At a strict server: our calls that it refused. A surprise is a window whose budget came to its end while we
            still called; it takes one refused call to know.
Checked     With headers at most one refused call in all windows; without, at most one for each surprise.
Favours us  The peers have no word for an answer: they cannot know of a 429.

    python -m bench.services.foreign_client [--peers-python PATH]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from bench.harness import Checks, main
from bench.services.processes import Clients, StrictServer, go_first, running, strict_server
from bench.services.shipped_limits import first_call

COUNT, WINDOW_MS, APART_MS = 20, 2_000, 100
FOREIGN_S = 0.2
WINDOWS = 6
FORMS = ("ratelimit", "github", "x", "openai")
PEER = str(Path(__file__).parents[1] / "clients" / "limiter_peer.py")
PEERS = ("pyrate", "aiolimiter", "limits")

SHOP = {
    "concurrency": 5,
    "apart_ms": APART_MS,
    "delay_s": 0.25,
    "breaker": {"failures": 0},
    "operations": {"read": {"count": COUNT, "window_ms": WINDOW_MS, "idempotent": True}},
}


async def shared(
    server: StrictServer, form: str, client: Callable[[], Awaitable[Any]], *, windows: int = WINDOWS
) -> Mapping[str, Any]:
    """Let the foreign client call beside one of ours, and return what the server saw."""
    rule = {"name": "budget", "prefix": "/shop/", "count": COUNT, "window_ms": WINDOW_MS, "is_fixed": True}
    await server.begin({"rules": [rule], "manner": {"form": form, "favoured": "foreign", "counted": "arrival"}})
    calling = asyncio.ensure_future(client())
    try:
        await first_call(server)
        async with httpx.AsyncClient(base_url=server.url, headers={"x-client": "foreign"}) as foreign:
            for _ in range(round(windows * WINDOW_MS / 1_000 / FOREIGN_S)):
                await asyncio.gather(foreign.get("/shop/read"), asyncio.sleep(FOREIGN_S))
        return await server.report()
    finally:
        calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling


def ours(server: StrictServer) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        order = {"server": server.url, "load": [["shop", "read", 5]], "services": {"shop": SHOP}}
        async with Clients(1, order):
            await asyncio.Event().wait()

    return run


def peer(server: StrictServer, name: str, python: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        async with running(PEER, name, server.url, python=python) as process:
            await process.wait()

    return run


def counted(report: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return our calls, those refused, and in how many windows any was."""
    ours = [(at_ms, status) for client, at_ms, status in report["answered"] if client != "foreign"]
    refused = [at_ms for at_ms, status in ours if status == 429]
    return len(ours), len(refused), len({at_ms // WINDOW_MS for at_ms in refused})


def judge(checks: Checks, form: str, report: Mapping[str, Any]) -> None:
    calls, refused, surprises = counted(report)
    if form == "none":
        checks.that(0 < refused <= surprises, f"nothing said: {refused} of {calls} refused, {surprises} surprises")
    else:
        checks.that(refused <= 1, f"{form}: {refused} of {calls} refused")


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    del broken
    go_first()
    async with strict_server() as server:
        for form in (*FORMS, "none"):
            judge(checks, form, await shared(server, form, ours(server)))
        for name in PEERS:
            await beside(server, name, peers_python())


async def beside(server: StrictServer, name: str, python: str) -> None:
    """Print what a peer does where nothing is said."""
    if not await is_installed(name, python):
        print(f"  {name} was left out: --peers-python PATH says where it is installed")
        return
    calls, refused, surprises = counted(await shared(server, "none", peer(server, name, python)))
    print(f"  {name}, nothing said: {refused} of {calls} refused, {surprises} surprises")


async def is_installed(name: str, python: str) -> bool:
    module = {"pyrate": "pyrate_limiter"}.get(name, name)
    looking = await asyncio.create_subprocess_exec(
        python, "-c", f"import {module}, httpx", stderr=asyncio.subprocess.DEVNULL
    )
    return await looking.wait() == 0


def peers_python() -> str:
    words = sys.argv[1:]
    return words[words.index("--peers-python") + 1] if "--peers-python" in words else sys.executable


if __name__ == "__main__":
    main("What does a limiter do when another client eats half of the same budget?", bench)
