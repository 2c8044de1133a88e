"""Which locks the processes of a database hold, as this process has read it last: which live, and whether one leads.

They are read with the epoch, in one statement, so that nothing else need be asked of them while nothing happens. The
leader reads them each 2 s, and tells the others when a process has ended, or when it begins to lead.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Row

from tempogram.engine.resilience.retry import Sleep

# Any numbers, the same in every version, and different from the other locks'.
LEADER_LOCK = 0x7E3907
"""The leader that stands in for Redis, and tells when a process has ended."""

PROCESS_LOCKS = 0x7E3908
"""The upper half of each process's lock."""

KEY_LOCKS = 0x7E390B
"""The upper half of the lock that every process shares that has a ``SECRET_KEY``; the lower one is its fingerprint."""

HALF_BITS = 32

HELD = """
    SELECT array_agg((classid::bigint << 32) | objid::bigint) AS ids, array_agg(pid) AS pids FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

WITHOUT_LEADER_S = 10.0
"""Between two looks for the updates of processes that have ended, while no leader tells of them."""

WITH_LEADER_S = 60.0
"""The same while one does: a process may have lived too shortly for it to see. untuned."""

READ_WITHIN_S = 25.0
"""How long ago the locks may have been read that tell whether one does."""

RETAKEN_WITHIN_S = 2.0
"""How long a lock may be free that was lost with its connection: a living process takes it again after a second."""


class HeldLocks:
    """The ids of all locks that are held, and the connections that hold them; with SQLite they are never read.

    Args:
        seconds: A clock that never goes back.
    """

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._seconds = seconds
        self._sleep = sleep
        self._holders: Mapping[int, frozenset[int]] = {}
        self._read_at_s = -math.inf
        self._died = asyncio.Event()

    def note(self, row: Row[Any]) -> None:
        """Note what was just read; see ``HELD``."""
        before, holders = self.processes, defaultdict[int, set[int]](set)
        for lock_id, connection in zip(row.ids or (), row.pids or (), strict=True):
            holders[lock_id].add(connection)
        self._holders = {lock_id: frozenset(connections) for lock_id, connections in holders.items()}
        self._read_at_s = self._seconds()
        if before - self.processes:
            self._died.set()

    def forget(self) -> None:
        """Read anew what is wanted: this process has changed it."""
        self._read_at_s = -math.inf

    @property
    def processes(self) -> frozenset[int]:
        """The numbers of the processes that lived at the last reading."""
        lower = (1 << HALF_BITS) - 1
        return frozenset(each & lower for each in self._holders if each >> HALF_BITS == PROCESS_LOCKS)

    def without_key(self, fingerprint: int) -> frozenset[int]:
        """Return the processes that lived at the last reading and do not have a key, by its fingerprint."""
        have = self._holders.get((KEY_LOCKS << HALF_BITS) | fingerprint, frozenset())
        lower = (1 << HALF_BITS) - 1
        processes = {each & lower: held for each, held in self._holders.items() if each >> HALF_BITS == PROCESS_LOCKS}
        return frozenset(process for process, held in processes.items() if not held <= have)

    def are_known(self, *, within_s: float) -> bool:
        """Tell whether they were read so long ago at most."""
        return self._seconds() - self._read_at_s <= within_s

    def holders(self, lock_id: int, *, within_s: float) -> frozenset[int]:
        """Return the connections that held a lock so long ago at most; none if that is not known.

        Each is the id of its process of PostgreSQL.
        """
        return self._holders.get(lock_id, frozenset()) if self.are_known(within_s=within_s) else frozenset()

    async def death(self) -> None:
        """Return when a process is missing that lived, and has not just lost its connection.

        Also after ``WITHOUT_LEADER_S`` while no leader would tell, and after ``WITH_LEADER_S``.
        """
        until_s = self._seconds() + WITH_LEADER_S
        while self._seconds() < until_s and not self._died.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WITHOUT_LEADER_S):
                    await self._died.wait()
            if not self.holders(LEADER_LOCK, within_s=READ_WITHIN_S):
                break
        if self._died.is_set():
            self._died.clear()
            await self._sleep(RETAKEN_WITHIN_S)
