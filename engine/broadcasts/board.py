"""What an operator sees of broadcasts and does with them, in whichever process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tempogram.engine.broadcasts import template
from tempogram.engine.broadcasts.feeder import Composed
from tempogram.engine.broadcasts.forecast import Arrival, Rate, arrivals_of, ends_ms, rate_of
from tempogram.engine.broadcasts.stopping import ENDS, take_back
from tempogram.engine.closing.closer import Closer
from tempogram.engine.limits.limits import PLACES_A_STAR, Limits
from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Content, Plan, Totals
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.model.selection import Reason
from tempogram.engine.ports import Broker, Ledger
from tempogram.engine.ports.audience import Audience
from tempogram.engine.ports.broadcast_store import BroadcastStore
from tempogram.engine.ports.broker import QueueStats

DRAFT, RUNNING, PAUSED = BroadcastState.DRAFT, BroadcastState.RUNNING, BroadcastState.PAUSED

SAMPLE_CHAT = 1
"""The chat for which content is checked if no chat is named."""


class UnknownBroadcast(EngineError):
    """There is no broadcast with this id."""


class BroadcastConflict(EngineError):
    """A broadcast is not in a state in which this can be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a broadcast would do if it were started now.

    Attributes:
        recipients: Chats that would be written to.
        held: Of these, chats in their quiet hours.
        left_out: How many are left out, by reason.
        ends_at_ms: When the last message arrives, if nothing else comes meanwhile.
        delays_urgent_ms: How long an urgent message of the bot waits at most because of it.
        delays_low_until_ms: Until when other messages of low priority of the bot may have to wait.
        stars: What it costs at most; 0: nothing.
    """

    recipients: int
    held: int
    left_out: Mapping[Reason, int]
    ends_at_ms: int
    delays_urgent_ms: int
    delays_low_until_ms: int
    stars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a broadcast is.

    Attributes:
        under_way: Recipients whose messages are in the queue or being sent.
        waiting: Recipients that have no message yet.
        ends_at_ms: When the last message arrives, if nothing else comes meanwhile; None: it does not run, or its
            recipients are not all known yet, or its content would be refused by now.
    """

    broadcast: Broadcast
    under_way: int
    waiting: int
    ends_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """What says how fast broadcasts leave.

    Attributes:
        ahead: See ``BroadcastStore.ahead``.
    """

    limits: Limits
    stats: QueueStats
    ahead: Mapping[int, int]

    def of(self, broadcast: Broadcast, sample: Outgoing, messages: int) -> tuple[Rate, float]:
        """Return how fast a broadcast leaves, and how many messages leave before its last one."""
        rate = rate_of(self.limits, self.stats, broadcast.bot_id, is_paid=sample.is_paid)
        beside = min(self.ahead[broadcast.id], messages)  # those of one priority take turns
        return rate, self.stats.bots.get(broadcast.bot_id, 0) + beside


