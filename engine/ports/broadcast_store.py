"""The rows of broadcasts and of their recipients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Outcome, Plan, Stars, Totals
from tempogram.engine.model.messages import ChatId

PAGE = 1_000
"""Recipients that are read or written at once."""

PAUSED = "its broadcast was paused"
"""The reason of a message that was taken back by a pause: its recipient waits again."""

OPTED_OUT = "its chat has opted out"
"""The reason of a message that was taken back because its recipient wants no more."""


class BroadcastStore(Protocol):
    """A recipient waits, or its message is under way, or it has an outcome. Each method raises ``LedgerError``.

    A process may be frozen before it writes what it has found out, and wake when others have gone on. So what is
    written of a recipient that waits counts in its round only, and of one under way only for its message.
    """

    async def create(self, name: str, plan: Plan, *, now_ms: int) -> Broadcast:
        """Store a draft."""

    async def get(self, broadcast_id: int) -> Broadcast | None:
        """Return a broadcast; None if there is none."""

    async def page(self, *, before_id: int | None, limit: int) -> list[Broadcast]:
        """Return broadcasts, newest first; ``before_id`` is the last of the page before."""

    async def active(self, *, after_id: int = 0, limit: int = PAGE) -> list[Broadcast]:
        """Return what there is to do, by id: those that run, and those that were stopped and wait in the queue."""

    async def totals(self, *, limit: int = PAGE) -> Totals:
        """Count those that run, so many at most. Cost: O(limit) looks into an index, however many recipients wait."""

    async def change(
        self,
        broadcast_id: int,
        to: BroadcastState,
        *,
        when: Collection[BroadcastState],
        now_ms: int,
        problem: str | None = None,
    ) -> bool:
        """Change the state if it is one of these; False, and nothing done, if not.

        A broadcast that begins to run has its ``started_at_ms`` if it had none; one that ends has ``ended_at_ms``.
        """

    async def retry(self, broadcast_id: int) -> bool:
        """Let a broadcast that is done run again, and set back those that failed; False if it is not done."""

    async def gather(self, broadcast: Broadcast, due: Mapping[ChatId, int], *, to: str) -> None:
        """Give chats their rows, with when each is due, and store how far that is; an empty page ends it."""

    async def due(self, broadcast: Broadcast, *, now_ms: int, limit: int) -> list[Addressee]:
        """Return recipients that wait and are due, those first that have been for longest."""

    async def note(self, broadcast: Broadcast, message_ids: Mapping[Addressee, str]) -> None:
        """Store that messages are under way, of those that still wait in this round."""

    async def end(self, broadcast: Broadcast, ended: Mapping[Outcome, Sequence[Addressee]]) -> None:
        """Store outcomes of recipients that still wait in this round, and count them."""

    async def drop(self, broadcast: Broadcast, twins: Sequence[Addressee]) -> None:
        """Delete recipients that still wait in this round: their chats have other rows."""

    async def postpone(self, broadcast: Broadcast, due_ms: Mapping[Addressee, int]) -> None:
        """Let recipients that still wait in this round be due at another time."""

    async def settle(self, broadcast: Broadcast, *, limit: int = PAGE) -> int:
        """Store the outcomes of messages that have ended, count them, and return how many.

        Cost: O(messages under way), which are few.
        """

    async def set_back(self, broadcast: Broadcast, *, limit: int = PAGE) -> int:
        """Let recipients that failed wait again, and return how many; 0 ends the retry. Nothing if none was asked for.

        Their dead letters end as cancelled: replayed later, they would be sent besides, and deleted, their keys would
        be free for a process that wakes. One that was replayed is left.
        """

    async def under_way(self, of: Sequence[Broadcast]) -> Counter[int]:
        """Count the messages of each broadcast that have not ended, by its id."""

    async def last_due_ms(self, of: Sequence[Broadcast]) -> Counter[int]:
        """Return when the last recipient of each broadcast that waits is due, by its id; 0 if none waits."""

    async def finish(self, broadcast: Broadcast, *, now_ms: int) -> bool:
        """End a broadcast that runs and of which no recipient is left; False if one is."""

    async def quieten(self, broadcast: Broadcast) -> None:
        """Store that nothing of a stopped broadcast waits in the queue, unless it runs again."""

    async def ahead(self, of: Sequence[Broadcast]) -> Counter[int]:
        """Count the recipients that wait of other broadcasts of the same bot that run, by the id of each."""

    async def zones(self, bot_id: int) -> Mapping[str | None, int]:
        """Count a bot's chats by their time zones."""

    async def paid_places(self, bot_id: int, *, since_ms: int, until_ms: int) -> int:
        """Count the places that a bot's purse was charged with in a time.

        Cost: O(paid calls of all bots in that time).
        """

    async def note_stars(self, broadcast_id: int, stars: Stars, *, over: Stars | None) -> bool:
        """Store what was paid for during a broadcast if ``over`` is what was asked for last; False if it is not."""
