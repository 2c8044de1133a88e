"""Where items, their subscribers, what was observed, and what is still to be said of it are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from tempogram.engine.model.watches import (
    Check,
    Digest,
    Item,
    Observation,
    Plan,
    Subscriber,
    Waiting,
    WatchCounts,
    Watched,
    WatchRules,
)

PAGE = 500


class Source(Protocol):
    """Knows items by their keys.

    Attributes:
        name: Of the source.
        service: Of ``tempogram.services``, within whose limits it is asked, as ``operation`` of it.
    """

    @property
    def name(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def operation(self) -> str: ...

    async def fetch(self, key: str) -> Mapping[str, object]:
        """Return what is to be said of an item: names with numbers, texts, truth values or None.

        Empty: there is no such item. Whatever it raises means that it is not known now.
        """


class WatchStore(Protocol):
    """Each method raises ``LedgerError`` if the database refuses."""

    async def subscribe(self, to: Subscriber, item: Item, rules: WatchRules, *, now_ms: int) -> bool:
        """Add a subscription, and its item if there is none yet; return False if there was such a subscription.

        Raises:
            WatchesFull: The subscriber has as many as its plan allows.
        """

    async def unsubscribe(self, to: Subscriber, item: Item) -> bool:
        """End a subscription, with what is still to be said of it; return False if there is none."""

    async def subscriptions(self, to: Subscriber, *, limit: int = PAGE) -> list[Watched]:
        """Return the first items that a subscriber watches, by source and key."""

    async def subscribed(self, to: Subscriber) -> int:
        """Return how many items a subscriber watches."""

    async def item(self, item: Item) -> Watched | None:
        """Return an item; None: nothing is known of it."""

    async def view(self, item: Item, *, now_ms: int) -> Watched | None:
        """Note that an item was viewed, which raises its priority by 1; return it."""

    async def items(self, *, source: str = "", after: str = "", limit: int = PAGE) -> list[Watched]:
        """Return a page of the items of a source, by key; ``after`` is the last key of the page before."""

    async def observations(self, item: Item, *, limit: int = PAGE) -> list[Observation]:
        """Return what was observed, newest first: only what differed from what was known before."""

    async def due(self, rules: WatchRules, source: str, *, now_ms: int, limit: int) -> list[Watched]:
        """Return items of a source that are to be checked now, those first that come first."""

    async def note(self, check: Check, *, debounce_ms: int) -> bool:
        """Store what came of a check, and a change for each of its subscribers; return whether it was stored.

        It is not if another process has checked the item meanwhile.
        """

    async def pause_ms(self, source: str) -> int:
        """Return the pause of a source whose pace is slowed; 0: it is as usual."""

    async def keep_pause(self, source: str, pause_ms: int) -> None:
        """Keep the pause of a source, for the process that asks it next; 0: it is as usual."""

    async def decay(self) -> int:
        """Lower the priority of every item by 1, to 1 at the least; return how many."""

    async def waiting(self, *, now_ms: int, limit: int = PAGE) -> list[Waiting]:
        """Return subscribers for whom it is time to be notified of what has changed."""

    async def put_together(self, to: Sequence[Subscriber], *, now_ms: int) -> None:
        """Make one digest for each of them of all that it was not notified of. What changes later is not in it."""

    async def defer(self, to: Sequence[Subscriber], *, until_ms: int) -> None:
        """Let these be notified later."""

    async def drop(self, to: Sequence[Subscriber]) -> int:
        """Forget what these were not notified of; return how many changes."""

    async def digests(self, *, after: Digest | None = None, without: Collection[int] = ()) -> list[Digest]:
        """Return a page of the digests that were put together and not submitted, the oldest first.

        Args:
            after: The last of the page before.
            without: Bots that are left out.
        """

    async def submitted(self, digests: Sequence[Digest]) -> None:
        """Forget digests that were submitted."""

    async def plans(self) -> list[Plan]:
        """Return all plans, by name."""

    async def ship_plans(self, plans: Sequence[Plan]) -> None:
        """Add those plans whose names there are not."""

    async def put_plan(self, plan: Plan) -> None:
        """Add a plan, or change it."""

    async def plan_of(self, to: Subscriber, rules: WatchRules) -> Plan:
        """Return the plan of a subscriber.

        Raises:
            UnknownPlan: The plan of ``rules`` does not exist.
        """

    async def give_plan(self, to: Subscriber, plan: str) -> None:
        """Give a subscriber a plan.

        Raises:
            UnknownPlan: There is none of this name.
        """

    async def counts(self, rules: WatchRules, sources: Collection[str], *, now_ms: int) -> WatchCounts:
        """Count what is watched."""