class Broadcasts:
    """See the module.

    Args:
        compose: Makes a message, to check the content.
        read: Returns content whose parameters are objects and lists where they are written as JSON in a text.
        limits: Returns those in force.
        wake: Has the feeder look at once, if it is in this process.
    """

    def __init__(
        self,
        store: BroadcastStore,
        audience: Audience,
        *,
        broker: Broker,
        ledger: Ledger,
        closer: Closer,
        compose: Composed,
        read: Callable[[Content], Content],
        limits: Callable[[], Awaitable[Limits]],
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._audience = audience
        self._broker = broker
        self._ledger = ledger
        self._closer = closer
        self._compose = compose
        self._read = read
        self._limits = limits
        self._wake = wake
        self._clock = clock

    async def create(self, name: str, plan: Plan) -> Broadcast:
        """Store a draft.

        Raises:
            EngineError: Telegram would refuse the content; one sentence.
            LedgerError: The database refuses.
        """
        plan = replace(plan, content=self._read(plan.content))
        template.check(plan.content.params)
        self._sample(Broadcast(id=0, name=name, plan=plan))
        return await self._store.create(name, plan, now_ms=self._clock())

    async def get(self, broadcast_id: int) -> Broadcast:
        """Return a broadcast; raises ``UnknownBroadcast`` and ``LedgerError``, as all that follow."""
        found = await self._store.get(broadcast_id)
        if found is None:
            raise UnknownBroadcast(f"there is no broadcast {broadcast_id}")
        return found

    async def page(self, *, before_id: int | None, limit: int) -> list[Broadcast]:
        """Return broadcasts, newest first."""
        return await self._store.page(before_id=before_id, limit=limit)

    async def totals(self) -> Totals:
        """Count the broadcasts that run, with their recipients."""
        return await self._store.totals()

    async def preview(self, broadcast_id: int) -> Forecast:
        """Say what a broadcast would do if it were started now.

        Raises:
            BrokerUnavailable: The queue cannot be counted.

        Cost: one count of the selection, O(chats of the bot).
        """
        broadcast, now_ms = await self.get(broadcast_id), self._clock()
        sample, plan = self._sample(broadcast), broadcast.plan
        found = await self._audience.preview(plan.selection, broadcast.rules, now_ms=now_ms)
        zones = await self._store.zones(broadcast.bot_id) if plan.at_minute is not None else {}
        messages = found.selected * max(1, sample.cost)
        arrivals = list(arrivals_of(plan, messages, zones, started_at_ms=now_ms))
        pace = await self._pace([broadcast])
        rate, before = pace.of(broadcast, sample, messages)
        ends_at_ms = ends_ms(arrivals, rate, before=before, now_ms=now_ms)
        return Forecast(
            recipients=found.selected,
            held=found.held,
            left_out=found.left_out,
            ends_at_ms=ends_at_ms,
            delays_urgent_ms=rate.slot_ms,
            delays_low_until_ms=ends_at_ms,
            stars=-(-messages // PLACES_A_STAR) if sample.is_paid else 0,
        )

    async def progress(self, broadcast: Broadcast) -> Progress:
        """Say how far a broadcast is. Cost: O(its messages under way), which are few."""
        return (await self.progress_of([broadcast]))[0]

    async def progress_of(self, shown: Sequence[Broadcast]) -> list[Progress]:
        """Say how far broadcasts are, with as many statements as for one."""
        under_way = await self._store.under_way(shown)
        running = [each for each in shown if each.state is RUNNING and each.is_gathered]
        ends = await self._ends_at_ms(running, under_way) if running else {}
        return [
            Progress(
                broadcast=each,
                under_way=under_way[each.id],
                waiting=max(0, each.left - under_way[each.id]),
                ends_at_ms=ends.get(each.id),
            )
            for each in shown
        ]

    async def start(self, broadcast_id: int) -> Broadcast:
        """Begin to send a draft; nothing is done to one that runs. Raises ``BroadcastConflict``, as all that follow."""
        return await self._change(broadcast_id, RUNNING, when=(DRAFT,), done="started")

    async def pause(self, broadcast_id: int) -> Broadcast:
        """Send nothing more of a broadcast, and take back what waits in the queue; its recipients wait again."""
        return await self._change(broadcast_id, PAUSED, when=(RUNNING,), done="paused")

    async def resume(self, broadcast_id: int) -> Broadcast:
        """Go on with a broadcast that is paused."""
        return await self._change(broadcast_id, RUNNING, when=(PAUSED,), done="resumed")

    async def cancel(self, broadcast_id: int) -> Broadcast:
        """End a broadcast for good, and take back what waits in the queue. A call in flight is finished."""
        when = (DRAFT, RUNNING, PAUSED)
        return await self._change(broadcast_id, BroadcastState.CANCELLED, when=when, done="cancelled")

    async def retry(self, broadcast_id: int) -> Broadcast:
        """Send again to those that failed, once a broadcast is done."""
        if not await self._store.retry(broadcast_id):
            broadcast = await self.get(broadcast_id)
            raise BroadcastConflict(
                f"broadcast {broadcast_id} is {broadcast.state.value}; what failed is retried once it is done"
            )
        self._wake()
        return await self.get(broadcast_id)

    async def _change(
        self, broadcast_id: int, to: BroadcastState, *, when: Collection[BroadcastState], done: str
    ) -> Broadcast:
        is_changed = await self._store.change(broadcast_id, to, when=when, now_ms=self._clock())
        broadcast = await self.get(broadcast_id)
        if not is_changed and broadcast.state is not to:
            states = " or ".join(each.value for each in when)
            raise BroadcastConflict(
                f"broadcast {broadcast_id} is {broadcast.state.value}; only one that is {states} can be {done}"
            )
        if broadcast.state in ENDS:  # it may have been changed again meanwhile
            await take_back(self._ledger, self._closer, broadcast)
        self._wake()
        return broadcast

    async def _ends_at_ms(self, running: Sequence[Broadcast], under_way: Mapping[int, int]) -> dict[int, int]:
        pace, last_due_ms = await self._pace(running), await self._store.last_due_ms(running)
        ends: dict[int, int] = {}
        for each in running:
            with suppress(EngineError):  # a setting has changed since it was made: Stars, for example
                ends[each.id] = self._end_ms(each, pace, under_way[each.id], last_due_ms[each.id])
        return ends

    def _end_ms(self, broadcast: Broadcast, pace: _Pace, under_way: int, last_due_ms: int) -> int:
        sample, now_ms = self._sample(broadcast), self._clock()
        places = max(1, sample.cost)
        rate, before = pace.of(broadcast, sample, broadcast.left * places)
        left, last = Arrival(now_ms, broadcast.left * places), Arrival(last_due_ms, places)
        return ends_ms([left, last], rate, before=max(0.0, before - under_way * places), now_ms=now_ms)

    async def _pace(self, of: Sequence[Broadcast]) -> _Pace:
        stats, limits = await self._broker.stats(), await self._limits()
        return _Pace(limits=limits, stats=stats, ahead=await self._store.ahead(of))

    def _sample(self, broadcast: Broadcast) -> Outgoing:
        chats = broadcast.plan.selection.chats
        addressee = Addressee(chat_id=chats[0] if chats else SAMPLE_CHAT, title="A", language="en")
        return self._compose(broadcast, addressee, template.filled(broadcast.plan.content.params, addressee))
