"""Whether a bot has a behaviour, and the settings it has it with."""

from __future__ import annotations

from typing import Any

from aiogram.filters import Filter
from aiogram.types import TelegramObject

from tempogram.storage.bots import RegisteredBot


class Enabled(Filter):
    """Lets an update through to a behaviour that its bot has, and hands on that behaviour's ``config``."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, event: TelegramObject, registered: RegisteredBot) -> bool | dict[str, Any]:  # noqa: ARG002
        config = registered.behaviours.get(self._name)
        return False if config is None else {"config": config}
