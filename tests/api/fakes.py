"""Stand-ins for what the HTTP side works with. The queue is the real one; the books are lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
from fastapi import FastAPI

from tempogram.api.app import create_app
from tempogram.api.core.dependencies import Services
from tempogram.api.core.ports import Refusal
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import (
    OPEN,
    ChatId,
    Hold,
    Lease,
    Outgoing,
    PastSend,
    PausedBy,
    Settlement,
    Spent,
    Status,
)
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import Accepted, Admission, Broker, Explanation, Known, QueueStats, Record, Result, Settled
from tempogram.engine.recovery.cancellations import Cancellations
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.slots import NoWorker
from tempogram.storage.bots import RegisteredBot, Source
from tempogram.storage.files.spool import Spool, Spooled
from tempogram.storage.limits import changed, merged
from tempogram.storage.messages import AttemptState, MessageState
from tests.fakes import START_MS, Clock

ADMIN_TOKEN = "correct-horse-battery-staple"
BOT_ID = 42
BOT_TOKEN = "42:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
STRANGERS_TOKEN = "43:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
SECRET = "a-webhook-secret"
UPLOAD_BYTES_MAX = 200_000


class Storage:
    """The ledger and the history of it in one.

    ``asleep``: the database is away. ``meanwhile``: what happens before a cancellation is written.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asleep = False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.added = asyncio.Event()
        self.outgoing: dict[str, Outgoing] = {}
        self.states: dict[str, MessageState] = {}
        self.paused: dict[int, bool] = {}

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        self._wake()
        answers = [self._add(message) for message in messages]
        self.added.set()
        return answers

    async def known(self, messages: Sequence[Outgoing]) -> list[Known | None]:
        found = [None if message.dedup_key is None else self._known(message) for message in messages]
        return [None if each is None else Known(each.id, each.status) for each in found]

    async def discard(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            del self.states[message_id]

    async def mark_sending(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            self.states[message_id] = replace(self.states[message_id], status=Status.SENDING)

    async def record(self, records: Sequence[Record]) -> None:
        for each in records:
            self.end(each.message_id, each.status, each.fault.reason if each.fault else None)

    async def record_holds(self, holds: Sequence[Hold]) -> None: ...

    async def open_messages(self, *, after_id: str, limit: int, bot_id: int | None = None) -> list[Outgoing]:
        waiting = [self.outgoing[each.id] for each in self._by_status(*OPEN) if each.id > after_id]
        return [each for each in waiting if bot_id in {None, each.bot_id}][:limit]

    async def open_ids(self, *, after_id: str, limit: int) -> list[str]:
        return [each.id for each in self._by_status(Status.QUEUED) if after_id < each.id][:limit]

    async def last_id(self) -> str:
        return max(self.states, default="")

    async def open_among(self, message_ids: Sequence[str]) -> list[Outgoing]:
        return [self.outgoing[each.id] for each in self._by_status(Status.QUEUED) if each.id in message_ids]

    async def times_lost(self, message_ids: Sequence[str]) -> list[int]:
        return [0] * len(message_ids)

    async def settle_interrupted(self, now_ms: int, *, longer_than_ms: int = 0) -> int:
        return 0

    async def presume(self, sends: Sequence[PastSend]) -> None: ...

    async def sends_since(self, since_ms: int) -> list[PastSend]:
        return []

    async def ended_since(self, since_ms: int) -> list[str]:
        return []

    async def spent_since(self, since_ms: int) -> list[Spent]:
        return []

    async def holds(self, now_ms: int) -> list[Hold]:
        return []

    async def paused_bots(self) -> list[int]:
        return [bot_id for bot_id, paused in self.paused.items() if paused]

    async def aliases(self) -> list[tuple[int, ChatId, ChatId]]:
        return []

    async def unreachable_chats(self, *, limit: int) -> list[tuple[int, ChatId, str]]:
        return []

    async def reach_of(
        self, places: Collection[tuple[int, ChatId]]
    ) -> dict[tuple[int, ChatId], tuple[ChatId | None, str | None]]:
        return {}

    async def open_of_chat(self, bot_id: int, chat_id: ChatId, *, after_id: str, limit: int) -> list[Outgoing]:
        page = await self.open_messages(after_id=after_id, limit=len(self.outgoing))
        return [each for each in page if (each.bot_id, each.chat_id) == (bot_id, chat_id)][:limit]

    async def weights(self) -> dict[int, int]:
        return {}

    async def pause(self, bot_id: int, *, paused: bool, by: PausedBy = PausedBy.OPERATOR) -> bool:
        self._wake()
        self.paused[bot_id] = paused
        return by is PausedBy.OPERATOR

    async def message(self, message_id: str) -> MessageState | None:
        self._wake()
        return self.states.get(message_id)

    async def dead_count(self, bot_id: int | None = None) -> int:
        self._wake()
        return len(self._dead(bot_id))

    async def dead(self, *, after_id: str, limit: int, bot_id: int | None = None) -> list[MessageState]:
        self._wake()
        return [each for each in self._dead(bot_id) if each.id > after_id][:limit]

    async def replay(self, message_ids: Sequence[str]) -> list[Outgoing]:
        chosen = [each for each in self._dead(None) if each.id in message_ids]
        for state in chosen:
            self.states[state.id] = replace(state, status=Status.QUEUED, settled_at_ms=None, reason=None)
        return [self.outgoing[state.id] for state in chosen]

    async def purge_dead(self, *, message_ids: Sequence[str] | None = None, bot_id: int | None = None) -> int:
        chosen = [each for each in self._dead(bot_id) if message_ids is None or each.id in message_ids]
        for state in chosen:
            del self.states[state.id]
        return len(chosen)

    async def cancel(self, message_id: str, *, now_ms: int) -> bool:
        self._wake()
        if self.meanwhile is not None:
            await self.meanwhile()
        state = self.states.get(message_id)
        if state is None or state.status not in {Status.QUEUED, Status.CANCELLED}:
            return False
        self.states[message_id] = replace(state, status=Status.CANCELLED, settled_at_ms=now_ms)
        return True

    def end(self, message_id: str, status: Status, reason: str | None = None) -> None:
        """Let a message end, as the engine would have written it."""
        attempt = AttemptState(
            number=1,
            attempt=1,
            outcome=status.value,
            started_at_ms=self._clock(),
            counted_at_ms=self._clock(),
            recorded_at_ms=self._clock(),
            code=None if reason is None else 400,
            reason=reason,
        )
        self.states[message_id] = replace(
            self.states[message_id],
            status=status,
            attempt=1,
            settled_at_ms=self._clock(),
            telegram_message_id=7 if status is Status.SENT else None,
            reason=reason,
            attempts=(attempt,),
        )

    def _add(self, message: Outgoing) -> Accepted | Known:
        known = self._known(message) if message.dedup_key is not None else None
        if known is not None:
            return Known(known.id, known.status)
        self.outgoing[message.id] = message
        self.states[message.id] = state_of(message)
        return Accepted()

    def _known(self, message: Outgoing) -> MessageState | None:
        key = message.bot_id, message.dedup_key
        return next((each for each in self.states.values() if (each.bot_id, each.dedup_key) == key), None)

    def _dead(self, bot_id: int | None) -> list[MessageState]:
        return [each for each in self._by_status(Status.DEAD) if bot_id in {None, each.bot_id}]

    def _by_status(self, *statuses: Status) -> list[MessageState]:
        return sorted((each for each in self.states.values() if each.status in statuses), key=lambda each: each.id)

    def _wake(self) -> None:
        if self.asleep:
            raise LedgerError("the database refused: could not connect to 10.0.0.5")


def state_of(message: Outgoing) -> MessageState:
    return MessageState(
        id=message.id,
        bot_id=message.bot_id,
        chat_id=message.chat_id,
        method=message.method,
        priority=message.priority,
        cost=message.cost,
        status=Status.QUEUED,
        guarantee=message.guarantee,
        dedup_key=message.dedup_key,
        attempt=message.attempt,
        submitted_at_ms=message.submitted_at_ms,
        ready_at_ms=message.ready_at_ms,
        expires_at_ms=message.expires_at_ms,
        settled_at_ms=None,
        telegram_message_id=None,
        reason=None,
    )


class NotingResults(MemoryResults):
    """Notes for whose end somebody waits, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: asyncio.Queue[str] = asyncio.Queue()

    def expect(self, message_id: str) -> asyncio.Future[Result]:
        self.expected.put_nowait(message_id)
        return super().expect(message_id)


class SleepyBroker(MemoryBroker):
    """A broker that cannot be reached while it is ``asleep``, and whose answers are lost while it ``is_mute``."""

    asleep = is_mute = False
    refusal = BrokerUnavailable("connection refused by 10.0.0.6")

    async def admit(
        self, messages: Sequence[Outgoing], *, worker_id: str, slots: int, capped: bool = True
    ) -> Admission:
        self._wake()
        return await super().admit(messages, worker_id=worker_id, slots=slots, capped=capped)

    async def configure(self, limits: Limits) -> bool:
        self._wake()
        return await super().configure(limits)

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        self._wake()
        forgotten = await super().cancel(message_ids)
        if self.is_mute:
            raise BrokerUnavailable("connection reset by 10.0.0.6")
        return forgotten

    async def explain(self, message_id: str) -> Explanation | None:
        self._wake()
        return await super().explain(message_id)

    async def stats(self) -> QueueStats:
        self._wake()
        return await super().stats()

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        self._wake()
        return await super().settle(settlements)

    def _wake(self) -> None:
        if self.asleep:
            raise self.refusal


class ListIntake:
    """Keeps what it is given; raises ``failure`` if there is one."""

    def __init__(self) -> None:
        self.received: list[tuple[int, bytes]] = []
        self.failure: Exception | None = None

    async def receive(self, bot_id: int, body: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.received.append((bot_id, body))


class PlainComposer:
    """Takes every method but ``sendNonsense``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = Ids(process=1)

    def compose(
        self,
        bot_id: int,
        chat_id: ChatId | None,
        method: str,
        params: Mapping[str, Any],
        *,
        files: Collection[str] = (),
        **options: Any,
    ) -> Outgoing:
        if method == "sendNonsense":
            raise Refusal("Telegram has no method 'sendNonsense'")
        return Outgoing(
            id=self._ids.new(self._clock()),
            bot_id=bot_id,
            chat_id=chat_id,
            method=method,
            params=repr(dict(params)).encode(),
            submitted_at_ms=self._clock(),
            **options,
        )


class FileList:
    """See ``api.ports.Attachments``: what was kept for each message. ``asleep``: the database is away.

    ``meanwhile`` happens while a file is kept; ``times_kept`` counts what was forgotten too.
    """

    def __init__(self) -> None:
        self.asleep = False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.times_kept = 0
        self.kept: dict[str, dict[str, tuple[str, bytes]]] = {}

    async def keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        if self.asleep:
            raise LedgerError("the database refused: could not connect to 10.0.0.5")
        self.times_kept += 1
        if self.meanwhile is not None:
            await self.meanwhile()
        self.kept[message.id] = {name: (file.file_name, b"".join(file.parts())) for name, file in files.items()}

    async def forget(self, message: Outgoing) -> None:
        self.kept.pop(message.id, None)


class ListedLimits:
    """What was changed, in memory. ``asleep``: the database is away."""

    def __init__(self, given: Limits) -> None:
        self._given = given
        self._now = given
        self._changes: dict[str, Any] = {}
        self.asleep = False

    async def current(self) -> Limits:
        if self.asleep:
            raise LedgerError("the database refused: could not connect to 10.0.0.5")
        return self._now

    async def change(self, changes: Mapping[str, Any]) -> Limits:
        return self._be(merged(self._changes, changes))

    async def reset(self) -> Limits:
        return self._be({})

    def _be(self, changes: dict[str, Any]) -> Limits:
        self._now = changed(self._given, changes, self._now.version + 1)
        self._changes = changes
        return self._now


class ListBots:
    """The bots' repository."""

    def __init__(self) -> None:
        self.registered: dict[int, RegisteredBot] = {}
        self.reads = 0

    async def all(self) -> list[RegisteredBot]:
        return list(self.registered.values())

    async def get(self, bot_id: int) -> RegisteredBot | None:
        self.reads += 1
        return self.registered.get(bot_id)

    async def among(self, bot_ids: Collection[int]) -> set[int]:
        self.reads += 1
        return set(bot_ids) & self.registered.keys()

    async def set_weight(self, bot_id: int, weight: int) -> bool:
        self.registered[bot_id] = replace(self.registered[bot_id], weight=weight)
        return True

    def register(self, bot_id: int, behaviours: Mapping[str, Any], updates: Source | None = None) -> None:
        self.registered[bot_id] = RegisteredBot(
            bot_id=bot_id,
            username=f"bot{bot_id}",
            first_name="Bot",
            behaviours=behaviours,
            paused=False,
            weight=1,
            added_at_ms=START_MS,
            updates=updates,
        )


class ListFleet:
    """Bots with their tokens and webhook secrets; raises ``failure`` if there is one."""

    def __init__(self, bots: ListBots) -> None:
        self._bots = bots
        self.tokens = {BOT_TOKEN: BOT_ID}
        self.secrets: dict[int, Sequence[str]] = {}
        self.rotated: list[int] = []
        self._forgetful: list[Callable[[int], None]] = []
        self.failure: Exception | None = None

    def authenticate(self, token: str) -> int | None:
        return self.tokens.get(token)

    def webhook_secrets(self, bot_id: int) -> Sequence[str]:
        return self.secrets.get(bot_id, ())

    def source_of(self, bot: RegisteredBot) -> Source:
        return bot.updates or Source.POLLING

    async def add(self, token: str, behaviours: Mapping[str, Any] | None, *, updates: Source | None = None) -> int:
        if self.failure is not None:
            raise self.failure
        bot_id = int(token.partition(":")[0])
        self.tokens[token] = bot_id
        self._bots.register(bot_id, behaviours or {}, updates)
        return bot_id

    async def change(
        self, bot_id: int, *, behaviours: Mapping[str, Any] | None = None, updates: Source | None = None
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self._bots.register(bot_id, behaviours or {}, updates)

    def when_removed(self, listener: Callable[[int], None]) -> None:
        self._forgetful.append(listener)

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        for listener in self._forgetful:
            listener(bot_id)
        self.tokens = {token: each for token, each in self.tokens.items() if each != bot_id}
        return self._bots.registered.pop(bot_id, None) is not None

    async def rotate_secret(self, bot_id: int) -> bool:
        if self.failure is not None:
            raise self.failure
        if bot_id not in self._bots.registered:
            return False
        self.rotated.append(bot_id)
        return True


class PlainDepartures:
    """Pauses a bot, and clears what waits once."""

    def __init__(self, broker: Broker, closer: Closer) -> None:
        self._broker = broker
        self._closer = closer

    async def complete(self, bot_id: int, *, keep_messages: bool) -> int:
        await self._broker.pause(bot_id, paused=True)
        return 0 if keep_messages else (await self._closer.clear_bot(bot_id, before_id="g")).ended


class Health:
    """Says what the test says."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True

    async def __call__(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class World:
    """An app with everything it works with, and a client that has the admin token."""

    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=Clock)
    metrics: Metrics = field(default_factory=Metrics)
    results: NotingResults = field(default_factory=NotingResults)
    intake: ListIntake = field(default_factory=ListIntake)
    bots: ListBots = field(default_factory=ListBots)
    health: Health = field(default_factory=Health)
    files: FileList = field(default_factory=FileList)
    books: Storage = field(init=False)
    broker: SleepyBroker = field(init=False)
    kept_limits: ListedLimits = field(init=False)
    naps: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    reachability: Reachability = field(init=False)
    fleet: ListFleet = field(init=False)
    conditions: Conditions = field(init=False)
    services: Services = field(init=False)
    app: FastAPI = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    stranger: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.books = Storage(self.clock)
        self.conditions = Conditions(self.clock)
        self.broker = SleepyBroker(self.limits, clock=self.clock, lease_ms=60_000)
        self.kept_limits = ListedLimits(self.limits)
        self.fleet = ListFleet(self.bots)
        self.bots.register(BOT_ID, {"echo": {}})
        closer = Closer(
            ledger=self.books, broker=self.broker, results=self.results, conditions=self.conditions, clock=self.clock
        )
        pending_admissions = PendingAdmissions(ledger=self.books, broker=self.broker, closer=closer)
        self.reachability = Reachability(
            ledger=self.books,
            closer=closer,
            changes=MemoryChanges(),
            clock=self.clock,
            hears=lambda _: True,
        )
        dispatcher = Dispatcher(
            ledger=self.books,
            broker=self.broker,
            reachability=self.reachability,
            closer=closer,
            worker=NoWorker(),
            pending_admissions=pending_admissions,
            conditions=self.conditions,
            count_drops=self.metrics.count_drops,
        )
        self.services = Services(
            intake=self.intake,
            composer=PlainComposer(self.clock),
            attachments=self.files,
            spool=Spool(Path(gettempdir()), UPLOAD_BYTES_MAX),
            fleet=self.fleet,
            dispatcher=dispatcher,
            cancellations=Cancellations(
                broker=self.broker,
                closer=closer,
                pending_admissions=pending_admissions,
                conditions=self.conditions,
                sleep=lambda _: self.naps.get(),
            ),
            broker=self.broker,
            ledger=self.books,
            results=self.results,
            history=self.books,
            bots=self.bots,
            limits=self.kept_limits,
            removals=PlainDepartures(self.broker, closer),
            metrics=self.metrics,
            conditions=self.conditions,
            clock=self.clock,
            healthy=self.health,
            admin_token=ADMIN_TOKEN,
        )
        self.app = create_app(self.services)
        self.client = self._client({"Authorization": f"Bearer {ADMIN_TOKEN}"})
        self.stranger = self._client({})

    async def submitted(self, **changes: Any) -> str:
        """Submit a message and return its id."""
        wanted = {"bot": BOT_ID, "chat_id": 7, "text": "hello"} | changes
        response = await self.client.post("/messages", json=wanted)
        message_id: str = response.json()["id"]
        return message_id

    async def dead(self, **changes: Any) -> str:
        """Submit a message, and let it be given up on."""
        message_id = await self.submitted(**changes)
        await self.broker.cancel([message_id])
        self.books.end(message_id, Status.DEAD, "Forbidden: bot was blocked by the user")
        return message_id

    async def leased(self, slots: int = 1) -> tuple[Lease, ...]:
        return (await self.broker.lease(worker_id="w", slots=slots)).leases

    async def send(self, message_id: str) -> None:
        """Let a message be sent, as the engine would."""
        self.books.end(message_id, Status.SENT)
        await self.results.publish(Result(message_id, Status.SENT, None))

    def _client(self, headers: dict[str, str]) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://tempogram", headers=headers)


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return the status, the code and the sentence, and see that there is nothing else."""
    body = response.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "message"]
    assert "\n" not in body["error"]["message"]
    return response.status_code, body["error"]["code"], body["error"]["message"]
