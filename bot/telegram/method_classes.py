"""Aiogram's class of each method of the Bot API, for what reads or checks its parameters."""

from __future__ import annotations

from typing import Any

import aiogram.methods
from aiogram.methods import TelegramMethod

AnyMethod = TelegramMethod[Any]


def every_method() -> dict[str, type[AnyMethod]]:
    """Return every method of aiogram, by Telegram's spelling."""
    classes = (getattr(aiogram.methods, name) for name in aiogram.methods.__all__)
    return {
        each.__api_method__: each
        for each in classes
        if isinstance(each, type) and issubclass(each, TelegramMethod) and each is not TelegramMethod
    }


BY_NAME: dict[str, type[AnyMethod]] = {name.lower(): method for name, method in every_method().items()}
"""Method names are case-insensitive, as at Telegram."""
