"""Handles in memory, beside a ledger in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from tempogram.engine.model.messages import OPEN, PARKED_MS
from tempogram.engine.ports import Referral, Target
from tempogram.storage.handles import number_of
from tempogram.storage.ledger.memory_ledger import MemoryLedger


class MemoryHandles:
    """See ``Handles``."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._last: defaultdict[int, int] = defaultdict(int)
        self._numbers: dict[str, list[int]] = {}
        self._named: dict[tuple[int, int], tuple[str, int]] = {}
        self._references: dict[tuple[str, str], bool] = {}

    async def hand_out(self, bot_id: int, message_id: str, items: int) -> list[int]:
        if message_id not in self._numbers:
            last = self._last[bot_id]
            self._numbers[message_id] = [last - 1 - index for index in range(items)]
            self._last[bot_id] = last - items
            for item, number in zip(range(-items, 0), self._numbers[message_id], strict=True):
                self._named[bot_id, number] = message_id, item
        return self._numbers[message_id]

    async def handed_out(self, message_id: str) -> list[int]:
        return self._numbers.get(message_id, [])

    async def targets(self, bot_id: int, numbers: Collection[int]) -> dict[int, Target]:
        return {
            number: self._target(*self._named[bot_id, number]) for number in numbers if (bot_id, number) in self._named
        }

    async def refer(self, message_id: str, target_ids: Collection[str], *, after_ids: Collection[str]) -> None:
        for each in after_ids:
            self._references.setdefault((message_id, each), False)
        for each in target_ids:
            self._references[message_id, each] = True

    async def referrals(self, target_ids: Collection[str]) -> list[Referral]:
        named = sorted(pair for pair, is_named in self._references.items() if is_named)
        return [
            Referral(
                message_id=message_id,
                target_id=target_id,
                chat_id=self._ledger._present(message.bot_id, message.chat_id),
                method=message.method,
                priority=message.priority,
                ready_at_ms=message.ready_at_ms,
            )
            for message_id, target_id in named
            if target_id in target_ids and self._is_open(message_id)
            for message in [self._ledger.messages[message_id]]
        ]

    async def releasable(self, *, limit: int) -> list[str]:
        parked = sorted({message_id for message_id, _ in self._references if self._is_parked(message_id)})
        return [each for each in parked if not list(self._awaited(each))][:limit]

    async def awaited(self, message_id: str) -> Sequence[str]:
        return list(self._awaited(message_id))

    def _awaited(self, message_id: str) -> Iterator[str]:
        return (target_id for each, target_id in self._references if each == message_id and self._is_open(target_id))

    def _is_open(self, message_id: str) -> bool:
        return self._ledger.statuses.get(message_id) in OPEN

    def _is_parked(self, message_id: str) -> bool:
        return self._is_open(message_id) and self._ledger.messages[message_id].ready_at_ms == PARKED_MS

    def _settled_at_ms(self, message_id: str) -> int | None:
        records = [each.recorded_at_ms for each in self._ledger.records if each.message_id == message_id]
        return records[-1] if records and not self._is_open(message_id) else None

    def _target(self, message_id: str, item: int) -> Target:
        ledger, message = self._ledger, self._ledger.messages[message_id]
        standing = ledger._standing(message_id)
        return Target(
            message_id=message_id,
            items=len(self._numbers[message_id]),
            chat_id=ledger._present(message.bot_id, message.chat_id),
            method=message.method,
            priority=message.priority,
            status=standing.status,
            ready_at_ms=message.ready_at_ms,
            settled_at_ms=self._settled_at_ms(message_id),
            telegram_message_id=number_of(item, standing.telegram_message_id, ledger.item_ids.get(message_id, ())),
            reason=standing.fault.reason if standing.fault else None,
        )
