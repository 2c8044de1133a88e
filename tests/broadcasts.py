"""A world in which broadcasts run: a real database, the queue in memory, and a clock that one advances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, insert

from tempogram.bot.wiring.broadcasts import read
from tempogram.engine.broadcasts.board import Broadcasts
from tempogram.engine.broadcasts.feeder import Feeder
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.broadcasts import Addressee, Broadcast, Content, Plan
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import ChatId, Done, Lease, Outgoing, Settlement, Status
from tempogram.engine.model.selection import Selection
from tempogram.engine.ports import Fault, Record
from tempogram.engine.ports.audience import Audience
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.slots import NoWorker
from tempogram.storage.broadcasts.broadcasts import SqlBroadcastStore
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import chats
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.selection.audience import SqlAudience
from tests.fakes import Clock

BOT = 42

HELLO = Content(method="sendMessage", params={"text": "Hello {title|friend}"})

REFUSED_TEXT = "refused"


def plan(**changes: object) -> Plan:
    usual: dict[str, object] = {"selection": Selection(bot_id=BOT), "content": HELLO}
    return Plan(**usual | changes)  # type: ignore[arg-type]


@dataclass
class BroadcastWorld:
    """Everything that broadcasts need; ``process`` makes the parts of a process that begins now."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    limits: Limits = field(default_factory=lambda: Limits(ceiling=Limit(0, 1_000), bot=Limit(0, 1_000)))
    sent: Counter[ChatId] = field(default_factory=Counter)
    bots: set[int] = field(default_factory=lambda: {BOT})
    texts: dict[ChatId, str] = field(default_factory=dict)
    knows_files: bool | None = True

    def __post_init__(self) -> None:
        self.ids = Ids(process=1)
        self.store = SqlBroadcastStore(self.database)
        self.audience: Audience = SqlAudience(self.database)
        self.ledger = SqlLedger(self.database)
        self.process()

    def process(self) -> None:
        """Begin a process: what the one before had in memory is gone, but the queue."""
        if not hasattr(self, "broker"):
            self.broker = MemoryBroker(self.limits, clock=self.clock, lease_ms=60_000)
        conditions = Conditions(self.clock)
        self.closer = Closer(
            ledger=self.ledger, broker=self.broker, results=MemoryResults(), conditions=conditions, clock=self.clock
        )
        self.reachability = Reachability(
            ledger=self.ledger,
            closer=self.closer,
            changes=MemoryChanges(),
            clock=self.clock,
            hears=lambda *_: True,
        )
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            broker=self.broker,
            reachability=self.reachability,
            closer=self.closer,
            worker=NoWorker(),
            pending_admissions=PendingAdmissions(ledger=self.ledger, broker=self.broker, closer=self.closer),
            conditions=conditions,
            count_drops=lambda _: None,
        )
        self.feeder = Feeder(
            self.store,
            self.audience,
            dispatcher=self.dispatcher,
            ledger=self.ledger,
            closer=self.closer,
            compose=self.compose,
            bots_among=self._bots_among,
            limits=self._limits,
            knows_files=self._knows_files,
            conditions=conditions,
            clock=self.clock,
        )
        self.board = Broadcasts(
            self.store,
            self.audience,
            broker=self.broker,
            ledger=self.ledger,
            closer=self.closer,
            compose=self.compose,
            read=read,
            limits=self._limits,
            wake=self.feeder.wake,
            clock=self.clock,
        )

    async def _bots_among(self, bot_ids: Collection[int]) -> set[int]:
        return self.bots & set(bot_ids)

    async def _knows_files(self, _: Broadcast) -> bool | None:
        return self.knows_files

    async def _limits(self) -> Limits:
        return self.limits

    def compose(self, broadcast: Broadcast, addressee: Addressee, params: Mapping[str, object]) -> Outgoing:
        if params.get("text") == REFUSED_TEXT:
            raise SettingsError("message text is empty")
        return Outgoing(
            id=self.ids.new(self.clock()),
            bot_id=broadcast.bot_id,
            chat_id=addressee.to,
            method=broadcast.plan.content.method,
            params=msgspec.json.encode(params),
            priority=broadcast.plan.priority,
            submitted_at_ms=self.clock(),
            guarantee=broadcast.plan.guarantee,
            dedup_key=addressee.dedup_key(broadcast),
            is_paid=bool(params.get("allow_paid_broadcast")),
            tag=broadcast.tag,
        )

    async def add_chats(self, chat_ids: Iterable[int], **known: object) -> None:
        rows = [{"bot_id": BOT, "chat_id": str(each), "type": "private", **known} for each in chat_ids]

        def write(connection: Connection) -> None:
            connection.execute(insert(chats), rows)

        await self.database.write_alone(write)

    async def started(self, of: Plan | None = None) -> Broadcast:
        """Return a broadcast that was made and started."""
        made = await self.board.create("news", of or plan())
        return await self.board.start(made.id)

    async def send_all(self, *, dead: Iterable[ChatId] = (), at_most: int = 1_000_000) -> int:
        """Send what waits in the queue, and return how much that was."""
        refused, done = set(dead), 0
        while done < at_most:
            leased = await self.broker.lease(worker_id="w", slots=min(50, at_most - done))
            if not leased.leases:
                break
            await self.ledger.record([self._record(lease, refused) for lease in leased.leases])
            await self.broker.settle([Settlement(lease, Done(), 0) for lease in leased.leases])
            done += len(leased.leases)
        return done

    def _record(self, lease: Lease, refused: set[ChatId]) -> Record:
        message = lease.message
        assert message.chat_id is not None
        is_dead = message.chat_id in refused
        if not is_dead:
            self.sent[message.chat_id] += 1
            self.texts[message.chat_id] = msgspec.json.decode(message.params)["text"]
        return Record(
            message_id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=Status.DEAD if is_dead else Status.SENT,
            attempt=1,
            recorded_at_ms=self.clock(),
            outcome="rejected" if is_dead else "sent",
            started_at_ms=self.clock(),
            counted_at_ms=self.clock(),
            is_paid=message.is_paid,
            fault=Fault(code=400, reason="Bad Request") if is_dead else None,
        )

    async def run_until_idle(self, *, dead: Iterable[ChatId] = ()) -> None:
        """Let the feeder and the worker go on until neither has anything to do."""
        while await self.feeder.step() or await self.send_all(dead=dead):
            await self.send_all(dead=dead)
