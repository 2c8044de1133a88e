"""A strict stand-in for Telegram's Bot API, for tests, benchmarks and a first start without a token.

It serves any Bot API client, keeps true sliding windows, answers 429 as Telegram does, fails on
demand, lets scripted users talk, and records every call. It knows nothing of the rest of the program.

Read in this order: ``settings`` (what can be chosen), ``windows`` (who may send when), ``faults``
(what goes wrong on demand), ``calls`` and ``wire`` (requests in, answers out), ``world`` (bots,
chats, users), ``mailbox`` and ``delivery`` (updates on their way to a bot), ``contents`` and
``methods`` (what each method answers), ``record`` and ``report`` (what happened), ``telegram``
(one call from arrival to answer), ``server`` (HTTP), ``control`` (the ``/_sim/`` API), ``talkers``
(users who talk by themselves), ``process`` and ``client`` (the simulator as a process of its own).
"""

from bot.simulator.faults import Fault
from bot.simulator.report import Report
from bot.simulator.server import Simulator
from bot.simulator.settings import SimulatorSettings

__all__ = ["Fault", "Report", "Simulator", "SimulatorSettings"]
