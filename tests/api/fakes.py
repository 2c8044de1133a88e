"""Fakes of what the HTTP side depends on. The queue is the real one; storage is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI

from tempogram.api.app import create_app
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.ports import DryRun, PlannedMessage, Refusal, RemovalProgress
from tempogram.api.security.browsers import Browsers
from tempogram.api.security.identity import Identity
from tempogram.api.security.known_credentials import KnownCredentials
from tempogram.api.security.log_in_throttle import LogInThrottle
from tempogram.api.security.principals import BearerTokens, Role
from tempogram.api.security.trusted_proxies import TrustedProxies
from tempogram.api.security.wrong_tokens import WrongTokens
from tempogram.bot.calls.handles import HandleReferences
from tempogram.bot.wiring.broadcasts import composed, read
from tempogram.engine.broadcasts.billing import Billing
from tempogram.engine.broadcasts.board import Broadcasts
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.eraser import ChatEraser
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.model.broadcasts import Plan
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import (
    OPEN,
    ChatId,
    Guarantee,
    Lease,
    Outgoing,
    PausedBy,
    Priority,
    Settlement,
    Status,
)
from tempogram.engine.model.selection import Preview, Reason, Recipient, Rules, Selection
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import (
    Accepted,
    Admission,
    Broker,
    Explanation,
    Fault,
    Known,
    QueueStats,
    Record,
    Result,
    Settled,
)
from tempogram.engine.ports.audience import PAGE, Claim, LeftOver
from tempogram.engine.ports.changes import Change as Announced
from tempogram.engine.ports.results import OnProgress
from tempogram.engine.recovery.cancellations import Cancellations
from tempogram.engine.recovery.parked_messages import ParkedMessages
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.scheduler.board import TaskBoard
from tempogram.engine.sending.slots import NoWorker
from tempogram.engine.services.catalogue import service_of
from tempogram.engine.services.changed import ChangedServices
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tempogram.storage.audit import Change
from tempogram.storage.bots import RegisteredBot, Source
from tempogram.storage.files.spool import Spool, Spooled
from tempogram.storage.identity.secrets import Digests
from tempogram.storage.identity.under_keys import DigestCount, DigestsUnderKeys
from tempogram.storage.key_rotation import KeyState, RotationRefused, UnderKeys
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tempogram.storage.limits import changed, merged
from tempogram.storage.lookups import After
from tempogram.storage.messages import AttemptState, ChatMessage, MessageState
from tests.api.identity import MemoryApiTokens, MemoryLinks, MemorySessions, MemoryUsers
from tests.api.memory_chats import MemoryChats
from tests.bot.memory_handles import MemoryHandles
from tests.engine.scheduler.memory_beats import MemoryBeats
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.engine.services.stored import Store
from tests.fakes import START_MS, Clock, FlakyLedger
from tests.memory_broadcasts import MemoryBroadcastStore
from tests.memory_erasures import ListedExport, MemoryErasures

ADMIN_TOKEN = "correct-horse-battery-staple"
TOKENS = {
    "ADMIN_TOKEN": ADMIN_TOKEN,
    "OPERATOR_TOKEN": "operator-horse-battery-staple",
    "VIEWER_TOKEN": "viewer-horse-battery-staple",
}
BOT_ID = 42
BOT_TOKEN = "42:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
UNKNOWN_TOKEN = "43:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
SECRET = "a-webhook-secret"
PROXY, PROXY_HEADER = "10.0.0.7", "X-Forwarded-User"
UPLOAD_BYTES_MAX = 200_000


class Storage(FlakyLedger):
    """The ledger and its history in one. ``meanwhile``: what happens before a cancellation is written."""

    refusal = "the database refused: could not connect to 10.0.0.5"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.added = asyncio.Event()
        self.shown: list[ChatMessage] = []  # the history, oldest first
        self.in_doubt: set[str] = set()  # messages of which an earlier call may have arrived
        self._cancelled_at_ms: dict[str, int] = {}

    async def may_have_arrived(self, message: Outgoing) -> bool:
        return message.id in self.in_doubt or await super().may_have_arrived(message)

    @property
    def states(self) -> dict[str, MessageState]:
        return {message_id: self._state(message_id) for message_id in self.messages}

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        answers = await super().add(messages)
        self.added.set()
        return answers

    async def cancel(self, message_id: str, *, now_ms: int) -> bool:
        self._reach()
        if self.meanwhile is not None:
            await self.meanwhile()
        self._cancelled_at_ms.setdefault(message_id, now_ms)
        return await super().cancel(message_id, now_ms=now_ms)

    async def message(self, message_id: str) -> MessageState | None:
        self._reach()
        return self.states.get(message_id)

    async def of_number(self, chat_id: ChatId, number: int, *, bot_id: int | None = None) -> list[ChatMessage]:
        self._reach()
        of_chat = [each for each in self.shown if (each.chat_id, each.telegram_message_id) == (chat_id, number)]
        return [each for each in of_chat if bot_id in {None, each.bot_id}]

    async def of_chat(self, bot_id: int, chat_id: ChatId, *, before_id: str | None, limit: int) -> list[ChatMessage]:
        self._reach()
        found = [each for each in self.shown if (each.bot_id, each.chat_id) == (bot_id, chat_id)]
        return [each for each in reversed(found) if before_id is None or each.id < before_id][:limit]

    async def incoming(
        self, bot_id: int, *, since_ms: int, until_ms: int, after: After | None, limit: int
    ) -> list[ChatMessage]:
        self._reach()
        found = [each for each in self.shown if each.bot_id == bot_id and since_ms <= each.submitted_at_ms < until_ms]
        return [each for each in found if after is None or (each.submitted_at_ms, each.id) > after][:limit]

    async def dead_count(self, bot_id: int | None = None) -> int:
        return len(self._dead(bot_id))

    async def dead(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[MessageState]:
        return [each for each in self._dead(bot_id) if each.id > after_id and tag in {None, each.tag}][:limit]

    async def replay(self, message_ids: Sequence[str]) -> list[Outgoing]:
        chosen = [each.id for each in self._dead(None) if each.id in message_ids]
        self.statuses.update(dict.fromkeys(chosen, Status.QUEUED))
        return [self.messages[each] for each in chosen]

    async def purge_dead(self, *, message_ids: Sequence[str] | None = None, bot_id: int | None = None) -> int:
        chosen = [each.id for each in self._dead(bot_id) if message_ids is None or each.id in message_ids]
        for each in chosen:
            del self.messages[each], self.statuses[each]
        return len(chosen)

    async def end(
        self, message_id: str, status: Status, reason: str | None = None, *, items: int | None = None
    ) -> None:
        """Record a call by which a message ends, as a worker in another process would have."""
        message = self.messages[message_id]
        record = Record(
            message_id=message_id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=status,
            attempt=1,
            recorded_at_ms=self._clock(),
            outcome=status.value,
            started_at_ms=self._clock(),
            counted_at_ms=self._clock(),
            telegram_message_id=7 if status is Status.SENT else None,
            fault=None if reason is None else Fault(code=400, reason=reason),
            delivered_items=items,
        )
        await MemoryLedger.record(self, [record])

    def _dead(self, bot_id: int | None) -> list[MessageState]:
        self._reach()
        dead = (self._state(each) for each in sorted(self.messages) if self.statuses[each] is Status.DEAD)
        return [each for each in dead if bot_id in {None, each.bot_id}]

    def _state(self, message_id: str) -> MessageState:
        message, status = self.messages[message_id], self.statuses[message_id]
        records = [each for each in self.records if each.message_id == message_id]
        last = records[-1] if records and status not in OPEN else None
        return MessageState(
            id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            method=message.method,
            priority=message.priority,
            cost=message.cost,
            status=status,
            guarantee=message.guarantee,
            dedup_key=message.dedup_key,
            attempt=message.attempt,
            submitted_at_ms=message.submitted_at_ms,
            ready_at_ms=message.ready_at_ms,
            expires_at_ms=message.expires_at_ms,
            settled_at_ms=last.recorded_at_ms if last else self._cancelled_at_ms.get(message_id),
            telegram_message_id=last.telegram_message_id if last else None,
            reason=last.fault.reason if last and last.fault else None,
            tag=message.tag,
            attempts=tuple(_attempt(number, each) for number, each in enumerate(records, 1) if each.outcome),
        )


def _attempt(number: int, record: Record) -> AttemptState:
    assert record.outcome is not None
    return AttemptState(
        number=number,
        attempt=record.attempt,
        outcome=record.outcome,
        started_at_ms=record.started_at_ms,
        counted_at_ms=record.counted_at_ms,
        recorded_at_ms=record.recorded_at_ms,
        code=record.fault.code if record.fault else None,
        reason=record.fault.reason if record.fault else None,
        delivered_items=record.delivered_items,
    )


class NotingResults(MemoryResults):
    """Notes the messages whose results are waited for, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: asyncio.Queue[str] = asyncio.Queue()

    def expect(self, message_id: str, on_progress: OnProgress | None = None) -> asyncio.Future[Result]:
        self.expected.put_nowait(message_id)
        return super().expect(message_id, on_progress)


