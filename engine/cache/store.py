"""Entries with their tags and locks, in memory or in Redis."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cashews.exceptions import CacheBackendInteractionError

from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.memory_backend import MemoryBackend
from tempogram.engine.cache.options import LIFE_S_MAX
from tempogram.engine.cache.redis_backend import PREFIX, RedisBackend
from tempogram.engine.model.clock import Clock

TAGS = "tags"
"""The group of the tags. One that was dropped would bring back what it forgot, so then all entries are forgotten."""

GENERATION = f"{PREFIX}generation"

UNTIL = b"until "

AWAY_MS = 1_000
"""So long a Redis that did not answer is not asked again."""

R = TypeVar("R")


class StoreAway(Exception):
    """The store does not answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an entry.

    Attributes:
        entry: As it was kept; None: there is none.
        versions: Of everything under whose name it may be forgotten.
        is_locked: A process computes it.
        has_failed: One did just now, in vain.
    """

    entry: bytes | None
    versions: tuple[str, ...]
    is_locked: bool = False
    has_failed: bool = False


class CacheStore:
    """Keeps entries, up to a number of bytes. Every method raises ``StoreAway`` where Redis is."""

    def __init__(self, backend: MemoryBackend | RedisBackend, *, clock: Clock) -> None:
        self.backend = backend
        self._clock = clock
        self._away_until_ms = 0
        self.dropped = 0

    @property
    def is_shared(self) -> bool:
        """Tell whether other processes have the same entries, and reading one takes a round trip."""
        return self.backend.is_shared

    async def open(self) -> None:
        await self.backend.init()

    async def close(self) -> None:
        await self.backend.close()

    async def read(self, name: EntryName, tags: Sequence[str]) -> Seen:
        """Return what is known of an entry that has these tags."""
        of = key_tag(name), group_tag(name.group), *map(user_tag, tags)
        paths = _entry(name), _lock(name), _failed(name), GENERATION, *map(_tag, of)
        entry, lock, failed, *versions = await self._answered(self.backend.get_many(*paths))
        has_failed = failed is not None and self._clock() < int(failed[len(UNTIL) :])
        text = entry if isinstance(entry, bytes) else None  # what is none of ours may be read as a number
        return Seen(text, tuple(map(_text, versions)), lock is not None, has_failed)

    async def keep(self, name: EntryName, entry: bytes, for_ms: int) -> None:
        """Keep an entry; others go for it, if all together have too many bytes."""
        dropped = await self._answered(self.backend.keep(_entry(name), name, entry, for_ms))
        self.dropped += len(dropped)
        if TAGS in dropped:
            await self._answered(self.backend.set(GENERATION, _version()))

    async def lock(self, name: EntryName, holder: str, for_ms: int) -> bool:
        """Tell whether the holder is to compute it; no other process does so before the time is over."""
        if not self.is_shared:
            return True
        return await self._answered(self.backend.set_lock(_lock(name), holder, for_ms / 1_000))

    async def extend(self, name: EntryName, holder: str, for_ms: int) -> None:
        """Hold a lock for longer, also where Redis lost it."""
        if self.is_shared and not await self.lock(name, holder, for_ms):
            await self._answered(self.backend.expire(_lock(name), for_ms / 1_000))

    async def unlock(self, name: EntryName, holder: str, *, failed_for_ms: int) -> None:
        """Give a lock back; with ``failed_for_ms`` it is seen so long that it was in vain."""
        if failed_for_ms:
            until = UNTIL + str(self._clock() + failed_for_ms).encode()
            await self._answered(self.backend.set(_failed(name), until, failed_for_ms / 1_000))
        if self.is_shared:
            await self._answered(self.backend.unlock(_lock(name), holder))

    async def forget(self, tags: Sequence[str]) -> None:
        """Forget all entries that have one of these tags, and what is computed of them now.

        Args:
            tags: Of ``key_tag``, ``group_tag`` and ``user_tag``.
        """
        for tag in tags:
            await self.keep(EntryName(TAGS, tag), _version(), round(1_000 * LIFE_S_MAX))

    async def _answered(self, answer: Awaitable[R]) -> R:
        if self._clock() < self._away_until_ms:
            answer.close()  # type: ignore[attr-defined]
            raise StoreAway
        try:
            return await answer
        except CacheBackendInteractionError:
            self._away_until_ms = self._clock() + AWAY_MS
            raise StoreAway from None


def key_tag(name: EntryName) -> str:
    """Return the tag that an entry has for itself, so that it can be forgotten while it is computed."""
    return f"key:{name.group}:{name.key}"


def group_tag(group: str) -> str:
    """Return the tag that all entries of a group have."""
    return f"group:{group}"


def user_tag(tag: str) -> str:
    return f"tag:{tag}"


def _entry(name: EntryName) -> str:
    return f"{PREFIX}entry:{name.group}:{name.key}"


def _lock(name: EntryName) -> str:
    return f"{PREFIX}lock:{name.group}:{name.key}"


def _failed(name: EntryName) -> str:
    return f"{PREFIX}failed:{name.group}:{name.key}"


def _tag(tag: str) -> str:
    return _entry(EntryName(TAGS, tag))


def _version() -> bytes:
    return f"v{secrets.token_hex(6)}".encode()


def _text(version: bytes | None) -> str:
    return "" if version is None else version.decode()
