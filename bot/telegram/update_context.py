"""The update for which a call is made, also within tasks that its handler starts, until the handler has ended."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from aiogram.types import Update
from aiogram.types.update import UpdateTypeLookupError

from tempogram.engine.model.messages import ChatId, Priority


class QueueWaits(Protocol):
    """The run of a handler, which gives its place to another while a call of it waits for the queue."""

    def waiting_for_queue(self) -> AbstractContextManager[None]:
        """Return the block in which a call waits; after it the handler has a place again."""


@dataclass
class UpdateContext:
    """The update whose handler is running, and how many messages it has submitted, by method and chat.

    A handler that runs again after a crash counts the same, so its messages have the same keys and are accepted once;
    also if its tasks, each for a chat of its own, go on in another order.
    """

    bot_id: int
    update_id: int
    priority: Priority
    user_id: int | None = None
    run: QueueWaits | None = None
    has_ended: bool = False
    run_id: int = field(default_factory=lambda: secrets.randbits(63))
    submitted: Counter[tuple[str, ChatId | None]] = field(default_factory=Counter)

    def next_key(self, method: str, chat_id: ChatId | None) -> str:
        """Return the key of the next call of a method to a chat; to be asked before the first ``await`` of the call.

        >>> context = UpdateContext(42, 7, Priority.NORMAL)
        >>> [context.next_key("sendMessage", chat_id) for chat_id in (5, 5, -100)]
        ['update:42:7:sendMessage:5:1', 'update:42:7:sendMessage:5:2', 'update:42:7:sendMessage:-100:1']
        """
        self.submitted[method, chat_id] += 1
        chat = "" if chat_id is None else chat_id
        return f"update:{self.bot_id}:{self.update_id}:{method}:{chat}:{self.submitted[method, chat_id]}"


def user_of(update: Update) -> int | None:
    """Return the user who caused an update; None for a channel post and for an unknown kind of update."""
    try:
        event = update.event
    except UpdateTypeLookupError:
        return None
    user = getattr(event, "from_user", None) or getattr(event, "user", None)
    return None if user is None else user.id


_current: ContextVar[UpdateContext | None] = ContextVar("origin", default=None)


def current() -> UpdateContext | None:
    """Return the context of the running handler; None outside of any handler, and in a task that outlives its own."""
    context = _current.get()
    return None if context is None or context.has_ended else context


def waiting_for_queue() -> AbstractContextManager[None]:
    """Return the block in which a call waits for the queue: its handler, if there is one, holds no place meanwhile."""
    context = current()
    return nullcontext() if context is None or context.run is None else context.run.waiting_for_queue()


@contextmanager
def of(context: UpdateContext) -> Iterator[UpdateContext]:
    """Make the calls inside the block on behalf of an update; a task that it starts does so until the block ends."""
    token = _current.set(context)
    try:
        yield context
    finally:
        context.has_ended = True
        _current.reset(token)
