"""The behaviour's task over a real SQLite database: the claims, the ledger, and a kill before or after any write."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from aiogram.methods import SendMessage

from bench.reengagement.accounts import Account
from tempogram.bot.behaviours.reengagement.task import Reengagement
from tempogram.bot.behaviours.reengagement.writer import Writer
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Guarantee, Outgoing, Priority
from tempogram.engine.ports import Known
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.selection.audience import SqlAudience

BOT_ID = 42

BOT = RegisteredBot(
    bot_id=BOT_ID,
    username="quiet_bot",
    first_name="Quiet",
    behaviours={"reengagement": {}},
    paused=False,
    weight=1,
    added_at_ms=0,
)

Returned = TypeVar("Returned")


class Fuse:
    """Kills at the n-th point at which the database has, or has not yet, done what it was asked."""

    def __init__(self, points: int) -> None:
        self._left = points
        self.blown = asyncio.Event()

    async def around(self, work: Callable[[], Awaitable[Returned]]) -> Returned:
        await self._point()
        returned = await work()
        await self._point()
        return returned

    async def _point(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.blown.set()
            await asyncio.Event().wait()  # what is dead goes on with nothing


class FusedAudience:
    """See ``Audience``; every call passes the fuse."""

    def __init__(self, audience: SqlAudience, fuse: Fuse) -> None:
        self._audience = audience
        self._fuse = fuse

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        called = getattr(self._audience, name)
        return lambda *args, **named: self._fuse.around(lambda: called(*args, **named))


class Fleet:
    """One bot."""

    async def all(self) -> list[RegisteredBot]:
        return [BOT]


class Processes:
    """Runs of the task, each by a process of its own, on one database.

    Attributes:
        again: Submissions that the ledger knew already: a process had died before it could note them.
    """

    def __init__(self, database: Database, file: Path, clock: Callable[[], int]) -> None:
        self._database = database
        self._file = file
        self._clock = clock
        self._ids = Ids(process=1)
        self._last_id = ""
        self.again = 0

    async def run(self) -> None:
        """Run the task to its end."""
        await self._task(Fuse(1 << 60)).run()

    async def run_and_kill(self, points: int) -> bool:
        """Run the task and kill it after so many points; False if it ended before."""
        fuse = Fuse(points)
        run, blown = asyncio.create_task(self._task(fuse).run()), asyncio.create_task(fuse.blown.wait())
        await asyncio.wait((run, blown), return_when=asyncio.FIRST_COMPLETED)
        was_killed = not run.done()
        for task in (run, blown):
            task.cancel()
        await asyncio.wait((run, blown))
        if not was_killed:
            run.result()
        return was_killed

    def submitted(self) -> list[tuple[int, str]]:
        """Return the chat and the local date of each message that is in the ledger since the last look."""
        with closing(sqlite3.connect(self._file, timeout=10)) as ledger:
            rows = ledger.execute(
                "SELECT id, dedup_key FROM messages WHERE id > ? ORDER BY id", (self._last_id,)
            ).fetchall()
        if rows:
            self._last_id = rows[-1][0]
        keys = (key.split(":") for _, key in rows)
        return [(int(chat_id), date) for _, _, chat_id, date in keys]

    def store(self, accounts: Iterable[Account]) -> None:
        """Store what is known of chats."""
        rows = [
            (
                BOT_ID,
                str(each.chat_id),
                each.is_reachable,
                None if each.is_reachable else "Forbidden: bot was blocked by the user",
                each.zone,
                each.wrote_ms,
                each.got_ms,
                1 if each.is_opted_out else None,
            )
            for each in accounts
        ]
        with closing(sqlite3.connect(self._file, timeout=10)) as database, database:
            database.executemany(_STORE, rows)

    def _task(self, fuse: Fuse) -> Reengagement:
        ledger = SqlLedger(self._database)

        async def submit(campaign: Campaign, claim: Claim, method: SendMessage, delivery: Guarantee) -> None:
            message = self._message(claim, method, delivery)
            (answer,) = await fuse.around(lambda: ledger.add([message]))
            self.again += isinstance(answer, Known)
            await campaign.note(claim, answer.message_id if isinstance(answer, Known) else message.id)

        return Reengagement(
            bots=Fleet(),  # type: ignore[arg-type]
            audience=FusedAudience(SqlAudience(self._database), fuse),  # type: ignore[arg-type]
            writer=Writer(None, texts=None, keep_ms=0, clock=self._clock),
            submit=submit,
            clock=self._clock,
        )

    def _message(self, claim: Claim, method: SendMessage, delivery: Guarantee) -> Outgoing:
        now_ms = self._clock()
        return Outgoing(
            id=self._ids.new(now_ms),
            bot_id=claim.bot_id,
            chat_id=claim.recipient.chat_id,
            method="sendMessage",
            params=json.dumps({"text": method.text}).encode(),
            priority=Priority.LOW,
            submitted_at_ms=now_ms,
            expires_at_ms=claim.recipient.day_ends_ms,
            guarantee=delivery,
            dedup_key=claim.dedup_key,
            tag=claim.campaign,
        )


_STORE = """
INSERT INTO chats (bot_id, chat_id, reachable, reason, time_zone, last_message_in_at_ms, last_message_out_at_ms,
                   opted_out_at_ms, type)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'private')
ON CONFLICT (bot_id, chat_id) DO UPDATE SET
    reachable = excluded.reachable, reason = excluded.reason, time_zone = excluded.time_zone,
    last_message_in_at_ms = excluded.last_message_in_at_ms, last_message_out_at_ms = excluded.last_message_out_at_ms,
    opted_out_at_ms = excluded.opted_out_at_ms
"""
