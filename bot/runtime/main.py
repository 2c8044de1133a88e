"""``tempogram run | api | worker | scheduler``; without a bot token, ``run`` starts a simulated Telegram."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from tempogram.bot.config.data_dir import SIMULATED, database_url, services_file, simulator_noted
from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.descriptors import connections_max, raise_limit
from tempogram.bot.runtime.gc_tuning import GcTuning
from tempogram.bot.runtime.http_server import Server, address_of, listening, server
from tempogram.bot.runtime.lifecycle import running, watch_ownership
from tempogram.bot.runtime.start_wait import ended_by_sigterm, refusing, started
from tempogram.bot.telegram.tokens import bot_id_of
from tempogram.bot.terminal.steps import step
from tempogram.bot.wiring import Program, Storage, app_of, open_storage, program
from tempogram.engine.failover.leader_election import while_leading
from tempogram.engine.ports import SystemClock
from tempogram.storage.database.engines import name_of

if TYPE_CHECKING:
    from tempogram.bot.terminal.conversation import Conversation
    from tempogram.simulator.client import RunningSimulator

SIMULATED_TOKENS = tuple(f"{number}00:simulated-bot-{number}" for number in (1, 2, 3))
GROUPS = ("News desk", "Support", "Chess club")
TALK_EVERY_MS = 700


async def run(
    settings: Settings, role: ProcessRole = ProcessRole.RUN, conversation: Conversation | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, and finish what is under way then. A database that is away is waited for.

    Args:
        settings: Of the process.
        role: What it does.
        conversation: Is shown what happens; None: there is no terminal.
    """
    descriptors = raise_limit()
    with ended_by_sigterm():
        async with AsyncExitStack() as stack:
            port = settings.port if role.takes_in else settings.metrics_port
            listener = stack.enter_context(listening(settings.host, port))
            built, simulator = await started(
                stack,
                lambda parts: _start(parts, settings, role, listener, conversation),
                database=name_of(database_url(settings)),
                meanwhile=lambda: refusing(listener),
            )
            print_addresses(built, listener, simulator)
            others = settings.telegram_connections + settings.bot_api_door * settings.bot_api_door_connections
            serving = server(app_of(built), connections_max=connections_max(descriptors, others=others))
            await _serve(built, listener, serving, simulator)


async def _start(
    stack: AsyncExitStack,
    settings: Settings,
    role: ProcessRole,
    listener: socket.socket,
    conversation: Conversation | None,
) -> tuple[Program, RunningSimulator | None]:
    """Start everything but the HTTP server; the simulator, too, if there is no bot."""
    clock, simulator = SystemClock(), None
    storage = await stack.enter_async_context(open_storage(settings, clock))
    if role is ProcessRole.RUN and await knows_no_bot(settings, storage):
        with step("starts a simulated Telegram"):
            simulator = await stack.enter_async_context(simulated_telegram())
        settings = simulated(settings, simulator, listener)
        storage = await stack.enter_async_context(open_storage(settings, clock))
        stack.enter_context(simulator_noted(settings.data_dir, simulator.url))
    is_simulated = simulator is not None
    built = await stack.enter_async_context(
        program(settings, role, opened=storage, clock=clock, simulated=is_simulated, conversation=conversation)
    )
    GcTuning().install()
    await stack.enter_async_context(running(built))
    return built, simulator


async def _serve(built: Program, listener: socket.socket, serving: Server, simulator: RunningSimulator | None) -> None:
    updating = asyncio.create_task(_run_update_sources(built, serving, simulator))
    watching = asyncio.create_task(_watch_lock(built, serving))
    try:
        await serving.serve(sockets=[listener])
        if watching.done():
            await watching
    finally:
        watching.cancel()
        updating.cancel()
        await asyncio.wait([updating])


async def _watch_lock(built: Program, serving: Server) -> None:
    """End the program when another one takes its database: from then on that one sends."""
    try:
        await watch_ownership(built)
    except Exception:
        serving.end()
        raise


async def _run_update_sources(built: Program, serving: Server, simulator: RunningSimulator | None) -> None:
    await serving.ready.wait()
    if built.context.role.update_sources:
        await while_leading(built.update_sources_lock, partial(_do_exclusive_work, built, simulator))


async def _do_exclusive_work(built: Program, simulator: RunningSimulator | None) -> None:
    """Run the update sources, which one process does for all."""
    updates = built.front.updates
    updates.update_sources.start()
    try:
        async with updates.dispatchers.hooks_of_fleet():
            await updates.update_sources.wait_ready()
            if simulator is not None:
                await simulator.talk(mean_interval_ms=TALK_EVERY_MS, users=6)
            await asyncio.Event().wait()
    finally:
        await updates.update_sources.stop()


