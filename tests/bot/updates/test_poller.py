"""Long polling for each bot without a webhook."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from structlog.testing import capture_logs

from tempogram.api.core.ports import IntakeFull, Refusal
from tempogram.bot.updates.poller import CALM_MS, OTHER_POLLER, PAUSE_S_MAX, PAUSE_S_MIN, Polled, Poller
from tempogram.bot.updates.source_health import SourceHealth
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.simulator import Fault, Simulator
from tests.bot.fakes import BOT_ID, TOKEN
from tests.engine.desk import soon
from tests.fakes import Clock

NEVER_MIND = (LedgerError("away"), IntakeFull("full"))


@dataclass
class Inbox:
    """An intake that refuses with each of ``refusals`` first."""

    refusals: list[Exception] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    got: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, bot_id: int, body: bytes) -> None:
        if b'"bad"' in body:  # skipped
            return
        if self.refusals:
            raise self.refusals.pop(0)
        self.texts.append(json.loads(body)["message"]["text"])
        self.got.set()


@dataclass
class Polling:
    """What pollers need. Each sleep lets the clock advance instead of taking time.

    Attributes:
        slept: How long, in seconds.
        paused: The bots whose token is revoked, and those tokens.
        tokens: By bot.
        token_in_database: The token that another process has given the bot.
    """

    inbox: Inbox
    clock: Clock
    slept: list[float] = field(default_factory=list)
    paused: list[tuple[int, str | None]] = field(default_factory=list)
    tokens: dict[int, str] = field(default_factory=lambda: {BOT_ID: TOKEN})
    token_in_database: str | None = None

    def __post_init__(self) -> None:
        self.conditions = Conditions(self.clock)
        self.health = SourceHealth(self.conditions)

    def poller(self, session: aiohttp.ClientSession, api_url: str, *, bot_id: int = BOT_ID) -> Poller:
        return Poller(
            bot_id=bot_id,
            session=session,
            api_url=api_url,
            token_of=self.tokens.get,
            pause_revoked=self._pause,
            intake=self.inbox,
            health=self.health,
            conditions=self.conditions,
            clock=self.clock,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(round(seconds * 1_000))
        await asyncio.sleep(0)

    async def _pause(self, bot_id: int, token: str | None) -> bool:
        self.paused.append((bot_id, token))
        self.tokens[bot_id] = self.token_in_database or self.tokens[bot_id]
        return self.tokens[bot_id] == token


@dataclass
class World(Polling):
    simulator: Simulator = field(default_factory=Simulator)
    one: Poller = field(init=False)

    def say(self, *texts: str) -> None:
        user = self.simulator.add_user("Anna")
        for text in texts:
            user.says(self.simulator.telegram.world.bots[BOT_ID], text)


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    world = World(Inbox(), clock)
    world.simulator.add_bot(TOKEN, "the_bot")
    async with world.simulator.serve() as served, aiohttp.ClientSession() as session:
        world.one = world.poller(session, served.url)
        yield world


@contextlib.asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(poller.run())
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_polled_updates_are_stored_in_order_and_confirmed(world: World) -> None:
    world.say("one", "two")

    first = await world.one.poll_once()
    world.say("three")
    second = await world.one.poll_once()

    assert (first, second) == (Polled(2), Polled(1))
    assert world.inbox.texts == ["one", "two", "three"]


@pytest.mark.parametrize("error", NEVER_MIND, ids=repr)
async def test_the_offset_moves_only_after_an_update_is_stored(world: World, error: Exception) -> None:
    world.say("one", "two")
    world.inbox.refusals = [error]

    with pytest.raises(type(error)):
        await world.one.poll_once()
    await world.one.poll_once()

    assert world.inbox.texts == ["one", "two"]


async def test_an_unavailable_ledger_is_logged_by_the_intake_and_not_by_each_poller(world: World) -> None:
    world.say("one")
    world.inbox.refusals = [LedgerError("away")] * 3

    with capture_logs() as logs:
        async with running(world.one):
            await soon(world.inbox.got)

    assert (world.inbox.texts, logs) == (["one"], [])


async def test_an_update_that_is_refused_is_confirmed_all_the_same(world: World) -> None:
    world.say("one", "two")
    world.inbox.refusals = [Refusal("nonsense")]

    await world.one.poll_once()

    assert world.inbox.texts == ["two"]


@pytest.mark.parametrize("fault", ["5xx", "reset_before", "reset_after"])
async def test_a_failed_poll_is_repeated(world: World, fault: str) -> None:
    world.simulator.order(Fault(kind=fault, method="getUpdates", times=2))  # type: ignore[arg-type]
    world.say("one")

    async with running(world.one):
        await soon(world.inbox.got)

    assert world.inbox.texts == ["one"]


# What Telegram answers


@dataclass
class ScriptedTelegram:
    """Answers each poll with the next of ``answers``, the last one for ever; without one it cuts the connection."""

    answers: list[bytes]
    polls: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"getUpdates" in head:
                self.polls += 1
            content = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
            writer.write(content)
            await writer.drain()
        writer.close()


def response(status: int, body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 %d Answer" % status, b"Content-Length: %d" % len(body), b"Connection: close", *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def refusal(status: int, description: str, *headers: bytes, **more: object) -> bytes:
    content = {"ok": False, "error_code": status, "description": description, **more}
    return response(status, json.dumps(content).encode(), *headers)


def updates(*contents: bytes) -> bytes:
    return response(200, b'{"ok":true,"result":[%b]}' % b",".join(contents))


def saying(update_id: int, text: str) -> bytes:
    return json.dumps({"update_id": update_id, "message": {"text": text}}).encode()


NOTHING = updates()
CONFLICT = refusal(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance runs")
UNAUTHORIZED = refusal(401, "Unauthorized")


@contextlib.asynccontextmanager
async def telegram(*answers: bytes) -> AsyncIterator[tuple[ScriptedTelegram, str, aiohttp.ClientSession]]:
    scripted = ScriptedTelegram(list(answers))
    server = await asyncio.start_server(scripted.answer, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        yield scripted, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", session


@pytest.fixture
def polling(clock: Clock) -> Polling:
    return Polling(Inbox(), clock)


async def polled(polling: Polling, times: int, *answers: bytes) -> list[dict[str, object]]:
    """Let one bot poll so often, and return the lines in the log."""
    async with telegram(*answers) as (_, url, session):
        poller = polling.poller(session, url)
        with capture_logs() as logs, polling.health.watching(BOT_ID):
            for _ in range(times):
                await poller.poll_or_pause()
    return [dict(each) for each in logs]


@pytest.mark.parametrize(
    "answer",
    [
        refusal(429, "Too Many Requests: retry after 9", parameters={"retry_after": 9}),
        refusal(429, "Too Many Requests: retry after 9"),
        refusal(429, "Too Many Requests", b"Retry-After: 9"),
        response(429, b"<html>", b"Retry-After: 9"),
    ],
    ids=["its parameters", "its text", "its header", "no JSON"],
)
async def test_a_poll_that_is_asked_to_wait_waits_as_long_as_that(polling: Polling, answer: bytes) -> None:
    """A wait of 9 s was asked for, and it polled every 3 s."""
    logs = await polled(polling, 4, answer, answer, answer, NOTHING)

    assert len(polling.slept) == 3
    assert all(9 <= seconds <= 9 * 1.2 for seconds in polling.slept)
    assert [each["event"] for each in logs] == ["poll_refused", "poll_resumed"]


async def test_a_revoked_token_pauses_its_bot_and_ends_its_polling(polling: Polling) -> None:
    """It was 14 polls and 14 warnings in 40 s."""
    async with telegram(UNAUTHORIZED) as (scripted, url, session):
        with capture_logs() as logs:
            await polling.poller(session, url).run()

    assert (scripted.polls, polling.paused) == (1, [(BOT_ID, TOKEN)])
    assert [(each["event"], each["way_out"]) for each in logs] == [("polling_stopped", "give the bot a valid token")]


async def test_a_poll_with_an_outdated_token_is_repeated_with_the_new_one(polling: Polling) -> None:
    polling.tokens[BOT_ID] = "42:old"
    async with telegram(UNAUTHORIZED, updates(saying(1, "one"))) as (_, url, session):
        poller = polling.poller(session, url)
        polling.token_in_database = "42:new"
        with capture_logs() as logs:
            await poller.poll_or_pause()
            await poller.poll_or_pause()

    assert (polling.inbox.texts, logs) == (["one"], [])


async def test_another_poller_of_the_same_bot_is_backed_off_from_with_one_line(polling: Polling) -> None:
    logs = await polled(polling, 9, *(answer for _ in range(4) for answer in (CONFLICT, NOTHING)), NOTHING)

    assert polling.slept == sorted(polling.slept)
    assert polling.slept[-1] >= 8 * PAUSE_S_MIN
    assert [(each["event"], each.get("way_out")) for each in logs] == [("poll_refused", OTHER_POLLER)]


async def test_a_conflict_is_over_once_none_came_for_a_while(polling: Polling) -> None:
    async with telegram(CONFLICT, NOTHING) as (_, url, session):
        poller = polling.poller(session, url)
        with capture_logs() as logs:
            await poller.poll_or_pause()
            await poller.poll_or_pause()
            polling.clock.advance(CALM_MS)
            await poller.poll_or_pause()

    assert [each["event"] for each in logs] == ["poll_refused", "poll_resumed"]


async def test_pauses_after_polls_without_an_answer_double_up_to_a_bound_with_jitter(polling: Polling) -> None:
    await polled(polling, 9, response(502, b"<html>"))

    spans = [min(PAUSE_S_MAX, PAUSE_S_MIN * 2**number) for number in range(9)]
    assert all(span <= seconds <= span * 1.2 for seconds, span in zip(polling.slept, spans, strict=True))


async def test_without_a_network_the_fleet_has_one_line_and_another_when_it_is_back(polling: Polling) -> None:
    """It was 56 lines in 20 s for 8 bots."""
    bots = range(1, 9)
    polling.tokens = {bot_id: f"{bot_id}:token" for bot_id in bots}
    async with telegram(NOTHING) as (_, url, session):
        with capture_logs() as logs, contextlib.ExitStack() as stack:
            for bot_id in bots:
                stack.enter_context(polling.health.watching(bot_id))
            away = [polling.poller(session, "http://127.0.0.1:9", bot_id=bot_id) for bot_id in bots]
            for _ in range(5):
                for poller in away:
                    await poller.poll_or_pause()
            held = polling.conditions.current
            for bot_id in bots:
                await polling.poller(session, url, bot_id=bot_id).poll_or_pause()

    assert (held, len(polling.slept)) == ([Condition.UPDATES_AWAY], 40)
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_updates_that_come_faster_than_their_handlers_end_are_one_line(polling: Polling) -> None:
    polling.inbox.refusals = [IntakeFull("too many wait")] * 3

    logs = await polled(polling, 4, updates(saying(1, "one")))

    assert polling.inbox.texts == ["one"]
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


@pytest.mark.parametrize(
    "value", [b"[" * 2_000 + b"]" * 2_000, b'"\xff"', rb'"\ud83d"', rb'"\ude00!"'], ids=lambda value: repr(value[:9])
)
async def test_an_update_that_no_parser_takes_is_confirmed_with_the_rest_of_its_batch(
    polling: Polling, value: bytes
) -> None:
    """It made the poller ask for the same batch for ever."""
    bad = b'{"message":{"update_id":9,"text":"bad"},"update_id":2,"x":' + value + b"}"
    async with telegram(updates(saying(1, "one"), bad, saying(3, "three"))) as (_, url, session):
        poller = polling.poller(session, url)
        outcome = await poller.poll_once()

    assert (outcome, polling.inbox.texts) == (Polled(3), ["one", "three"])
    assert poller._offset == 4


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"\xff",
        b'{"ok":true,"description":"\xff","result":3}',
        b'{"ok":true,"result":' + b"[" * 50_000,
        b'{"ok":true,"result":[{}]}',
        b'{"ok":true}',
        b"[]",
        b"",
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_an_answer_that_is_not_telegrams_is_no_end_of_the_polling_and_no_reason_to_hurry(
    polling: Polling, body: bytes
) -> None:
    polling.inbox.refusals = [Refusal("no update")] if b"{}" in body else []

    await polled(polling, 2, response(200, body), updates(saying(1, "one")))

    assert polling.inbox.texts == ["one"]
    assert len(polling.slept) == 1


async def test_an_update_with_a_lower_number_is_no_outage(polling: Polling) -> None:
    """After a week without updates, Telegram goes on from a number of its choice."""
    async with telegram(updates(saying(900, "one")), updates(saying(5, "two")), NOTHING) as (_, url, session):
        poller = polling.poller(session, url)
        outcomes = [await poller.poll_once() for _ in range(3)]

    assert (outcomes, polling.inbox.texts) == ([Polled(1), Polled(1), Polled(0)], ["one", "two"])
    assert poller._offset == 6
