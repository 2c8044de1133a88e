"""Runs many Telegram bots from one place, and never sends faster than Telegram allows.

What is installed is this one package. Its folders stand at the top level of the repository and are linked
here: ``tempogram.engine`` is ``engine/``, and so on.

The public names below are imported when they are first used, so ``import tempogram`` costs nothing.
"""

from importlib import import_module
from os import path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempogram.bot.behaviours.once import once_for_fleet
    from tempogram.bot.embedding.tempogram import Tempogram
    from tempogram.engine.limits.limits import Limit, Limits
    from tempogram.engine.model.messages import Guarantee, Outgoing, Priority, Status
    from tempogram.storage.ledger.memory_ledger import MemoryLedger

__all__ = [
    "Guarantee",
    "Limit",
    "Limits",
    "MemoryLedger",
    "Outgoing",
    "Priority",
    "Status",
    "Tempogram",
    "once_for_fleet",
]

HOMES = {
    "Guarantee": "engine.model.messages",
    "Limit": "engine.limits.limits",
    "Limits": "engine.limits.limits",
    "MemoryLedger": "storage.ledger.memory_ledger",
    "Outgoing": "engine.model.messages",
    "Priority": "engine.model.messages",
    "Status": "engine.model.messages",
    "Tempogram": "bot.embedding.tempogram",
    "once_for_fleet": "bot.behaviours.once",
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
