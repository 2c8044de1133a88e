"""A Dispatcher whose states are in the database."""

from __future__ import annotations

from typing import Any

from aiogram import Dispatcher
from aiogram.fsm.storage.base import BaseStorage
from aiogram.fsm.storage.memory import DisabledEventIsolation

from tempogram.bot.fsm.middleware import StateMiddleware


def new_dispatcher(storage: BaseStorage, **data: Any) -> Dispatcher:
    """Return a Dispatcher with this storage until another one is set: ``dispatcher.fsm.storage = …``.

    Updates come in the order of their key, so aiogram need not isolate them.
    """
    dispatcher = Dispatcher(disable_fsm=True, **data)
    dispatcher.fsm = StateMiddleware(storage=storage, events_isolation=DisabledEventIsolation())
    dispatcher.update.outer_middleware(dispatcher.fsm)
    dispatcher.shutdown.register(dispatcher.fsm.close)
    return dispatcher