class SleepyBroker(MemoryBroker):
    """A broker that is unavailable while ``asleep``, and whose answers are lost while ``is_mute``."""

    asleep = is_mute = False
    refusal = BrokerUnavailable("connection refused by 10.0.0.6")

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        self._wake()
        return await super().admit(messages, worker_id=worker_id, slots=slots, connections=connections, capped=capped)

    async def configure(self, limits: Limits) -> bool:
        self._wake()
        return await super().configure(limits)

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        self._wake()
        forgotten = await super().cancel(message_ids)
        if self.is_mute:
            raise BrokerUnavailable("connection reset by 10.0.0.6")
        return forgotten

    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        self._wake()
        return await super().amend(messages)

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
    """Stores what it receives; raises ``failure`` if there is one."""

    def __init__(self) -> None:
        self.received: list[tuple[int, bytes]] = []
        self.failure: Exception | None = None

    async def receive(self, bot_id: int, body: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.received.append((bot_id, body))


class PlainComposer:
    """Composes every method but ``sendNonsense``."""

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
        priority: Priority = Priority.NORMAL,
        guarantee: Guarantee = Guarantee.AT_LEAST_ONCE,
        ready_at_ms: int = 0,
        expires_at_ms: int | None = None,
        dedup_key: str | None = None,
        user_id: int | None = None,
        tag: str | None = None,
    ) -> Outgoing:
        if method == "sendNonsense":
            raise Refusal("Telegram has no method 'sendNonsense'")
        return Outgoing(
            id=self._ids.new(self._clock()),
            bot_id=bot_id,
            chat_id=chat_id,
            method=method,
            params=msgspec.json.encode(dict(params)),
            cost=0 if method == "pinChatMessage" else 1,
            submitted_at_ms=self._clock(),
            priority=priority,
            guarantee=guarantee,
            ready_at_ms=ready_at_ms,
            expires_at_ms=expires_at_ms,
            dedup_key=dedup_key,
            user_id=user_id,
            tag=tag,
        )


