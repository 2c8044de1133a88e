"""Runs many Telegram bots from one place, and never sends faster than Telegram allows.

What is installed is this one package. Its folders stand at the top level of the repository and are linked
here: ``tempogram.engine`` is ``engine/``, and so on.

The public names below are imported when they are first used, so ``import tempogram`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempogram.engine.limits.limits import Limit, Limits
    from tempogram.engine.model.messages import Guarantee, Outgoing, Priority, Status

__all__ = ["Guarantee", "Limit", "Limits", "Outgoing", "Priority", "Status"]

HOMES = {
    "Guarantee": "engine.model.messages",
    "Limit": "engine.limits.limits",
    "Limits": "engine.limits.limits",
    "Outgoing": "engine.model.messages",
    "Priority": "engine.model.messages",
    "Status": "engine.model.messages",
}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
