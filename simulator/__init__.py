"""A strict stand-in for Telegram's Bot API, for tests, benchmarks and a first start without a token.

It serves any Bot API client, keeps true sliding windows, answers 429 as Telegram does, fails on
demand, lets scripted users talk, and records every call. It knows nothing of the rest of the program.

Read in this order: ``settings`` (what can be chosen), ``windows`` (who may send when), ``faults`` (what
goes wrong on demand), ``calls`` and ``wire`` (requests in, answers out), ``world`` (bots, chats,
users), ``messages`` (what the chats show), ``files`` (what bots uploaded), ``mailbox`` and ``delivery``
(updates on their way to a bot), ``contents``, ``looks`` and ``methods`` (what each method answers),
``record`` and ``report`` (what happened), ``telegram`` (one call from arrival to answer), ``server``
(HTTP), ``control`` (the ``/_sim/`` API), ``talkers`` (users who talk by themselves), ``process`` and
``client`` (the simulator as a process of its own), ``remote`` and ``pytest_plugin`` (the simulator in
anybody's tests).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempogram.simulator.faults import Fault
    from tempogram.simulator.report import Report
    from tempogram.simulator.server import Simulator
    from tempogram.simulator.settings import SimulatorSettings

__all__ = ["Fault", "Report", "Simulator", "SimulatorSettings"]

HOMES = {"Fault": "faults", "Report": "report", "Simulator": "server", "SimulatorSettings": "settings"}


def __getattr__(name: str) -> object:
    """Import on first use: pytest loads the plugin beside this in runs that never serve a simulator."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
