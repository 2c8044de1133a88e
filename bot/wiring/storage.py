"""The database, and the repositories over it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tempogram.bot.config.data_dir import database_url, is_new_key_due, seal, secret_key_file, stored_seal
from tempogram.bot.config.settings import Settings
from tempogram.bot.terminal.steps import step
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Clock
from tempogram.storage.alerts.alerts import SqlAlertStore
from tempogram.storage.alerts.readings import SqlAlertReadings
from tempogram.storage.audit import SqlAudit
from tempogram.storage.bots import Bots
from tempogram.storage.broadcasts.broadcasts import SqlBroadcastStore
from tempogram.storage.chats import Chats
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import database_exists, name_of
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.fsm.states import States
from tempogram.storage.handles import SqlHandles
from tempogram.storage.identity.links import LoginLinks
from tempogram.storage.identity.secrets import Digests
from tempogram.storage.identity.sessions import ApiSessions
from tempogram.storage.identity.tokens import ApiTokens
from tempogram.storage.identity.users import Users
from tempogram.storage.key_rotation import KeyRotation
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.limits import StoredLimits
from tempogram.storage.messages import MessageHistory
from tempogram.storage.privacy.erasures import SqlErasures
from tempogram.storage.privacy.export import ChatExport
from tempogram.storage.processes.clean_end import marked_in_use
from tempogram.storage.processes.epochs import SqlEpochs
from tempogram.storage.processes.exclusive_lock import LOCK_QUERY_TIMEOUT_S, ExclusiveLock, exclusive_lock
from tempogram.storage.processes.held_locks import HeldLocks
from tempogram.storage.processes.identity import check_former_key, check_key, check_no_key, ledger_id
from tempogram.storage.processes.membership import SqlMembership, membership
from tempogram.storage.retention import Retention, RetentionPeriods
from tempogram.storage.scheduler.beats import SqlBeats
from tempogram.storage.scheduler.sweeps import SqlSweeps
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tempogram.storage.selection.audience import SqlAudience
from tempogram.storage.services.declared import SqlServices
from tempogram.storage.services.uses import SqlCallUses
from tempogram.storage.texts import Texts
from tempogram.storage.totals import SqlTotals
from tempogram.storage.updates import Updates
from tempogram.storage.watches.watches import SqlWatchStore

PROCESS_BITS = 31
"""PostgreSQL's locks take a signed number of 32 bits. Two of a hundred processes meet once in 400,000 starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The repositories over one database.

    Attributes:
        process: The number of this process among those that share the database.
        ledger_id: The number of the database itself.
        check_key: See ``identity.check_key``; for after the stored tokens were read.
        digests: What signs the cookies of browsers.
        ids: Makes message ids that sort after every stored one.
    """

    process: int
    ledger_id: str
    check_key: Callable[[], Awaitable[None]]
    digests: Digests
    erasures: SqlErasures
    export: ChatExport
    ids: Ids
    exclusive_lock: ExclusiveLock
    ledger: SqlLedger
    epochs: SqlEpochs
    held_locks: HeldLocks
    members: SqlMembership
    keys: KeyRotation
    alerts: SqlAlertStore
    alert_readings: SqlAlertReadings
    api_tokens: ApiTokens
    audience: SqlAudience
    audit: SqlAudit
    beats: SqlBeats
    bots: Bots
    broadcasts: SqlBroadcastStore
    call_uses: SqlCallUses
    chats: Chats
    handles: SqlHandles
    history: MessageHistory
    limits: StoredLimits
    login_links: LoginLinks
    services: SqlServices
    sessions: ApiSessions
    states: States
    sweeps: SqlSweeps
    tasks: SqlTaskStore
    texts: Texts
    totals: SqlTotals
    updates: Updates
    users: Users
    watches: SqlWatchStore
    uploads: Uploads
    retention: Retention


@asynccontextmanager
async def open_storage(settings: Settings, clock: Clock) -> AsyncIterator[Storage]:
    """Open the database: exclusively if the queue is in memory, otherwise beside other processes."""
    key, process = stored_seal(settings), secrets.randbits(PROCESS_BITS)
    keep = RetentionPeriods(
        messages_ms=settings.keep_messages_ms,
        dead_ms=settings.keep_dead_ms,
        texts_ms=settings.keep_texts_ms,
        audit_ms=settings.keep_audit_ms,
    )
    url, held_locks = database_url(settings), HeldLocks()
    async with AsyncExitStack() as stack:
        with step(f"waits for {name_of(url)}"):
            use = await stack.enter_async_context(
                exclusive_lock(url, shared=bool(settings.redis_url), held_locks=held_locks)
            )
            if key is not None and is_new_key_due(settings):
                key = await new_seal(settings, former=key)
            announcements = await stack.enter_async_context(
                membership(url, process, held_locks, fingerprints=() if key is None else key.fingerprints)
            )
        with step(f"makes the tables of {name_of(url)}, or brings them up to date"):
            database = await Database.open(url)
        if key is None:
            key = await first_seal(settings, database)
        ledger = SqlLedger(database)
        epoch_readers = Database.open_read_only(url, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
        try:
            async with marked_in_use(database):
                yield Storage(
                    process=process,
                    ledger_id=await ledger_id(database),
                    check_key=partial(check_key, database, key),
                    digests=key.digests,
                    erasures=SqlErasures(database, key),
                    export=ChatExport(database),
                    ids=Ids(await ledger.last_id(), process=process),
                    exclusive_lock=use,
                    ledger=ledger,
                    epochs=SqlEpochs(
                        database, readers=epoch_readers, announcements=announcements, held_locks=held_locks
                    ),
                    held_locks=held_locks,
                    members=(members := SqlMembership(epoch_readers, held_locks)),
                    keys=KeyRotation(database, key, members),
                    alerts=SqlAlertStore(database),
                    alert_readings=SqlAlertReadings(database),
                    api_tokens=ApiTokens(database, key.digests),
                    audience=SqlAudience(database),
                    audit=SqlAudit(database, clock=clock),
                    beats=SqlBeats(database),
                    bots=Bots(database, key),
                    broadcasts=SqlBroadcastStore(database),
                    call_uses=SqlCallUses(database),
                    chats=Chats(database),
                    handles=SqlHandles(database),
                    history=MessageHistory(database),
                    limits=StoredLimits(database, settings.limits()),
                    login_links=LoginLinks(database, key.digests),
                    services=SqlServices(database),
                    sessions=ApiSessions(database, key.digests),
                    states=States(database),
                    sweeps=SqlSweeps(database),
                    tasks=SqlTaskStore(database),
                    texts=Texts(database, keep_ms=settings.keep_texts_ms),
                    totals=SqlTotals(database),
                    updates=Updates(database, process=process),
                    uploads=Uploads(database),
                    users=Users(database),
                    watches=SqlWatchStore(database),
                    retention=Retention(database, keep=keep, clock=clock),
                )
        finally:
            await epoch_readers.close()
            await database.close()


async def new_seal(settings: Settings, *, former: Seal) -> Seal:
    """Make the new key where a change begins, as only the former one is there.

    Raises:
        SettingsError: The database has another key than the former one: the new one was made, and is missing.
        LedgerError: It cannot be read.
    """
    if database_exists(database_url(settings)):
        database = Database.open_read_only(database_url(settings))
        try:
            await check_former_key(database, former, secret_key_file(settings))
        finally:
            await database.close()
    return seal(settings)


async def first_seal(settings: Settings, database: Database) -> Seal:
    """Make the key of a new database.

    Raises:
        SettingsError: It is not new: the key of its tokens is missing.
        LedgerError: It cannot be read.
    """
    try:
        await check_no_key(database, secret_key_file(settings))
        return seal(settings)
    except BaseException:
        await database.close()
        raise
