"""Entries of this process: cashews' backend of memory, with a number of bytes as its bound, shared out by group."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from typing import Any

from cashews.backends.memory import Memory

from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.sizes import NAME_BYTES, Sizes

SWEEP_S = 60
"""How often expired entries are looked for; until then they count for the bound, and go first. untuned: a sweep of
``ENTRIES_MAX`` takes some 20 ms."""

ENTRIES_MAX = 20_000


class MemoryBackend(Memory):
    """See ``Memory``; beyond the bound the group that has most gives up what was unused for longest."""

    is_shared = False

    def __init__(self, bytes_max: int) -> None:
        super().__init__(size=2 * ENTRIES_MAX, check_interval=SWEEP_S)  # its own bound, above ours
        self._sizes = Sizes(bytes_max)
        self._groups: dict[str, OrderedDict[str, int]] = defaultdict(OrderedDict)
        self._group_of: dict[str, str] = {}

    def held(self) -> tuple[int, int]:
        """Return how many entries there are, and their bytes."""
        return len(self._group_of), self._sizes.total

    async def keep(self, path: str, name: EntryName, value: bytes, for_ms: int) -> list[str]:
        """Keep an entry. Returns the groups from which others were dropped for it."""
        self._forget(path)
        self._set(path, value, for_ms / 1_000)
        size = len(value) + len(path) + NAME_BYTES
        self._group_of[path] = name.group
        self._groups[name.group][path] = size
        self._sizes.add(name.group, size)
        dropped = []
        while (group := self._over()) is not None:
            await self._delete(next(iter(self._groups[group])))
            dropped.append(group)
        return dropped

    async def set(
        self,
        key: str,
        value: Any,
        expire: float | None = None,
        exist: bool | None = None,  # noqa: FBT001 - as cashews has it
    ) -> bool:
        """See ``Memory``; what expires counts for the bound, too."""
        if expire is None:
            return await super().set(key, value, expire, exist)
        await self.keep(key, EntryName("", key), value, round(1_000 * expire))
        return True

    def _over(self) -> str | None:
        if len(self._group_of) > ENTRIES_MAX:
            return max(self._groups, key=lambda group: len(self._groups[group]))
        return self._sizes.over()

    async def get_many(self, *keys: str, default: Any = None) -> tuple[Any, ...]:
        """See ``Memory``; in one go, as every answer that is found begins with it."""
        now_s = time.time()
        return tuple(self._found(key, now_s, default) for key in keys)

    def _found(self, key: str, now_s: float, default: Any) -> Any:
        found = self.store.get(key)
        if found is None or (found[0] is not None and found[0] < now_s):
            return default
        if (group := self._group_of.get(key)) is not None:
            self._groups[group].move_to_end(key)
        return found[1]

    async def _delete(self, key: str) -> bool:
        self._forget(key)
        return await super()._delete(key)

    def _forget(self, path: str) -> None:
        if (group := self._group_of.pop(path, None)) is not None:
            entries = self._groups[group]
            self._sizes.add(group, -entries.pop(path))
            if not entries:
                del self._groups[group]
