"""The real program with every channel of alerts on loopback, and what is wrong with it as rows in its database."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tempogram.engine.ports.task_store import TaskRow
from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.bot.alerts.receivers import MailReceiver, WebhookReceiver
from tests.end_to_end.program import Program, started

KEY = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OPERATORS = 555
CHANNELS = ("chat", "email", "slack", "webhook")


STAY_DECLARED = (
    "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.is_declared = true; RETURN NEW; END $$"
)
BEFORE_UPDATES = "CREATE TRIGGER stay BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION stay()"
"""The rows of ``stall`` are of no task that the program has, and it would note so when it starts again."""


class Alerting:
    """A program, its four receivers, and its database."""

    def __init__(self, program: Program, telegram: RunningSimulator, engine: AsyncEngine) -> None:
        self.program = program
        self._telegram = telegram
        self._engine = engine
        self.slack = WebhookReceiver()
        self.webhook = WebhookReceiver(key=bytes(range(32)))
        self.email = MailReceiver()

    async def stall(self, name: str) -> None:
        """Write the row of a task that should have run two intervals ago."""
        now_ms = round(time.time() * 1_000)
        row = asdict(
            TaskRow(
                name=name,
                times="every 60000 0",
                next_due_ms=now_ms - 70_000,
                anchor_ms=now_ms - 200_000,
                last_run_ms=now_ms - 130_000,
            )
        )
        names = ", ".join(f":{each}" for each in row)
        await self.write(f"INSERT INTO tasks ({', '.join(row)}) VALUES ({names})", **row)  # noqa: S608 - columns

    async def mend(self, name: str) -> None:
        """Let a task have run just now."""
        now_ms = round(time.time() * 1_000)
        sql = "UPDATE tasks SET last_run_ms = :now, next_due_ms = :later WHERE name = :name"
        await self.write(sql, now=now_ms, later=now_ms + 3_600_000, name=name)

    async def write(self, sql: str, **values: Any) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text(sql), values)

    async def read(self, sql: str) -> list[tuple[Any, ...]]:
        async with self._engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]

    async def texts(self) -> dict[str, list[str]]:
        """Return the texts that each receiver has accepted, in their order."""
        sent = [each for each in await self._telegram.calls() if each["code"] == 200 and each["cost"]]
        return {
            "chat": [each["text"] for each in sent if each["chat_id"] == OPERATORS],
            "email": [each.get_content().replace("\r", "").rstrip("\n") for each in self.email.accepted],
            "slack": [body["text"] for _, body in self.slack.accepted],
            "webhook": [body["data"]["text"] for _, body in self.webhook.accepted],
        }

    async def until_said(self, *beginnings: str, within_s: float = 60) -> None:
        """Wait until each receiver has got just these, by how each begins; then look once more a second later."""

        async def is_said() -> bool:
            return all(len(texts) >= len(beginnings) for texts in (await self.texts()).values())

        await self.program.until(is_said, within_s=within_s)
        for channel, texts in (await self.texts()).items():
            assert len(texts) == len(beginnings), (channel, texts)
            assert all(map(str.startswith, texts, beginnings)), (channel, texts)


@asynccontextmanager
async def alerting(folder: Path, database_url: str, **environment: str) -> AsyncIterator[Alerting]:
    """Start the receivers; the program is built, and not started."""
    engine = create_async_engine(database_url)
    async with running_simulator(accept_any_token=True) as telegram:
        program = Program(folder, TELEGRAM_API_URL=telegram.url, DATABASE_URL=database_url)
        world = Alerting(program, telegram, engine)
        async with world.slack.running(), world.webhook.running(), world.email.running():
            program.set(
                ALERT_SLACK_URL=world.slack.url,
                ALERT_WEBHOOK_URL=world.webhook.url,
                ALERT_WEBHOOK_SECRET=KEY,
                ALERT_BOT="42",
                ALERT_CHAT=str(OPERATORS),
                ALERT_SMTP_URL=f"smtp://127.0.0.1:{world.email.port}",
                ALERT_MAIL_FROM="bots@example.org",
                ALERT_MAIL_TO="me@example.org",
                ALERT_CHECK_S="1",
                **environment,
            )
            try:
                async with started(program):
                    await world.write(STAY_DECLARED)
                    await world.write(BEFORE_UPDATES)
                    yield world
            finally:
                await engine.dispose()
