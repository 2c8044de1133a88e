"""A strict stand-in for Telegram's Bot API, for tests, benchmarks and a first start without a token.

It serves any Bot API client, keeps true sliding windows, answers 429 as Telegram does, fails on
demand, lets scripted users write, and records every call. It imports nothing else of this program.

Read in this order:

    settings       what can be chosen
    world/         bots, chats and users
    limits/        limits, faults on demand, the record of calls
    methods/       what each Bot API method answers
    server/        HTTP, deliveries to webhooks, and the ``/_sim/`` API
    report         what happened, in numbers
    process        the simulator as a program
    client         starts that program, and speaks to it from a coroutine
    sync_client    the same from plain code
    services/      a strict stand-in for any other service
    pytest_plugin  both as fixtures
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempogram.simulator.limits.faults import Fault
    from tempogram.simulator.report import Report
    from tempogram.simulator.server.server import Simulator
    from tempogram.simulator.settings import SimulatorSettings

__all__ = ["Fault", "Report", "Simulator", "SimulatorSettings"]

HOMES = {"Fault": "limits.faults", "Report": "report", "Simulator": "server.server", "SimulatorSettings": "settings"}


def __getattr__(name: str) -> object:
    """Import on first use: pytest loads the plugin in runs that never start a simulator."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
