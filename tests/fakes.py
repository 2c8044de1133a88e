"""What many tests use: a clock to advance, a ledger that can fail, and messages."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tempogram.engine.model.errors import LedgerError, UnstorableValue
from tempogram.engine.model.messages import ChatId, Hold, Outgoing, PausedBy, Priority
from tempogram.engine.ports import Accepted, Known, Record
from tempogram.storage.ledger.memory_ledger import MemoryLedger

START_MS = 1_700_000_000_000


class Clock:
    """Time that passes when a test says so.

    >>> clock = Clock()
    >>> clock.advance(40)
    >>> clock() - START_MS
    40
    """

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, ms: int) -> None:
        self.now_ms += ms


def outgoing(
    message_id: str,
    *,
    bot_id: int = 1,
    chat_id: ChatId | None = 7,
    priority: Priority = Priority.NORMAL,
    cost: int = 1,
    ready_at_ms: int = 0,
    expires_at_ms: int | None = None,
    attempt: int = 0,
    replaces: str | None = None,
    method: str = "sendMessage",
    params: bytes = b'{"text":"hello"}',
    user_id: int | None = None,
    is_paid: bool = False,
) -> Outgoing:
    """Return a message; a test names only what matters to it."""
    return Outgoing(
        id=message_id,
        bot_id=bot_id,
        chat_id=chat_id,
        method=method,
        params=params,
        priority=priority,
        cost=cost,
        ready_at_ms=ready_at_ms,
        expires_at_ms=expires_at_ms,
        attempt=attempt,
        replaces=replaces,
        user_id=user_id,
        is_paid=is_paid,
    )


class FlakyLedger(MemoryLedger):
    """A ledger in memory that notes its writes, and refuses those that a test chooses.

    Each of ``refused_words`` refuses one write of its kind; ``asleep``: the database is away; ``unstorable``: chats of
    which it takes no message, and none beside one.
    """

    refusal = "the database is away"

    def __init__(self, clock: Clock, journal: list[str] | None = None) -> None:
        super().__init__(clock)
        self.journal: list[str] = [] if journal is None else journal
        self.refused_words: list[str] = []
        self.asleep = False
        self.unstorable: set[ChatId | None] = set()
        self.held_up: asyncio.Event | None = None  # set by a test that wants ``add`` to wait for it
        self.reads: list[int] = []  # for how many chats each ``reach_of`` asked
        self.unread = 0  # how many questions for a message's history are refused

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        self._write("add")
        if self.held_up is not None:
            await self.held_up.wait()
        if any(message.chat_id in self.unstorable for message in messages):
            raise UnstorableValue("the database takes no such value: a number is beyond its range")
        return await super().add(messages)

    async def discard(self, message_ids: Sequence[str]) -> None:
        self._write("discard")
        await super().discard(message_ids)

    async def mark_sending(self, message_ids: Sequence[str]) -> None:
        self._write("mark")
        await super().mark_sending(message_ids)

    async def record(self, records: Sequence[Record]) -> None:
        self._write("record")
        await super().record(records)

    async def cancel(self, message_id: str, *, now_ms: int) -> bool:
        self._write("cancel")
        return await super().cancel(message_id, now_ms=now_ms)

    async def amend(self, messages: Sequence[Outgoing]) -> None:
        self._write("amend")
        await super().amend(messages)

    async def record_holds(self, holds: Sequence[Hold], *, now_ms: int) -> None:
        self._write("hold")
        await super().record_holds(holds, now_ms=now_ms)

    async def pause(self, bot_id: int, *, paused: bool, by: PausedBy = PausedBy.OPERATOR) -> bool:
        self._write("pause")
        return await super().pause(bot_id, paused=paused, by=by)

    async def open_ids(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[str]:
        self._reach()
        return await super().open_ids(after_id=after_id, limit=limit, bot_id=bot_id, tag=tag)

    async def may_have_arrived(self, message: Outgoing) -> bool:
        if self.unread:
            self.unread -= 1
            raise LedgerError(self.refusal)
        return await super().may_have_arrived(message)

    async def open_among(self, message_ids: Sequence[str]) -> list[Outgoing]:
        self._reach()
        return await super().open_among(message_ids)

    async def reach_of(
        self, bot_chats: Collection[tuple[int, ChatId]]
    ) -> dict[tuple[int, ChatId], tuple[ChatId | None, str | None]]:
        self.reads.append(len(bot_chats))
        return await super().reach_of(bot_chats)

    def _write(self, word: str) -> None:
        self._reach()
        if word in self.refused_words:
            self.refused_words.remove(word)
            self.journal.append(f"{word} refused")
            raise LedgerError(self.refusal)
        self.journal.append(word)

    def _reach(self) -> None:
        if self.asleep:
            raise LedgerError(self.refusal)


class MemoryTotals:
    """See ``Totals``. ``asleep``: the database is away."""

    def __init__(self) -> None:
        self.sums = Counter[str]()
        self.writes = 0
        self.reads = 0
        self.asleep = False

    async def add(self, counts: Mapping[str, int]) -> None:
        self._reach()
        self.writes += 1
        self.sums.update(counts)

    async def read(self) -> Mapping[str, int]:
        self._reach()
        self.reads += 1
        return dict(self.sums)

    def _reach(self) -> None:
        if self.asleep:
            raise LedgerError("the database is away")
