"""aiogram's FSM middleware, which reads the state of an update only if something could ask for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.dispatcher.event.handler import CallableObject
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.middlewares.error import ErrorsMiddleware
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.fsm.middleware import FSMContextMiddleware
from aiogram.types import TelegramObject, Update

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class StateMiddleware(FSMContextMiddleware):
    """See ``FSMContextMiddleware``. Without anything that takes ``raw_state``, an update costs no read.

    ``state`` is there in any case; a handler that asks it reads then.
    """

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        assert isinstance(event, Update), "it is a middleware of updates"  # noqa: S101
        if takes_raw_state(data["dispatcher"], event.event_type):
            return await super().__call__(handler, event, data)
        return await self._without_reading(handler, event, data)

    async def _without_reading(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        bot: Bot = data["bot"]
        data["fsm_storage"] = self.storage
        context = self.resolve_event_context(bot, data)
        if context is None:
            return await handler(event, data)
        async with self.events_isolation.lock(key=context.key):
            data["state"] = context  # in aiogram's own dict: error handlers get that one
            return await handler(event, data)


def takes_raw_state(dispatcher: Dispatcher, kind: str) -> bool:
    """Tell whether a filter, handler or middleware that an update of a kind meets could look at ``raw_state``.

    Asked anew for each update, as handlers may be added. Every middleware counts, since it gets all data, and so does
    a function with ``**kwargs``. Cost: some microseconds for each router.
    """
    return any(map(_takes_raw_state, _observers(dispatcher, kind)))


def _observers(dispatcher: Dispatcher, kind: str) -> Iterable[TelegramEventObserver]:
    yield dispatcher.update
    for router in dispatcher.chain_tail:
        yield router.observers[kind]
        yield router.error


OURS = (ErrorsMiddleware, UserContextMiddleware, FSMContextMiddleware)


def _takes_raw_state(observer: TelegramEventObserver) -> bool:
    if any(not isinstance(each, OURS) for each in observer.outer_middleware) or len(observer.middleware):
        return True
    return any(each.varkw or "raw_state" in each.params for each in _callables(observer))


def _callables(observer: TelegramEventObserver) -> Iterable[CallableObject]:
    yield from observer._handler.filters or ()  # noqa: SLF001 - the filters of all handlers stand nowhere else
    is_root = observer.event_name == "update"
    for handler in observer.handlers[is_root:]:  # the first one there is aiogram's own, which passes everything on
        yield handler
        yield from handler.filters or ()
