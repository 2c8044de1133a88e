"""The update for which a call is made, also within tasks that its handler starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from aiogram.types import Update
from aiogram.types.update import UpdateTypeLookupError

from tempogram.engine.model.messages import Priority


@dataclass
class UpdateContext:
    """The update whose handler is running, and how many messages it has submitted.

    A handler that runs again after a crash counts the same, so its messages have the same keys and are accepted once.
    """

    bot_id: int
    update_id: int
    priority: Priority
    user_id: int | None = None
    submitted: int = 0

    def next_key(self) -> str:
        self.submitted += 1
        return f"update:{self.bot_id}:{self.update_id}:{self.submitted}"


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
    """Return the context of the running handler; None outside of any handler."""
    return _current.get()


@contextmanager
def of(context: UpdateContext) -> Iterator[UpdateContext]:
    """Make the calls inside the block on behalf of an update."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
