"""Runs many Telegram bots from one place, and never sends faster than Telegram allows.

What is installed is this one package. Its folders stand at the top level of the repository and are linked
here: ``tempogram.engine`` is ``engine/``, and so on.

The public names below are imported when they are first used, so ``import tempogram`` costs nothing.
"""

from importlib import import_module
from os import path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempogram.api.core.errors import Conflict, NotFound, NotScheduled
    from tempogram.api.core.ports import Refusal
    from tempogram.api.usecases.submissions import Submitted
    from tempogram.bot.behaviours.once import once_for_fleet
    from tempogram.bot.calls.call_options import options, priority
    from tempogram.bot.embedding.functions import cancel, dead_letters, explain, send, state, stats, submit, submit_many
    from tempogram.bot.embedding.tempogram import Tempogram
    from tempogram.engine.limits.limits import Limit, Limits
    from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
    from tempogram.engine.model.messages import Guarantee, Outgoing, Priority, Status
    from tempogram.storage.ledger.memory_ledger import MemoryLedger

__all__ = [
    "BrokerUnavailable",
    "Conflict",
    "Guarantee",
    "LedgerError",
    "Limit",
    "Limits",
    "MemoryLedger",
    "NotFound",
    "NotScheduled",
    "Outgoing",
    "Priority",
    "Refusal",
    "Status",
    "Submitted",
    "Tempogram",
    "cancel",
    "dead_letters",
    "explain",
    "once_for_fleet",
    "options",
    "priority",
    "send",
    "state",
    "stats",
    "submit",
    "submit_many",
]

HOMES = {
    "BrokerUnavailable": "engine.model.errors",
    "Conflict": "api.core.errors",
    "Guarantee": "engine.model.messages",
    "LedgerError": "engine.model.errors",
    "Limit": "engine.limits.limits",
    "Limits": "engine.limits.limits",
    "MemoryLedger": "storage.ledger.memory_ledger",
    "NotFound": "api.core.errors",
    "NotScheduled": "api.core.errors",
    "Outgoing": "engine.model.messages",
    "Priority": "engine.model.messages",
    "Refusal": "api.core.ports",
    "Status": "engine.model.messages",
    "Submitted": "api.usecases.submissions",
    "Tempogram": "bot.embedding.tempogram",
    "cancel": "bot.embedding.functions",
    "dead_letters": "bot.embedding.functions",
    "explain": "bot.embedding.functions",
    "once_for_fleet": "bot.behaviours.once",
    "options": "bot.calls.call_options",
    "priority": "bot.calls.call_options",
    "send": "bot.embedding.functions",
    "state": "bot.embedding.functions",
    "stats": "bot.embedding.functions",
    "submit": "bot.embedding.functions",
    "submit_many": "bot.embedding.functions",
}

if path.isfile(path.join(path.dirname(__file__), "api")):  # noqa: PTH113, PTH118, PTH120 - pathlib is slow to import
    raise ImportError(
        "tempogram/api is a text file where a link to ../api should be, because Git checked this repository out "
        "without symbolic links: run `git config core.symlinks true` and `git checkout -- tempogram` "
        "(on Windows with developer mode switched on), or install a released wheel"
    )


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
