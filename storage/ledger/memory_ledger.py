"""The ledger in memory: for tests, where no database is wanted and nothing has to survive the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from msgspec.structs import replace

from tempogram.engine.model.clock import SET_BACK_MS
from tempogram.engine.model.messages import (
    OPEN,
    PARKED_MS,
    BotChat,
    ChatId,
    Hold,
    Outgoing,
    PastSend,
    PausedBy,
    Priority,
    Spent,
    Status,
    amended,
)
from tempogram.engine.ports import Accepted, Alias, Clock, Fault, Known, OpenCounts, Record, SystemClock
from tempogram.storage.ledger.written import written_to

LOST, UNCERTAIN, FAILED, MIGRATED, THROTTLED = "lost", "uncertain", "failed", "migrated", "throttled"
"""``Record.outcome`` of calls whose worker lost its lease, that had no answer, whose host failed, whose chat moved, and
that Telegram put off."""


class MemoryLedger:
    """See ``Ledger``: it passes the same contract as the ledger in a database.

    Use it to test a module of your own without a database: give it to a part that needs a ``Ledger``, and read
    ``messages``, ``statuses`` and ``records`` afterwards. (``tests/tour`` does so with the whole engine.)

    >>> import asyncio
    >>> from tempogram import MemoryLedger, Outgoing
    >>> ledger = MemoryLedger()
    >>> hello = Outgoing(id="1", bot_id=42, chat_id=7, method="sendMessage", params=b'{"text":"hello"}')
    >>> asyncio.run(ledger.add([hello]))
    [Accepted()]
    >>> ledger.statuses["1"]
    <Status.QUEUED: 'queued'>

    A ledger that cannot be reached is a subclass whose methods raise ``LedgerError``.

    Attributes:
        messages: Every message that was added, as it is now, also after its end.
        statuses: Where each of them stands.
        records: Everything that was recorded, in order.
        presumed: Calls that may have been made.
        bot_weights: What ``weights`` returns; to be set by a test.
        unreachable: Why a chat takes nothing more.
        item_ids: Telegram's numbers of an album's items.
        last_message_out_at_ms: When a message was last sent to a chat.
        alias_of: Another name of a chat, and the id that the chat is known by.
        alias_since_ms: When such a name was learned.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.messages: dict[str, Outgoing] = {}
        self.statuses: dict[str, Status] = {}
        self.records: list[Record] = []
        self.presumed: list[PastSend] = []
        self.bot_weights: dict[int, int] = {}
        self.unreachable: dict[BotChat, str] = {}
        self.alias_of: dict[BotChat, ChatId] = {}
        self.alias_since_ms: dict[BotChat, int] = {}
        self.item_ids: dict[str, tuple[int, ...]] = {}
        self.last_message_out_at_ms: dict[BotChat, int] = {}
        self._telegram_message_ids: dict[str, int | None] = {}
        self._sending_since_ms: dict[str, int] = {}
        self._hold_until_ms: dict[tuple[int, ChatId | None], int] = {}
        self._hold_since_ms: dict[tuple[int, ChatId | None], int] = {}
        self._paused_by: dict[int, PausedBy] = {}

    # Messages

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        return [self._add(message) for message in messages]

    async def known(self, messages: Sequence[Outgoing]) -> list[Known | None]:
        return [self._known(message) for message in messages]

    async def standings(self, message_ids: Sequence[str]) -> list[Known | None]:
        return [self._standing(message_id) if message_id in self.messages else None for message_id in message_ids]

    async def discard(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            if self.statuses.get(message_id) is Status.QUEUED:
                del self.messages[message_id], self.statuses[message_id]

    async def mark_sending(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            if self.statuses.get(message_id) is Status.QUEUED:
                self.statuses[message_id] = Status.SENDING
                self._sending_since_ms[message_id] = self._clock()

    async def record(self, records: Sequence[Record]) -> None:
        for each in records:
            self.records.append(each)
            if self.statuses.get(each.message_id) in OPEN:
                self._update(each)
            self._learn(each)

    async def end_many(self, message_ids: Sequence[str], *, status: Status, fault: Fault, now_ms: int) -> None:
        known = [self.messages[message_id] for message_id in message_ids if message_id in self.messages]
        await self.record([_ended(message, status, fault, now_ms) for message in known])

    async def cancel(self, message_id: str, *, now_ms: int) -> bool:  # noqa: ARG002 - no time of it is kept
        if self.statuses.get(message_id) is Status.QUEUED:
            self.statuses[message_id] = Status.CANCELLED
        return self.statuses.get(message_id) is Status.CANCELLED

    async def amend(self, messages: Sequence[Outgoing]) -> None:
        for each in messages:
            kept = self.messages.get(each.id)
            if kept is not None and self.statuses[each.id] in (*OPEN, Status.DEAD) and kept.cost == each.cost:
                self.messages[each.id] = amended(kept, each, keeps_time=kept.attempt > 0)

    async def settle_interrupted(self, now_ms: int, *, longer_than_ms: int = 0) -> int:
        since_ms = self._clock() - longer_than_ms
        interrupted = [
            self.messages[message_id]
            for message_id, status in self.statuses.items()
            if status is Status.SENDING and (not longer_than_ms or self._sending_since_ms[message_id] <= since_ms)
        ]
        await self.record([_interrupted(message, now_ms) for message in interrupted])
        return len(interrupted)

    # Queued messages

    async def open_messages(self, *, after_id: str, limit: int, bot_id: int | None = None) -> list[Outgoing]:
        return [each for each in self._queued() if each.id > after_id and bot_id in {None, each.bot_id}][:limit]

    async def open_ids(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[str]:
        chosen = (each for each in self._queued() if bot_id in {None, each.bot_id} and tag in {None, each.tag})
        return [each.id for each in chosen if each.id > after_id][:limit]

    async def open_counts(self) -> OpenCounts:
        throttled = {each.message_id for each in self.records if each.outcome == THROTTLED}
        waiting, retry = Counter[Priority](), 0
        for message_id, status in self.statuses.items():
            message = self.messages[message_id]
            if status is Status.QUEUED and (message.attempt or message_id in throttled):
                retry += 1
            elif status in OPEN:
                waiting[message.priority] += 1
        return OpenCounts(waiting=waiting, retry=retry)

    async def last_id(self) -> str:
        return max(self.messages, default="")

    async def open_among(self, message_ids: Sequence[str]) -> list[Outgoing]:
        return [each for each in self._queued() if each.id in message_ids]

    async def open_of_chat(self, bot_id: int, chat_id: ChatId, *, after_id: str, limit: int) -> list[Outgoing]:
        of_chat = (each for each in self._queued() if (each.bot_id, each.chat_id) == (bot_id, chat_id))
        return [each for each in of_chat if each.id > after_id][:limit]

    # What was sent

    async def times_lost(self, message_ids: Sequence[str]) -> list[int]:
        times = Counter(each.message_id for each in self.records if each.outcome == LOST)
        return [times[message_id] for message_id in message_ids]

    async def may_have_arrived(self, message: Outgoing) -> bool:
        return any(each.message_id == message.id and _is_doubtful(each) for each in self.records) or any(
            (each.bot_id, each.chat_id) == (message.bot_id, message.chat_id)
            for each in self.presumed
            if each.counted_at_ms >= message.submitted_at_ms
        )

    async def has_moved(self, message: Outgoing) -> bool:
        first = self.messages[message.id].chat_id if message.id in self.messages else None
        return (isinstance(first, int) and first != message.chat_id) or any(
            isinstance(each.chat_id, int) and self._present(each.bot_id, each.chat_id) == message.chat_id
            for each in self.records
            if each.bot_id == message.bot_id and each.outcome == MIGRATED
            if each.recorded_at_ms >= message.submitted_at_ms
        )

    async def presume(self, sends: Sequence[PastSend]) -> None:
        self.presumed.extend(sends)

    async def sends_since(self, since_ms: int, *, now_ms: int) -> list[PastSend]:
        sends: list[PastSend] = []
        ahead: dict[tuple[int, ChatId | None, bool], PastSend] = {}
        for each in self._past_sends(since_ms):
            chat = each.bot_id, self._present(each.bot_id, each.chat_id)
            if each.cost and each.counted_at_ms <= now_ms:
                sends.append(PastSend(*chat, each.counted_at_ms, each.cost, each.is_paid))
            elif each.cost:
                before = ahead.get((*chat, each.is_paid), PastSend(*chat, 0, 0))
                last_ms = max(before.counted_at_ms, each.counted_at_ms)
                ahead[*chat, each.is_paid] = PastSend(*chat, last_ms, before.cost + each.cost, each.is_paid)
        return [*sends, *ahead.values()]

    async def ended_since(self, since_ms: int) -> list[str]:
        counted = {record.message_id for record, _ in self._calls(since_ms)}
        return [each for each in self.messages if each in counted and self.statuses[each] not in OPEN]

    async def spent_since(self, since_ms: int) -> list[Spent]:
        minutes: dict[tuple[int, int], Spent] = {}
        for each in self._past_sends(since_ms):
            if each.is_paid:
                minute = each.bot_id, each.counted_at_ms // 60_000
                before = minutes.get(minute, Spent(each.bot_id, 0, 0))
                at_ms = max(before.at_ms, each.counted_at_ms)
                minutes[minute] = Spent(each.bot_id, at_ms, before.cost + each.cost)
        return list(minutes.values())

    # Holds, pauses and chats

    async def record_holds(self, holds: Sequence[Hold], *, now_ms: int) -> None:
        for each in holds:
            self._hold(each, now_ms)

    async def follow_clock(self, now_ms: int) -> int:
        counted_ms = [each.counted_at_ms for each in self._past_sends(0)]
        recorded_ms = [each.recorded_at_ms for each in self.records[-1:]]
        ahead_ms = max([*counted_ms, *recorded_ms, *self._hold_since_ms.values()], default=0) - now_ms
        if ahead_ms < SET_BACK_MS:
            return 0
        for key, since_ms in self._hold_since_ms.items():
            if since_ms > now_ms:
                self._hold_until_ms[key] -= ahead_ms
                self._hold_since_ms[key] = now_ms
        for message in list(self.messages.values()):
            if self.statuses[message.id] in OPEN and message.attempt and now_ms < message.ready_at_ms < PARKED_MS:
                ready_at_ms = max(now_ms, message.ready_at_ms - ahead_ms)
                self.messages[message.id] = replace(message, ready_at_ms=ready_at_ms)
        return ahead_ms

    async def holds(self, now_ms: int) -> list[Hold]:
        holds = [Hold(bot_id, chat_id, until_ms) for (bot_id, chat_id), until_ms in self._hold_until_ms.items()]
        return [hold for hold in holds if hold.until_ms > now_ms]

    async def pause(self, bot_id: int, *, paused: bool, by: PausedBy = PausedBy.OPERATOR) -> bool:
        paused_by = self._paused_by.get(bot_id)
        if by is PausedBy.TOKEN and paused_by is not (None if paused else PausedBy.TOKEN):
            return False
        if paused:
            self._paused_by[bot_id] = by
        else:
            self._paused_by.pop(bot_id, None)
        return True

    async def paused_bots(self) -> list[int]:
        return list(self._paused_by)

    async def weights(self) -> dict[int, int]:
        return self.bot_weights

    async def aliases(self) -> list[Alias]:
        since_ms = self.alias_since_ms
        return [Alias(*name, chat_id, since_ms.get(name, 0)) for name, chat_id in self.alias_of.items()]

    async def unreachable_chats(self, *, limit: int) -> list[tuple[int, ChatId, str]]:
        lost = [(*chat, reason) for chat, reason in self.unreachable.items() if chat not in self.alias_of]
        return lost[:limit]

    async def reach_of(self, bot_chats: Collection[BotChat]) -> dict[BotChat, tuple[ChatId | None, str | None]]:
        return {
            chat: (self.alias_of.get(chat), self.unreachable.get(chat))
            for chat in bot_chats
            if chat in self.alias_of or chat in self.unreachable
        }

    def _add(self, message: Outgoing) -> Accepted | Known:
        known = self._known(message)
        if known is not None and known.message_id != message.id:
            return known
        self.messages.setdefault(message.id, message)
        self.statuses.setdefault(message.id, Status.QUEUED)
        return Accepted()

    def _known(self, message: Outgoing) -> Known | None:
        if message.dedup_key is None:
            return None
        for each in self.messages.values():
            if (each.bot_id, each.dedup_key) == (message.bot_id, message.dedup_key):
                return Known(each.id, self.statuses[each.id], self._telegram_message_ids.get(each.id))
        return None

    def _standing(self, message_id: str) -> Known:
        faults = [each.fault for each in self.records if each.message_id == message_id]
        fault = faults[-1] if faults else None
        number, item_ids = self._telegram_message_ids.get(message_id), self.item_ids.get(message_id, ())
        return Known(message_id, self.statuses[message_id], number, fault, item_ids)

    def _update(self, record: Record) -> None:
        message = self.messages[record.message_id]
        if record.rest is not None:
            message = record.rest.of(message)
        self.messages[message.id] = replace(message, attempt=record.attempt, ready_at_ms=record.ready_at_ms)
        self.statuses[message.id] = record.status
        self._telegram_message_ids[message.id] = record.telegram_message_id
        self.item_ids[message.id] = record.item_ids

    def _learn(self, record: Record) -> None:
        if record.hold is not None:
            self._hold(record.hold, record.recorded_at_ms)
        if (chat_id := written_to(record)) is not None:
            before_ms = self.last_message_out_at_ms.get((record.bot_id, chat_id), 0)
            self.last_message_out_at_ms[record.bot_id, chat_id] = max(before_ms, record.recorded_at_ms)
        if record.chat_id is not None and record.unreachable is not None:
            self.unreachable[record.bot_id, record.conversation or record.chat_id] = record.unreachable
        if record.chat_id is not None and record.migrated_to not in {None, record.chat_id}:
            self._move(record.bot_id, record.chat_id, record.migrated_to, record.recorded_at_ms)

    def _hold(self, hold: Hold, since_ms: int) -> None:
        key = hold.bot_id, hold.chat_id
        if hold.until_ms > self._hold_until_ms.get(key, 0):
            self._hold_until_ms[key], self._hold_since_ms[key] = hold.until_ms, since_ms

    def _move(self, bot_id: int, old: ChatId, new: ChatId, at_ms: int) -> None:
        """Let the old id be another name of the new one; names of the old one follow, so that resolving is one step."""
        self.alias_of.pop((bot_id, new), None)
        for (of_bot, name), chat_id in list(self.alias_of.items()):
            if (of_bot, chat_id) == (bot_id, old):
                self.alias_of[of_bot, name] = new
        self.alias_of[bot_id, old], self.alias_since_ms[bot_id, old] = new, at_ms
        until_ms = self._hold_until_ms.pop((bot_id, old), None)
        if until_ms is not None:
            self._hold(Hold(bot_id, new, until_ms), self._hold_since_ms.pop((bot_id, old)))

    def _queued(self) -> Iterator[Outgoing]:
        """Give queued messages in the order of their ids, each under the present id of its chat."""
        for message_id in sorted(self.messages):
            if self.statuses[message_id] is Status.QUEUED:
                message = self.messages[message_id]
                yield replace(message, chat_id=self._present(message.bot_id, message.chat_id))

    def _present(self, bot_id: int, chat_id: ChatId | None) -> ChatId | None:
        return chat_id if chat_id is None else self.alias_of.get((bot_id, chat_id), chat_id)

    def _past_sends(self, since_ms: int) -> Iterator[PastSend]:
        for each, counted_at_ms in self._calls(since_ms):
            yield PastSend(each.bot_id, each.chat_id, counted_at_ms, each.cost, each.is_paid)
        yield from (each for each in self.presumed if each.counted_at_ms >= since_ms)

    def _calls(self, since_ms: int) -> Iterator[tuple[Record, int]]:
        """Give the record of every call that Telegram counted, and when."""
        for each in self.records:
            if each.outcome is not None and each.counted_at_ms is not None and each.counted_at_ms >= since_ms:
                yield each, each.counted_at_ms


def _ended(message: Outgoing, status: Status, fault: Fault, now_ms: int) -> Record:
    return Record(
        message_id=message.id,
        bot_id=message.bot_id,
        chat_id=message.chat_id,
        cost=message.cost,
        status=status,
        attempt=message.attempt,
        recorded_at_ms=now_ms,
        fault=fault,
    )


def _interrupted(message: Outgoing, now_ms: int) -> Record:
    return Record(
        message_id=message.id,
        bot_id=message.bot_id,
        chat_id=message.chat_id,
        cost=message.cost,
        status=Status.UNCERTAIN,
        attempt=message.attempt + 1,
        recorded_at_ms=now_ms,
        outcome="uncertain",
        counted_at_ms=now_ms,
        fault=Fault(code=None, reason="interrupted while it was being sent"),
        is_paid=message.is_paid,
    )


def _is_doubtful(record: Record) -> bool:
    """Tell whether a call may have had its effect, though no answer said so."""
    is_failed = record.outcome == FAILED and record.counted_at_ms is not None
    return is_failed or record.outcome in {LOST, UNCERTAIN}