class FileList:
    """See ``Attachments``: what was stored for each message. ``asleep``: the database is unavailable.

    ``meanwhile`` runs while a file is stored; ``times_kept`` counts what was deleted, too.
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


class NamedMedia:
    """See ``BroadcastMedia``: the names and sizes of what is kept, by plan."""

    def __init__(self) -> None:
        self.kept: list[dict[str, tuple[str, int]]] = []

    async def keep(self, plan: Plan, files: Mapping[str, Spooled]) -> Plan:
        if not files:
            return plan
        self.kept.append({name: (file.file_name, file.size_bytes) for name, file in files.items()})
        named = {name: f"attach://m/{name}" for name in files}
        return replace(plan, content=replace(plan.content, params={**plan.content.params, **named}, media="m"))

    async def forget(self, plan: Plan) -> None:
        if plan.content.media is not None:
            self.kept.pop()


class ListedLimits:
    """Changed limits, in memory. ``asleep``: the database is unavailable."""

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


class ListedDryRuns:
    """See ``DryRuns``: one page of what a test lists."""

    def __init__(self) -> None:
        self.messages: list[PlannedMessage] = []
        self.left_out: dict[Reason, int] = {}
        self.asked: list[tuple[int, int | None, str, int]] = []

    async def of(self, bot: RegisteredBot, *, at_ms: int | None, after: str, limit: int) -> DryRun:
        self.asked.append((bot.bot_id, at_ms, after, limit))
        if "reengagement" not in bot.behaviours:
            raise Refusal(f"bot {bot.bot_id} does not have the behaviour reengagement")
        preview = Preview(selected=len(self.messages), held=0, left_out=self.left_out)
        return DryRun(at_ms=at_ms or START_MS, preview=preview, messages=self.messages)


class ListedAudit:
    """Changes in a list."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = Ids(process=1)
        self.changes: list[Change] = []

    async def add(self, change: Change) -> None:
        now_ms = self._clock()
        self.changes.append(replace(change, id=self._ids.new(now_ms), at_ms=now_ms))

    async def page(
        self, *, before_id: str | None, limit: int, who: str | None = None, target: str | None = None
    ) -> list[Change]:
        found = [
            each
            for each in reversed(self.changes)
            if (before_id is None or each.id < before_id) and who in {None, each.who} and target in {None, each.target}
        ]
        return found[:limit]


