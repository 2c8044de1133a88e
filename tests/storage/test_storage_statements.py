"""What a repository asks of the database does not grow with how many things it is given.

Each public method that takes many has a case here; a new one without a case fails. ``MANY`` is a size that a bulk
statement takes at once (``storage.database.bulk``): more are cut into pieces of at most 128.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from tempogram import storage
from tempogram.engine.bulk.journal import Mark as BulkMark
from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Outcome
from tempogram.engine.model.messages import Hold, Outgoing, PastSend, Status
from tempogram.engine.model.selection import Recipient, Rules
from tempogram.engine.model.watches import Digest, Plan, Subscriber, WatchRules
from tempogram.engine.ports.alert_store import Alert, Event, Finding, Mark, Notice, NoticeRow
from tempogram.engine.ports.audience import Claim, LeftOver
from tempogram.engine.ports.beat_store import LoopBeat
from tempogram.engine.ports.ledger import Fault
from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.sweep import SweepRow
from tempogram.storage.alerts.alerts import SqlAlertStore
from tempogram.storage.bots import Bots
from tempogram.storage.broadcasts.broadcasts import SqlBroadcastStore
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import Chats
from tempogram.storage.database.database import Database
from tempogram.storage.handles import SqlHandles
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.messages import MessageHistory
from tempogram.storage.privacy.erasures import SqlErasures
from tempogram.storage.processes.identity import ledger_id
from tempogram.storage.scheduler.beats import SqlBeats
from tempogram.storage.scheduler.sweeps import SqlSweeps
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tempogram.storage.selection.audience import SqlAudience
from tempogram.storage.services.uses import SqlCallUses
from tempogram.storage.totals import SqlTotals
from tempogram.storage.updates import ReceivedUpdate, Updates
from tempogram.storage.watches.watches import SqlWatchStore
from tests.broadcasts import plan
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message
from tests.storage.statements import noted

FEW, MANY = 1, 16

Ask = Awaitable[object]
Case = Callable[[Database, int], Awaitable[Ask]]
"""Makes what there must be before, and returns the call that is counted."""

OF_ONE = {
    "ApiTokens.add",
    "Bots.add",
    "Bots.set_behaviours",
    "Bots.set_defaults",
    "States.set_data",
    "States.update_data",
    "StoredLimits.change",
}
"""Their mapping is one value of one row."""


_keys = itertools.count()


def messages_of(count: int) -> list[Outgoing]:
    return [message(dedup_key=f"key{next(_keys)}") for _ in range(count)]


async def added(database: Database, count: int) -> list[Outgoing]:
    made = messages_of(count)
    await SqlLedger(database).add(made)
    return made


async def dead(database: Database, count: int) -> list[str]:
    made = await added(database, count)
    fault = Fault(code=400, reason="chat not found")
    await SqlLedger(database).record([became(each, Status.DEAD, fault=fault) for each in made])
    return [each.id for each in made]


def alerts(count: int) -> list[Alert]:
    return [Alert(id=f"{n:026}", kind="dead", key=str(n), text="x", opened_at_ms=NOW_MS) for n in range(count)]


def notices(count: int) -> list[NoticeRow]:
    return [
        NoticeRow(
            notice=Notice(
                id=f"{n:026}", event=Event.OPENED, kind="dead", lines=("x",), keys=("1",), alerts=1, at_ms=NOW_MS
            ),
            channel="slack",
        )
        for n in range(count)
    ]


def recipients(count: int) -> list[Recipient]:
    return [
        Recipient(chat_id=n + 1, zone="UTC", local_date="2023-11-14", not_before_ms=None, day_ends_ms=NOW_MS + 10**7)
        for n in range(count)
    ]


CLAIMED = Rules(campaign="spring", daily_cap=3)


async def erased(database: Database, count: int) -> Ask:
    erasures = SqlErasures(database, Seal("a key that no trial finds"))
    await ledger_id(database)
    for chat_id in range(count):
        await erasures.begin(BOT, chat_id, now_ms=NOW_MS)
    return erasures.among([(BOT, chat_id) for chat_id in range(count)])


def simply(ask: Callable[[Database, int], Ask]) -> Case:
    async def case(database: Database, count: int) -> Ask:
        return ask(database, count)

    return case


def with_messages(ask: Callable[[Database, list[Outgoing]], Ask]) -> Case:
    async def case(database: Database, count: int) -> Ask:
        return ask(database, await added(database, count))

    return case


def with_dead(ask: Callable[[Database, list[str]], Ask]) -> Case:
    async def case(database: Database, count: int) -> Ask:
        return ask(database, await dead(database, count))

    return case


async def say(database: Database, count: int) -> Ask:
    await SqlAlertStore(database).open(alerts(count))
    return SqlAlertStore(database).say(Mark.SAID, alerts(count), NOW_MS, notices(count))


async def referred(database: Database, count: int) -> Ask:
    for number in range(count):
        await SqlHandles(database).refer(f"a{number}", [f"b{number}"], after_ids=[])
    return SqlHandles(database).referrals([f"b{number}" for number in range(count)])


async def handed_out(database: Database, count: int) -> Ask:
    numbers = [(await SqlHandles(database).hand_out(BOT, each.id, 1))[0] for each in await added(database, count)]
    return SqlHandles(database).targets(BOT, numbers)


async def declared(database: Database, count: int) -> Ask:
    await SqlTaskStore(database).declare(tasks(count))
    return SqlTaskStore(database).mark_declared([])


async def note_claims(database: Database, count: int) -> Ask:
    rows = await SqlAudience(database).claim(recipients(count), CLAIMED, bot_id=BOT, now_ms=NOW_MS)
    claims = [Claim(campaign="spring", bot_id=BOT, recipient=each.recipient, message_id="a") for each in rows]
    return SqlAudience(database).note_submitted(claims)


async def postpone(database: Database, count: int) -> Ask:
    claims = await SqlAudience(database).claim(recipients(count), CLAIMED, bot_id=BOT, now_ms=NOW_MS)
    late = [LeftOver(claim=each, recipient=replace(each.recipient, local_date="2023-11-15")) for each in claims]
    return SqlAudience(database).postpone(late, CLAIMED, now_ms=NOW_MS)


async def received(database: Database, count: int) -> Ask:
    await Updates(database, process=1).receive_many(updates(count))
    return Updates(database, process=1).mark_handled([(BOT, n) for n in range(count)], now_ms=NOW_MS)


def updates(count: int) -> list[ReceivedUpdate]:
    return [ReceivedUpdate(bot_id=BOT, update_id=n, body=b"{}", received_at_ms=NOW_MS) for n in range(count)]


def tasks(count: int) -> list[TaskRow]:
    return [TaskRow(name=f"task{n}", times="every 60000 0") for n in range(count)]


def subscribers(count: int) -> list[Subscriber]:
    return [Subscriber(BOT, n + 1) for n in range(count)]


def sources(count: int) -> set[str]:
    return {f"source{n}" for n in range(count)}


async def gather(database: Database, count: int) -> Ask:
    made = await SqlBroadcastStore(database).create("spring", plan(), now_ms=NOW_MS)
    return SqlBroadcastStore(database).gather(made, {n + 1: NOW_MS for n in range(count)}, to="")


def with_broadcasts(ask: Callable[[SqlBroadcastStore, list[Broadcast]], Ask]) -> Case:
    async def case(database: Database, count: int) -> Ask:
        store = SqlBroadcastStore(database)
        return ask(store, [await store.create(f"spring {n}", plan(), now_ms=NOW_MS) for n in range(count)])

    return case


def with_recipients(ask: Callable[[SqlBroadcastStore, Broadcast, list[Addressee]], Ask]) -> Case:
    async def case(database: Database, count: int) -> Ask:
        store, chats = SqlBroadcastStore(database), list(range(1, count + 1))
        made = await store.create("spring", plan(), now_ms=NOW_MS)
        await store.gather(made, dict.fromkeys(chats, NOW_MS), to="")
        return ask(store, made, [Addressee(chat_id=each) for each in chats])

    return case


def bots(database: Database) -> Bots:
    return Bots(database, Seal("a-secret-key-for-tests"))


def ids(made: list[Outgoing]) -> list[str]:
    return [each.id for each in made]


FAULT = Fault(code=None, reason="too late")

CASES: dict[str, Case] = {
    "SqlAlertStore.open": simply(lambda database, count: SqlAlertStore(database).open(alerts(count))),
    "SqlAlertStore.end": simply(
        lambda database, count: SqlAlertStore(database).end([each.id for each in alerts(count)], NOW_MS)
    ),
    "SqlAlertStore.say": say,
    "SqlAlertStore.next_try_ms": simply(
        lambda database, count: SqlAlertStore(database).next_try_ms([str(n) for n in range(count)])
    ),
    "SqlAlertStore.sight": simply(
        lambda database, count: SqlAlertStore(database).sight(
            "a", [Finding("dead", str(n), "x") for n in range(count)], NOW_MS
        )
    ),
    "Bots.stored": simply(lambda database, count: bots(database).stored(range(count))),
    "Bots.among": simply(lambda database, count: bots(database).among(range(count))),
    "Bots.keep_modules": simply(
        lambda database, count: bots(database).keep_modules({f"m{n}": {} for n in range(count)})
    ),
    "Chats.set_facts": simply(
        lambda database, count: Chats(database).set_facts(
            BOT, [ChatFacts(chat_id=n + 1, language="de", tags=("a",)) for n in range(count)]
        )
    ),
    "SqlErasures.among": erased,
    "SqlHandles.targets": handed_out,
    "SqlHandles.refer": simply(
        lambda database, count: SqlHandles(database).refer("a", [str(n) for n in range(count)], after_ids=[])
    ),
    "SqlHandles.referrals": referred,
    "SqlLedger.add": simply(lambda database, count: SqlLedger(database).add(messages_of(count))),
    "SqlLedger.known": with_messages(lambda database, made: SqlLedger(database).known(made)),
    "SqlLedger.standings": with_dead(lambda database, made: SqlLedger(database).standings(made)),
    "SqlLedger.discard": with_messages(lambda database, made: SqlLedger(database).discard(ids(made))),
    "SqlLedger.mark_sending": with_messages(lambda database, made: SqlLedger(database).mark_sending(ids(made))),
    "SqlLedger.record": with_messages(
        lambda database, made: SqlLedger(database).record([became(each, Status.SENT) for each in made])
    ),
    "SqlLedger.end_many": with_messages(
        lambda database, made: SqlLedger(database).end_many(
            ids(made), status=Status.EXPIRED, fault=FAULT, now_ms=NOW_MS
        )
    ),
    "SqlLedger.amend": with_messages(lambda database, made: SqlLedger(database).amend(made)),
    "SqlLedger.record_holds": simply(
        lambda database, count: SqlLedger(database).record_holds(
            [Hold(BOT, n + 1, NOW_MS) for n in range(count)], now_ms=NOW_MS
        )
    ),
    "SqlLedger.open_among": with_messages(lambda database, made: SqlLedger(database).open_among(ids(made))),
    "SqlLedger.times_lost": with_messages(lambda database, made: SqlLedger(database).times_lost(ids(made))),
    "SqlLedger.presume": simply(
        lambda database, count: SqlLedger(database).presume([PastSend(BOT, CHAT, NOW_MS, 1)] * count)
    ),
    "SqlLedger.reach_of": simply(
        lambda database, count: SqlLedger(database).reach_of([(BOT, n + 1) for n in range(count)])
    ),
    "MessageHistory.replay": with_dead(lambda database, made: MessageHistory(database).replay(made)),
    "MessageHistory.purge_dead": with_dead(
        lambda database, made: MessageHistory(database).purge_dead(message_ids=made)
    ),
    "SqlBeats.report": simply(
        lambda database, count: SqlBeats(database).report(
            "a",
            [LoopBeat(process="a", loop=str(n), role="run", at_ms=NOW_MS, every_ms=1) for n in range(count)],
            alive=[],
        )
    ),
    "SqlTaskStore.declare": simply(lambda database, count: SqlTaskStore(database).declare(tasks(count))),
    "SqlTaskStore.mark_declared": declared,
    "SqlAudience.claim": simply(
        lambda database, count: SqlAudience(database).claim(recipients(count), CLAIMED, bot_id=BOT, now_ms=NOW_MS)
    ),
    "SqlAudience.note_submitted": note_claims,
    "SqlAudience.postpone": postpone,
    "SqlCallUses.add": simply(lambda database, count: SqlCallUses(database).add([("shop", NOW_MS, 1)] * count)),
    "SqlSweeps.note_bulk": simply(
        lambda database, count: SqlSweeps(database).note_bulk(
            SweepRow(name="campaign-7", run="a"), [BulkMark(index=n, error="x") for n in range(count)]
        )
    ),
    "SqlTotals.add": simply(lambda database, count: SqlTotals(database).add({f"t{n}": 1 for n in range(count)})),
    "SqlBroadcastStore.change": simply(
        lambda database, count: SqlBroadcastStore(database).change(
            1, BroadcastState.RUNNING, when=list(BroadcastState)[:count], now_ms=NOW_MS
        )
    ),
    "SqlBroadcastStore.gather": gather,
    "SqlBroadcastStore.note": with_recipients(
        lambda store, of, chats: store.note(of, {each: f"a{each.chat_id}" for each in chats})
    ),
    "SqlBroadcastStore.end": with_recipients(lambda store, of, chats: store.end(of, {Outcome.REFUSED: chats})),
    "SqlBroadcastStore.drop": with_recipients(lambda store, of, chats: store.drop(of, chats)),
    "SqlBroadcastStore.under_way": with_broadcasts(lambda store, of: store.under_way(of)),
    "SqlBroadcastStore.last_due_ms": with_broadcasts(lambda store, of: store.last_due_ms(of)),
    "SqlBroadcastStore.ahead": with_broadcasts(lambda store, of: store.ahead(of)),
    "SqlBroadcastStore.postpone": with_recipients(
        lambda store, of, chats: store.postpone(of, dict.fromkeys(chats, NOW_MS + 1))
    ),
    "SqlWatchStore.counts": simply(
        lambda database, count: SqlWatchStore(database).counts(WatchRules(), sources(count), now_ms=NOW_MS)
    ),
    "SqlWatchStore.digests": simply(lambda database, count: SqlWatchStore(database).digests(without=range(count))),
    "SqlWatchStore.put_together": simply(
        lambda database, count: SqlWatchStore(database).put_together(subscribers(count), now_ms=NOW_MS)
    ),
    "SqlWatchStore.defer": simply(
        lambda database, count: SqlWatchStore(database).defer(subscribers(count), until_ms=NOW_MS)
    ),
    "SqlWatchStore.drop": simply(lambda database, count: SqlWatchStore(database).drop(subscribers(count))),
    "SqlWatchStore.submitted": simply(
        lambda database, count: SqlWatchStore(database).submitted(
            [Digest(to=each, at_ms=NOW_MS, changes=()) for each in subscribers(count)]
        )
    ),
    "SqlWatchStore.ship_plans": simply(
        lambda database, count: SqlWatchStore(database).ship_plans(
            [Plan(name=f"plan{n}", items_max=1, interval_ms=1) for n in range(count)]
        )
    ),
    "Updates.receive_many": simply(lambda database, count: Updates(database, process=1).receive_many(updates(count))),
    "Updates.mark_handled": received,
}

ONE_EACH = {"SqlAlertStore.waiting", "SqlServices.declare", "Uploads.keep"}
"""Statements for each of a few: the channels of alerts, services whose declaration has changed since the last start,
and the new files of one message, in rows of 1 MiB."""

TAKES_MANY = re.compile(r"\b(Sequence|Collection|Mapping|Iterable|list|dict|set)\b")


def methods_of_many() -> Iterator[str]:
    for found in pkgutil.walk_packages(storage.__path__, "tempogram.storage."):
        if ".migrations" not in found.name:
            module = importlib.import_module(found.name)
            for owner in vars(module).values():
                if inspect.isclass(owner) and owner.__module__ == found.name and _is_repository(owner):
                    yield from _of_many(owner)


def _is_repository(owner: type) -> bool:
    taken = list(inspect.signature(owner).parameters.values()) if "__init__" in vars(owner) else []
    return bool(taken) and taken[0].annotation == "Database"


def _of_many(owner: type) -> Iterator[str]:
    for name, method in vars(owner).items():
        if not name.startswith("_") and inspect.iscoroutinefunction(method):
            given = inspect.signature(method).parameters.values()
            if any(TAKES_MANY.search(str(each.annotation)) for each in given):
                yield f"{owner.__name__}.{name}"


def test_every_method_that_takes_many_is_asked_here() -> None:
    assert {*CASES, *OF_ONE, *ONE_EACH} == set(methods_of_many())


class StatementsContract:
    @pytest.mark.parametrize("name", CASES)
    async def test_many_take_as_many_statements_as_one(self, database: Database, name: str) -> None:
        asked = []
        for count in (FEW, MANY):
            ask = await CASES[name](database, count)
            with noted() as statements:
                await ask
            asked.append([each.text for each in statements])

        assert len(asked[1]) <= len(asked[0]), asked[1]


class TestStatementsOnSqlite(OnSqlite, StatementsContract):
    pass


class TestStatementsOnPostgres(OnPostgres, StatementsContract):
    pass
