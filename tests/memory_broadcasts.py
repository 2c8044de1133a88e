"""Broadcasts in memory, for tests of what operators see and do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Outcome, Plan, Stars, Totals
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.audience import PAGE

RUNNING, DONE, CANCELLED = BroadcastState.RUNNING, BroadcastState.DONE, BroadcastState.CANCELLED


@dataclass
class MemoryBroadcastStore:
    """See ``BroadcastStore``. No message of it ever ends."""

    rows: dict[int, Broadcast] = field(default_factory=dict)
    waiting: dict[int, dict[ChatId, int]] = field(default_factory=dict)
    sending: dict[int, dict[ChatId, str]] = field(default_factory=dict)
    ids: count[int] = field(default_factory=lambda: count(1))

    async def create(self, name: str, plan: Plan, *, now_ms: int) -> Broadcast:
        made = Broadcast(id=next(self.ids), name=name, plan=plan, created_at_ms=now_ms)
        self.rows[made.id], self.waiting[made.id], self.sending[made.id] = made, {}, {}
        return made

    async def get(self, broadcast_id: int) -> Broadcast | None:
        return self.rows.get(broadcast_id)

    async def page(self, *, before_id: int | None, limit: int) -> list[Broadcast]:
        older = [each for each in self.rows.values() if before_id is None or each.id < before_id]
        return sorted(older, key=lambda each: -each.id)[:limit]

    async def active(self, *, after_id: int = 0, limit: int = PAGE) -> list[Broadcast]:
        return [each for each in self.rows.values() if each.is_active and each.id > after_id][:limit]

    async def totals(self, *, limit: int = PAGE) -> Totals:
        running = [each for each in self.rows.values() if each.state is RUNNING]
        due = (at_ms for each in running for at_ms in self.waiting[each.id].values())
        outcomes = sum((Counter(each.outcomes) for each in running), Counter[Outcome]())
        waiting = sum(each.left for each in running)
        return Totals(running=len(running), waiting=waiting, outcomes=outcomes, next_due_ms=min(due, default=None))

    async def change(
        self,
        broadcast_id: int,
        to: BroadcastState,
        *,
        when: Collection[BroadcastState],
        now_ms: int,
        problem: str | None = None,
    ) -> bool:
        before = self.rows.get(broadcast_id)
        if before is None or before.state not in when:
            return False
        started_at_ms = before.started_at_ms or (now_ms if to is RUNNING else None)
        ended_at_ms = now_ms if to is CANCELLED else None
        self._set(before, state=to, is_active=True, started_at_ms=started_at_ms, ended_at_ms=ended_at_ms)
        self._set(before, problem=problem)
        return True

    async def retry(self, broadcast_id: int) -> bool:
        before = self.rows.get(broadcast_id)
        if before is None or before.state is not DONE:
            return False
        self._set(before, state=RUNNING, is_active=True, is_retrying=True, ended_at_ms=None)
        return True

    async def gather(self, broadcast: Broadcast, due: Mapping[ChatId, int], *, to: str) -> None:
        self.waiting[broadcast.id] |= due
        recipients = broadcast.recipients + len(due)
        self._set(broadcast, gathered_to=to, is_gathered=not due, recipients=recipients)

    async def due(self, broadcast: Broadcast, *, now_ms: int, limit: int) -> list[Addressee]:
        due = [chat_id for chat_id, due_ms in self.waiting[broadcast.id].items() if due_ms <= now_ms]
        return [Addressee(chat_id=chat_id) for chat_id in due[:limit]]

    async def note(self, broadcast: Broadcast, message_ids: Mapping[Addressee, str]) -> None:
        for each, message_id in message_ids.items():
            self.waiting[broadcast.id].pop(each.chat_id, None)
            self.sending[broadcast.id][each.chat_id] = message_id

    async def end(self, broadcast: Broadcast, ended: Mapping[Outcome, Sequence[Addressee]]) -> None:
        now = self.rows[broadcast.id]
        counts = {outcome: now.outcomes.get(outcome, 0) + len(chats) for outcome, chats in ended.items()}
        self._set(now, outcomes={**now.outcomes, **counts})
        for chats in ended.values():
            for each in chats:
                self.waiting[broadcast.id].pop(each.chat_id, None)

    async def drop(self, broadcast: Broadcast, twins: Sequence[Addressee]) -> None:
        for each in twins:
            self.waiting[broadcast.id].pop(each.chat_id, None)

    async def postpone(self, broadcast: Broadcast, due_ms: Mapping[Addressee, int]) -> None:
        self.waiting[broadcast.id] |= {each.chat_id: at_ms for each, at_ms in due_ms.items()}

    async def settle(self, broadcast: Broadcast, *, limit: int = PAGE) -> int:
        return 0

    async def set_back(self, broadcast: Broadcast, *, limit: int = PAGE) -> int:
        self._set(self.rows[broadcast.id], is_retrying=False)
        return 0

    async def under_way(self, of: Sequence[Broadcast]) -> Counter[int]:
        return Counter({each.id: len(self.sending[each.id]) for each in of})

    async def last_due_ms(self, of: Sequence[Broadcast]) -> Counter[int]:
        return Counter({each.id: max(self.waiting[each.id].values(), default=0) for each in of})

    async def finish(self, broadcast: Broadcast, *, now_ms: int) -> bool:
        now = self.rows[broadcast.id]
        if not now.is_gathered or now.left:
            return False
        self._set(now, state=DONE, is_active=False, ended_at_ms=now_ms)
        return True

    async def quieten(self, broadcast: Broadcast) -> None:
        self._set(self.rows[broadcast.id], is_active=False)

    async def ahead(self, of: Sequence[Broadcast]) -> Counter[int]:
        return Counter({each.id: self._ahead(each) for each in of})

    def _ahead(self, broadcast: Broadcast) -> int:
        others = (each for each in self.rows.values() if each.id != broadcast.id and each.state is RUNNING)
        return sum(each.left for each in others if each.bot_id == broadcast.bot_id)

    async def zones(self, bot_id: int) -> Mapping[str | None, int]:
        return {}

    async def paid_places(self, bot_id: int, *, since_ms: int, until_ms: int) -> int:
        return 0

    async def note_stars(self, broadcast_id: int, stars: Stars, *, over: Stars | None) -> bool:
        last = self.rows[broadcast_id].stars
        if (last and last.asked_at_ms) != (over and over.asked_at_ms):
            return False
        self._set(self.rows[broadcast_id], stars=stars)
        return True

    def _set(self, broadcast: Broadcast, **changes: object) -> None:
        self.rows[broadcast.id] = replace(self.rows[broadcast.id], **changes)  # type: ignore[arg-type]
