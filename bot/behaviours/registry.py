"""The bundled behaviours, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiogram import Router

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours import commands, echo, replies

BEHAVIOURS = {module.NAME: module for module in (commands, replies, echo)}

DEFAULT: Mapping[str, Any] = {
    commands.NAME: {
        "start": "Hello, {first_name}! Whatever you write to me, I repeat.",
        "help": "I know /start and /help. I repeat everything else.",
    },
    echo.NAME: {},
}
"""The behaviours of a bot that was added without any."""


def router() -> Router:
    """Return a new router that includes all of them."""
    every = Router(name="behaviours")
    for module in BEHAVIOURS.values():
        every.include_router(module.router())
    return every


def check(behaviours: Mapping[str, Any]) -> None:
    """Refuse settings that are not valid for any behaviour.

    Raises:
        Refusal: One sentence that names what is wrong.
    """
    for name, config in behaviours.items():
        module = BEHAVIOURS.get(name)
        if module is None:
            raise Refusal(f"{short(name)} is not a behaviour; choose from {', '.join(BEHAVIOURS)}")
        if not isinstance(config, Mapping):
            raise Refusal(f"the settings of {name} are {short(config)}; they must be an object, {{}} for none")
        module.check(config)
