"""The behaviours that come with the program, in the order in which they are asked."""

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
        "start": "Hello, {first_name}! Whatever you write to me, I say it again.",
        "help": "I know /start and /help. Everything else I say again.",
    },
    echo.NAME: {},
}
"""What a bot does that was added without saying what."""


def router() -> Router:
    """Return a new router over all of them."""
    every = Router(name="behaviours")
    for module in BEHAVIOURS.values():
        every.include_router(module.router())
    return every


def check(behaviours: Mapping[str, Any]) -> None:
    """Refuse settings that no behaviour would understand.

    Raises:
        Refusal: One sentence that names what is wrong.
    """
    for name, config in behaviours.items():
        module = BEHAVIOURS.get(name)
        if module is None:
            raise Refusal(f"{short(name)} is no behaviour; there are {', '.join(BEHAVIOURS)}")
        if not isinstance(config, Mapping):
            raise Refusal(f"the settings of {name} are {short(config)}; they must be an object, {{}} for none")
        module.check(config)
