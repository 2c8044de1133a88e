"""The filter for updates of bots that have a behaviour."""

from __future__ import annotations

from typing import Any

from aiogram.filters import Filter
from aiogram.types import TelegramObject

from tempogram.storage.bots import RegisteredBot


class Enabled(Filter):
    """Matches updates of bots that have the behaviour, and passes on its ``config``."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, event: TelegramObject, registered: RegisteredBot) -> bool | dict[str, Any]:  # noqa: ARG002
        config = registered.behaviours.get(self._name)
        return False if config is None else {"config": config}