class OneKey:
    """No key is changed."""

    has_two = False

    async def state(self, *, now_ms: int) -> KeyState:
        digests = DigestsUnderKeys(api_tokens=DigestCount(), login_links=DigestCount(), sessions=DigestCount())
        return KeyState(bots=UnderKeys(present=2), digests=digests, is_changing=False)

    async def rotate(self) -> UnderKeys:
        raise RotationRefused("there is no FORMER_SECRET_KEY, so there is nothing to change; set the key before")


class ListedAudience:
    """A selection gives these chats, and leaves out one that has opted out."""

    def __init__(self) -> None:
        self.chats: list[Recipient] = []
        self.asked: list[tuple[Selection, Rules]] = []

    async def preview(self, selection: Selection, rules: Rules, *, now_ms: int) -> Preview:
        self.asked.append((selection, rules))
        held = sum(each.not_before_ms is not None for each in self.chats)
        return Preview(selected=len(self.chats), held=held, left_out={Reason.OPTED_OUT: 1})

    async def page(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[Recipient]:
        self.asked.append((selection, rules))
        return [each for each in self.chats if str(each.chat_id) > after][:limit]

    async def claim(self, recipients: Sequence[Recipient], rules: Rules, *, bot_id: int, now_ms: int) -> list[Claim]:
        return [Claim(campaign=rules.campaign, bot_id=bot_id, recipient=each) for each in recipients]

    async def note_submitted(self, claims: Sequence[Claim]) -> None: ...

    async def unsubmitted(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[LeftOver]:
        return []

    async def postpone(self, left_over: Sequence[LeftOver], rules: Rules, *, now_ms: int) -> list[Claim]:
        return []


class ListBots:
    """The bots' repository, in memory."""

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

    def pause(self, bot_id: int, by: PausedBy) -> None:
        self.registered[bot_id] = replace(self.registered[bot_id], paused=True, paused_by=by)

    def register(
        self,
        bot_id: int,
        behaviours: Mapping[str, Any],
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.registered[bot_id] = RegisteredBot(
            bot_id=bot_id,
            username=f"bot{bot_id}",
            first_name="Bot",
            behaviours=behaviours,
            paused=False,
            weight=1,
            added_at_ms=START_MS,
            updates=updates,
            defaults=defaults or {},
        )


class ListFleet:
    """Bots with their tokens and webhook secrets; raises ``failure`` if there is one."""

    def __init__(self, bots: ListBots) -> None:
        self._bots = bots
        self.tokens = {BOT_TOKEN: BOT_ID}
        self.secrets: dict[int, Sequence[str]] = {}
        self.secrets_elsewhere: dict[int, Sequence[str]] = {}
        self.rotated: list[int] = []
        self._forgetful: list[Callable[[int], None]] = []
        self.failure: Exception | None = None

    def authenticate(self, token: str) -> int | None:
        return self.tokens.get(token)

    def webhook_secrets(self, bot_id: int) -> Sequence[str]:
        return self.secrets.get(bot_id, ())

    async def reread_secrets(self, bot_id: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.secrets |= self.secrets_elsewhere

    def text_params(self, bot_id: int) -> Mapping[str, Any]:
        bot = self._bots.registered.get(bot_id)
        return bot.defaults if bot is not None else {}

    def source_of(self, bot: RegisteredBot) -> Source:
        return bot.updates or Source.POLLING

    async def add(
        self,
        token: str,
        behaviours: Mapping[str, Any] | None,
        *,
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> int:
        if self.failure is not None:
            raise self.failure
        bot_id = int(token.partition(":")[0])
        self.tokens[token] = bot_id
        self._bots.register(bot_id, behaviours or {}, updates, defaults)
        return bot_id

    async def change(
        self,
        bot_id: int,
        *,
        behaviours: Mapping[str, Any] | None = None,
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self._bots.register(bot_id, behaviours or {}, updates, defaults)

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


class PlainRemovals:
    """Pauses a bot, and clears what waits once."""

    def __init__(self, broker: Broker, closer: Closer) -> None:
        self._broker = broker
        self._closer = closer

        self.going_on: dict[int, RemovalProgress] = {}

    async def complete(self, bot_id: int, *, keep_messages: bool) -> RemovalProgress:
        await self._broker.pause(bot_id, paused=True)
        ended = 0 if keep_messages else (await self._closer.clear_bot(bot_id, before_id="g")).ended
        return RemovalProgress(ended, is_complete=bot_id not in self.going_on)

    async def progress(self, bot_id: int) -> RemovalProgress | None:
        return self.going_on.get(bot_id)


class Health:
    """Answers as the test sets it."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True

    async def __call__(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


SERVICES = {
    "shop": service_of("shop", {"concurrency": 2, "operations": {"pay": {"count": 9, "window_ms": 1_000}, "read": {}}})
}


@dataclass
class World:
    """An app with all its dependencies, and a client with the admin token."""

    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=Clock)
    metrics: Metrics = field(default_factory=Metrics)
    results: NotingResults = field(default_factory=NotingResults)
    intake: ListIntake = field(default_factory=ListIntake)
    bots: ListBots = field(default_factory=ListBots)
    health: Health = field(default_factory=Health)
    files: FileList = field(default_factory=FileList)
    media: NamedMedia = field(default_factory=NamedMedia)
    nanostars_billed: int | None = None
    beats: MemoryBeats = field(default_factory=MemoryBeats)
    broadcasts: MemoryBroadcastStore = field(default_factory=MemoryBroadcastStore)
    users: MemoryUsers = field(default_factory=MemoryUsers)
    links: MemoryLinks = field(default_factory=MemoryLinks)
    announced: list[Announced] = field(default_factory=list)
    api_tokens: MemoryApiTokens = field(init=False)
    sessions: MemorySessions = field(init=False)
    tasks: MemoryTaskStore = field(init=False)
    storage: Storage = field(init=False)
    broker: SleepyBroker = field(init=False)
    stored_limits: ListedLimits = field(init=False)
    naps: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    erasures: MemoryErasures = field(default_factory=MemoryErasures)
    export: ListedExport = field(default_factory=ListedExport)
    eraser: ChatEraser = field(init=False)
    reachability: Reachability = field(init=False)
    fleet: ListFleet = field(init=False)
    removals: PlainRemovals = field(init=False)
    conditions: Conditions = field(init=False)
    services: Services = field(init=False)
    dependencies: Dependencies = field(init=False)
    app: FastAPI = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    anonymous: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = MemoryTaskStore(self.clock)
        self.storage = Storage(self.clock)
        self.conditions = Conditions(self.clock)
        self.chats = MemoryChats()
        self.broker = SleepyBroker(self.limits, clock=self.clock, lease_ms=60_000)
        self.audience = ListedAudience()
        self.audit = ListedAudit(self.clock)
        self.keys = OneKey()
        self.stored_limits = ListedLimits(self.limits)
        self.fleet = ListFleet(self.bots)
        self.bots.register(BOT_ID, {"echo": {}})
        closer = Closer(
            ledger=self.storage, broker=self.broker, results=self.results, conditions=self.conditions, clock=self.clock
        )
        self.removals = PlainRemovals(self.broker, closer)
        pending_admissions = PendingAdmissions(ledger=self.storage, broker=self.broker, closer=closer)
        self.reachability = Reachability(
            ledger=self.storage,
            closer=closer,
            changes=MemoryChanges(),
            clock=self.clock,
            hears=lambda *_: True,
            erasures=self.erasures,
        )
        self.eraser = ChatEraser(
            self.erasures, reachability=self.reachability, closer=closer, ledger=self.storage, clock=self.clock
        )
        cancellations = Cancellations(
            broker=self.broker,
            closer=closer,
            pending_admissions=pending_admissions,
            conditions=self.conditions,
            sleep=lambda _: self.naps.get(),
        )
        self.handles = MemoryHandles(self.storage)
        dispatcher = Dispatcher(
            ledger=self.storage,
            broker=self.broker,
            reachability=self.reachability,
            closer=closer,
            worker=NoWorker(),
            pending_admissions=pending_admissions,
            conditions=self.conditions,
            count_drops=self.metrics.count_drops,
            references=HandleReferences(
                handles=self.handles,
                ledger=self.storage,
                broker=self.broker,
                cancellations=cancellations,
                parked_messages=ParkedMessages(
                    handles=self.handles,
                    ledger=self.storage,
                    broker=self.broker,
                    results=self.results,
                    conditions=self.conditions,
                ),
            ),
        )
        self.dry_runs = ListedDryRuns()
        self.services = Services(SERVICES, MemoryCallLimiter(clock=self.clock, after_start=False), clock=self.clock)
        composer = PlainComposer(self.clock)
        self.api_tokens = MemoryApiTokens(self.users)
        self.sessions = MemorySessions(self.users)
        self.users.on_log_ins_ended = self._end_log_ins
        known = KnownCredentials(self.api_tokens, self.sessions, self.users, clock=self.clock)
        self.dependencies = Dependencies(
            intake=self.intake,
            composer=composer,
            attachments=self.files,
            spool=Spool(Path(gettempdir()), UPLOAD_BYTES_MAX),
            fleet=self.fleet,
            dispatcher=dispatcher,
            eraser=self.eraser,
            export=self.export,
            handles=self.handles,
            cancellations=cancellations,
            closer=closer,
            broker=self.broker,
            ledger=self.storage,
            results=self.results,
            history=self.storage,
            audience=self.audience,
            audit=self.audit,
            keys=self.keys,
            bots=self.bots,
            chats=self.chats,
            limits=self.stored_limits,
            removals=self.removals,
            services=self.services,
            dry_runs=self.dry_runs,
            changed_services=ChangedServices(self.services, SERVICES, Store(), MemoryChanges()),
            metrics=self.metrics,
            conditions=self.conditions,
            clock=self.clock,
            healthy=self.health,
            tokens=BearerTokens({name: (Role[name.removesuffix("_TOKEN")], token) for name, token in TOKENS.items()}),
            wrong_tokens=WrongTokens(clock=self.clock, count=self.metrics.count_refused_token),
            credentials=known,
            browsers=Browsers(known, TrustedProxies(PROXY_HEADER, [ip_network(PROXY)])),
            identity=Identity(
                users=self.users,
                tokens=self.api_tokens,
                links=self.links,
                sessions=self.sessions,
                known=known,
                throttle=LogInThrottle(Digests("a key that no trial finds"), clock=self.clock),
                announce=self._announce,
            ),
            tasks=TaskBoard(self.tasks, self.beats, clock=self.clock),
            broadcasts=self._broadcasts(closer, composer),
            broadcast_media=self.media,
            billing=Billing(self.broadcasts, billed=self._billed, clock=self.clock),
        )
        self.app = create_app(self.dependencies)
        self.client = self._client({"Authorization": f"Bearer {ADMIN_TOKEN}"})
        self.anonymous = self._client({})

    def _end_log_ins(self, user_id: str) -> None:
        self.sessions.stored = {text: each for text, each in self.sessions.stored.items() if each.user_id != user_id}
        self.links.stored = {text: each for text, each in self.links.stored.items() if each != user_id}

    async def _announce(self, item: Announced) -> None:
        self.announced.append(item)

    async def _billed(self, bot_id: int, since_ms: int, until_ms: int) -> int | None:
        return self.nanostars_billed

    def _broadcasts(self, closer: Closer, composer: PlainComposer) -> Broadcasts:
        return Broadcasts(
            self.broadcasts,
            self.audience,
            broker=self.broker,
            ledger=self.storage,
            closer=closer,
            compose=composed(composer),
            read=read,
            limits=self.stored_limits.current,
            wake=lambda: None,
            clock=self.clock,
        )

    async def submitted(self, **changes: Any) -> str:
        """Submit a message and return its id."""
        wanted = {"bot": BOT_ID, "chat_id": 7, "text": "hello"} | changes
        response = await self.client.post("/messages", json=wanted)
        message_id: str = response.json()["id"]
        return message_id

    async def dead(self, **changes: Any) -> str:
        """Submit a message, and make it a dead letter."""
        message_id = await self.submitted(**changes)
        await self.broker.cancel([message_id])
        await self.storage.end(message_id, Status.DEAD, "Forbidden: bot was blocked by the user")
        return message_id

    async def leased(self, slots: int = 1) -> tuple[Lease, ...]:
        return (await self.broker.lease(worker_id="w", slots=slots)).leases

    async def send(self, message_id: str) -> None:
        """End a message as sent, as the engine would."""
        await self.storage.end(message_id, Status.SENT)
        await self.results.publish(Result(message_id, Status.SENT, None))

    def of(self, role: Role) -> httpx.AsyncClient:
        """Return a client with the token of a role."""
        return self._client({"Authorization": f"Bearer {TOKENS[f'{role.name}_TOKEN']}"})

    def bearing(self, token: str) -> httpx.AsyncClient:
        """Return a client with a token."""
        return self._client({"Authorization": f"Bearer {token}"})

    async def bound(self, *bots: int, role: Role = Role.ADMIN) -> httpx.AsyncClient:
        """Return a client whose token is bound to bots."""
        made = await self.api_tokens.add("bound", role, bots=bots, now_ms=self.clock())
        return self.bearing(made.text)

    def browser(self, *, address: str = "203.0.113.7", scheme: str = "http", **headers: str) -> httpx.AsyncClient:
        """Return a browser at our own pages, with cookies of its own."""
        given = {"Sec-Fetch-Site": "same-origin"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client(given, address=address, scheme=scheme)

    async def logged_in(self, role: Role, *, scheme: str = "http") -> httpx.AsyncClient:
        """Return the browser of a user of a role that has just logged in."""
        user = await self.users.add(f"a-{role.name.lower()}-{len(self.users.stored)}", role, now_ms=self.clock())
        browser = self.browser(scheme=scheme)
        link = await self.links.add(user.id, now_ms=self.clock())
        answer = await browser.post("/session", json={"link": link})
        assert answer.status_code == 201, answer.text
        return browser

    def _client(
        self, headers: dict[str, str], *, address: str = "127.0.0.1", scheme: str = "http"
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, client=(address, 1_024))
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://tempogram", headers=headers)


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return the status, the code and the message of an error; assert that the body has nothing else."""
    body = response.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "message"]
    assert "\n" not in body["error"]["message"]
    return response.status_code, body["error"]["code"], body["error"]["message"]
