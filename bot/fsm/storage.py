"""aiogram's ``BaseStorage`` over the repository of states."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiogram.exceptions import DataNotDictLikeError
from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseStorage, StateType, StorageKey

from tempogram.bot.fsm.recent import RecentContents
from tempogram.bot.telegram import update_context
from tempogram.engine.ports import Clock
from tempogram.storage.fsm.data import decode
from tempogram.storage.fsm.rows import Content, Run, StateKey
from tempogram.storage.fsm.states import States

UNSTORABLE = frozenset(map(chr, [0, *range(0xD800, 0xE000)]))
"""NUL, which PostgreSQL refuses, and halves of characters, which UTF-8 does not have."""


class DatabaseStorage(BaseStorage):
    """Stores states and their data in the database; a write returns when it is committed.

    ``update_data`` is atomic. Data is JSON, as in aiogram's ``RedisStorage``: a tuple is read back as a list, a key
    that is a number as text, and what JSON has no form for is refused.
    """

    def __init__(self, states: States, *, clock: Clock) -> None:
        self._states = states
        self._recent = RecentContents(clock)

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        name = state.state if isinstance(state, State) else state
        _check_text("A state", name)
        await self._write(key, partial(self._states.set_state, state=name))

    async def get_state(self, key: StorageKey) -> str | None:
        return (await self._read(key)).state

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        if not isinstance(data, dict):
            raise DataNotDictLikeError(f"Data must be a dict or dict-like object, got {type(data).__name__}")
        await self._write(key, partial(self._states.set_data, data=data))

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        return decode((await self._read(key)).data)

    async def update_data(self, key: StorageKey, data: Mapping[str, Any]) -> dict[str, Any]:
        return decode((await self._write(key, partial(self._states.update_data, data=dict(data)))).data)

    async def close(self) -> None:
        """Do nothing: the program closes its database."""

    async def _read(self, key: StorageKey) -> Content:
        run = _run_for(key)
        content = self._recent.get(key, run)
        if content is None:
            slot = self._recent.begin(key, run)
            content = await self._states.get(_state_key(key), run)
            self._recent.finish(key, slot, content)
        return content

    async def _write(self, key: StorageKey, write: Callable[[StateKey, Run | None], Awaitable[Content]]) -> Content:
        run = _run_for(key)
        slot = self._recent.begin(key, run)
        content = await write(_state_key(key), run)
        self._recent.finish(key, slot, content)
        return content


def _run_for(key: StorageKey) -> Run | None:
    """Return the run of the update that is being handled, if it is one of the key's bot."""
    context = update_context.current()
    if context is None or context.bot_id != key.bot_id:
        return None
    return Run(context.update_id, context.run_id)


def _state_key(key: StorageKey) -> StateKey:
    _check_text("A destiny", key.destiny)
    return StateKey(
        bot_id=key.bot_id,
        chat_id=key.chat_id,
        user_id=key.user_id,
        thread_id=key.thread_id or 0,
        business_connection_id=key.business_connection_id or "",
        destiny=key.destiny,
    )


def _check_text(what: str, text: object) -> None:
    """Refuse what a column of text cannot hold: the database's own error would be taken for an outage."""
    if text is None:
        return
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a text, and {text!r} is {type(text).__name__}")
    if not UNSTORABLE.isdisjoint(text):
        raise ValueError(f"{what} must be a text that can be stored; {text!r} has a NUL or half a character")