async def knows_no_bot(settings: Settings, storage: Storage) -> bool:
    """Tell whether there is no bot to run, and none is to come through the Bot API door."""
    return not settings.bot_tokens and not settings.bot_api_door and not await storage.bots.all()


@asynccontextmanager
async def simulated_telegram() -> AsyncIterator[RunningSimulator]:
    """Start a simulated Telegram with a few bots, groups and users."""
    from tempogram.simulator.client import running_simulator  # aiohttp, which no other role needs for itself

    async with running_simulator() as simulator:
        bot_ids = await simulator.add_bots(*SIMULATED_TOKENS)
        for title in GROUPS:
            await simulator.add_chat("supergroup", title, bots=bot_ids)
        yield simulator


def simulated(settings: Settings, simulator: RunningSimulator, listener: socket.socket) -> Settings:
    """Return settings for the simulated Telegram, with a database of its own beside the real one."""
    data_dir = settings.data_dir / SIMULATED
    return settings.model_copy(
        update={
            "telegram_api_url": simulator.url,
            "telegram_proxy": SecretStr(""),
            "bot_tokens": tuple(SecretStr(token) for token in SIMULATED_TOKENS),
            "secret_key": SecretStr("") if (data_dir / "secret_key").exists() else settings.secret_key,
            "public_url": address_of(listener),
            "data_dir": data_dir,
            "services_file": services_file(settings),
            "redis_url": "",
            "database_url": "",  # never the real database: its messages would be marked as sent
        }
    )


def print_addresses(built: Program, listener: socket.socket, simulator: RunningSimulator | None) -> None:
    """Print the addresses of the API and, on the first start, the admin token; the address stays on a terminal."""
    address, conversation = address_of(listener), built.context.conversation
    show = _print if conversation is None else conversation.say
    for line in address_lines(built, address, simulator):
        show(line)
    if conversation is not None:
        registry = built.telegram.bots.registry
        more = [] if simulator is None else [f"  simulated Telegram {simulator.url} · {spoken_to(SIMULATED_TOKENS[0])}"]
        conversation.pin(address, lambda: len(registry.bot_ids), more)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def address_lines(built: Program, address: str, simulator: RunningSimulator | None) -> Iterator[str]:
    if built.context.role is not ProcessRole.RUN:
        yield f"Tempogram's {built.context.role.command} is at {address}. Ctrl-C ends it."
        return
    token_file = built.context.settings.data_dir / "admin_token"
    bots = len(built.telegram.bots.registry.bot_ids)
    yield f"Tempogram runs {bots} bot{'s' * (bots != 1)} at {address}. Ctrl-C ends it."
    if not built.context.settings.bot_tokens or simulator is not None:
        yield from without_tokens_lines(bots, simulator)
    if built.access.admin_token.is_new:
        yield f"  admin token  {built.access.admin_token.value}  (shown once, stored in {token_file})"
    given = "$ADMIN_TOKEN" if built.context.settings.admin_token.get_secret_value() else f"$(cat {token_file})"
    yield f'  the queue    curl -H "Authorization: Bearer {given}" {address}/queue/stats'
    if built.front.door is not None:
        yield f"  the Bot API  {address}/bot<token>/<method>, for any client that is given this address"
    yield f'  metrics      curl -H "Authorization: Bearer {given}" {address}/metrics'
    yield f'  the API      curl -H "Authorization: Bearer {given}" {address}/openapi.json'


def without_tokens_lines(bots: int, simulator: RunningSimulator | None) -> Iterator[str]:
    """Say what runs in a program for which no ``BOT_TOKENS`` is set."""
    if simulator is not None:
        yield f"  No BOT_TOKENS is set: a simulated Telegram runs at {simulator.url}, with users that write."
        yield f"  its report   curl {simulator.url}/_sim/report"
        yield f"  speak to it  {spoken_to(SIMULATED_TOKENS[0])}"
    elif bots:
        yield "  No BOT_TOKENS is set: these are the bots of its database. Another DATA_DIR starts a simulated one."


def spoken_to(token: str) -> str:
    """Return the command that speaks to a simulated bot, as this process was started itself."""
    return f'{started_as(sys.argv[0], shutil.which("tempogram"))} say {bot_id_of(token)} "/start"'


def started_as(path: str, on_path: str | None) -> str:
    """Return what a user types for ``tempogram``.

    Args:
        path: Of the script that runs; with ``python -m`` it is a module's.
        on_path: Where a shell finds ``tempogram``, if it does.
    """
    if Path(path).name == "tempogram":
        return "tempogram" if path == on_path else shlex.quote(path)
    is_ours = on_path is not None and Path(on_path).parent == Path(sys.executable).parent
    return "tempogram" if is_ours else f"{shlex.quote(sys.executable)} -m tempogram"
