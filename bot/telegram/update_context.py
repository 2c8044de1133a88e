"""Which update a call was made for, as far down as a handler's own tasks."""

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

    A handler that runs a second time after a crash counts the same again, so what
    it submits bears the same keys, and is accepted once.
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
    """Return who caused an update; None for a channel's post, and for a kind of update that we do not know."""
    try:
        event = update.event
    except UpdateTypeLookupError:
        return None
    user = getattr(event, "from_user", None) or getattr(event, "user", None)
    return None if user is None else user.id


_origin: ContextVar[UpdateContext | None] = ContextVar("origin", default=None)


def current() -> UpdateContext | None:
    """Return the origin of what is done now; None outside of any handler."""
    return _origin.get()


@contextmanager
def of(origin: UpdateContext) -> Iterator[UpdateContext]:
    """Do what is inside on behalf of an update."""
    token = _origin.set(origin)
    try:
        yield origin
    finally:
        _origin.reset(token)
