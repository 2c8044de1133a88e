"""What a request asks of the database does not grow with how much there is, or with how much it brings.

Each route has a case here. It is asked in two worlds: one with one of everything, and one with ``MANY``. A bulk
statement takes 1, 2, 4 … 128 rows at a time (``storage.database.bulk``), and ``MANY`` is one of these: so the rows of
a request are one statement in both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import make_url

from tempogram.api import app
from tempogram.api.pages.files import version_of
from tempogram.bot import wiring
from tempogram.bot.behaviours.watches.declared import forget_all, watched
from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring import Program
from tempogram.engine.model.broadcasts import Addressee, Outcome
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.model.watches import Check, Item, Plan, Subscriber, WatchRules
from tempogram.engine.ports.alert_store import Alert
from tempogram.engine.ports.ledger import Fault
from tempogram.engine.ports.task_store import TaskRow
from tempogram.simulator import Simulator, SimulatorSettings
from tempogram.storage.identity.roles import Role
from tempogram.storage.messages import Incoming
from tests.end_to_end.program import ADMIN_TOKEN
from tests.storage.backends import became
from tests.storage.servers import own_postgres
from tests.storage.statements import noted

FEW, MANY = 1, 16
BOT = 42
CHAT = 7
TOKEN = "{}:token-of-a-test-bot"
SOURCE = "prices"
NEWS = {"name": "news", "bot": BOT, "text": "hello {title|friend}"}


@dataclass(frozen=True, slots=True)
class Stocked:
    """A program over a database that has ``count`` of everything; nothing of it runs but what is asked."""

    built: Program
    client: httpx.AsyncClient
    count: int

    async def stock(self) -> None:
        storage, count, now_ms = self.built.storage, self.count, self.built.context.clock()
        for number in range(count):
            await self.built.front.fleet.add_unverified(TOKEN.format(BOT + number))
            await self.built.queue.broker.pause(BOT + number, paused=True)
        heard = [
            Incoming(
                id=storage.ids.new(now_ms),
                bot_id=BOT,
                chat_id=CHAT,
                update_id=number + 1,
                telegram_message_id=number + 1,
                received_at_ms=now_ms,
            )
            for number in range(count)
        ]
        for each in heard:
            await storage.history.note_incoming(each)
        await storage.tasks.declare([TaskRow(name=f"task{number}", times="every 60000 0") for number in range(count)])
        await storage.alerts.open(
            [
                Alert(id=f"{number:026}", kind="dead", key=str(number), text="x", opened_at_ms=now_ms)
                for number in range(count)
            ]
        )
        await self.stock_watches(now_ms)
        for number in range(count):
            user = await storage.users.add(f"user{number}", Role.ADMIN, now_ms=now_ms)
            await storage.api_tokens.add("ci", Role.ADMIN, user_id=user.id, now_ms=now_ms)
        for _ in range(count):
            await self.broadcast("start")
        for chat in (CHAT, CHAT + 1):
            await self.end(chat, Status.SENT if chat == CHAT else Status.DEAD)

    async def stock_watches(self, now_ms: int) -> None:
        """Let chats watch items that were observed often, and add plans."""
        store, tea = self.built.storage.watches, Item(SOURCE, "item0")
        for number in range(self.count):
            await store.put_plan(Plan(name=f"plan{number}", items_max=100, interval_ms=86_400_000))
            for item in {tea, Item(SOURCE, f"item{number}")}:
                await store.subscribe(Subscriber(BOT, 1_000 + number), item, WatchRules(), now_ms=now_ms)
        for number in range(self.count):
            known = await store.item(tea)
            assert known is not None
            await store.note(Check(of=known, at_ms=now_ms + number, fields={"price": number}), debounce_ms=0)

    async def broadcast(self, *changes: str) -> int:
        """Make a broadcast of which each recipient is known, and change it."""
        store, now_ms = self.built.storage.broadcasts, self.built.context.clock()
        broadcast_id: int = (await self.client.post("/broadcasts", json=NEWS)).json()["id"]
        recipients: dict[ChatId, int] = {1_000 + number: now_ms for number in range(self.count)}
        for due in (recipients, {}):
            known = await store.get(broadcast_id)
            assert known is not None
            await store.gather(known, due, to=known.gathered_to + "1")
        for change in changes:
            answer = await self.client.post(f"/broadcasts/{broadcast_id}/{change}")
            assert answer.status_code == 200, answer.text
        return broadcast_id

    async def end(self, chat: int, status: Status) -> None:
        """Submit messages, and end them as they would end."""
        ids = await self.submit(chat=chat, tag="ended")
        opened = await self.built.storage.ledger.open_among(ids)
        fault = Fault(code=400, reason="chat not found") if status is Status.DEAD else None
        await self.built.queue.broker.cancel(ids)
        await self.built.storage.ledger.record(
            [became(each, status, telegram_message_id=9, fault=fault) for each in opened]
        )

    async def submit(self, *, chat: int = CHAT, **others: Any) -> list[str]:
        answer = await self.client.post("/messages/batch", json=self.batch(chat=chat, **others))
        return [each["id"] for each in answer.json()]

    def batch(self, *, chat: int = CHAT, **others: Any) -> list[dict[str, Any]]:
        return [{"bot": BOT, "chat_id": chat, "text": "hello", **others} for _ in range(self.count)]


Ask = tuple[str, dict[str, Any]]
"""A path, and the rest of a request."""


async def with_keys(world: Stocked) -> Ask:
    batch = [each | {"dedup_key": f"key{number}"} for number, each in enumerate(world.batch())]
    await world.client.post("/messages/batch", json=batch)
    return "/messages/batch", {"json": batch}


async def waiting(world: Stocked) -> str:
    return (await world.submit(tag="waits"))[0]


async def dead_ids(world: Stocked) -> list[str]:
    await world.end(CHAT + 1, Status.DEAD)
    return [each["id"] for each in (await world.client.get("/queue/dlq")).json()["letters"]]


async def forgotten(world: Stocked) -> Ask:
    await world.built.storage.tasks.mark_declared([])
    return "/tasks/task0", {}


def at(path: str, **request: Any) -> Callable[[Stocked], Any]:
    async def ask(_: Stocked) -> Ask:
        return path, request

    return ask


def of_user(what: str, **request: Any) -> Callable[[Stocked], Any]:
    async def ask(world: Stocked) -> Ask:
        return f"/users/{(await world.built.storage.users.all())[0].id}{what}", request

    return ask


async def of_token(world: Stocked) -> Ask:
    return f"/tokens/{(await world.built.storage.api_tokens.all())[0].id}", {}


async def logged_in(world: Stocked) -> Ask:
    storage = world.built.storage
    user = (await storage.users.all())[0]
    link = await storage.login_links.add(user.id, now_ms=world.built.context.clock())
    return "/session", {"json": {"link": link}}


def of_waiting(path: str) -> Callable[[Stocked], Any]:
    async def ask(world: Stocked) -> Ask:
        return path.format(await waiting(world)), {}

    return ask


async def tagged(world: Stocked) -> Ask:
    await world.submit(tag="spring")
    return "/messages?tag=spring", {}


async def replayed(world: Stocked) -> Ask:
    return "/queue/dlq/replay", {"json": {"ids": await dead_ids(world)}}


async def purged(world: Stocked) -> Ask:
    return "/queue/dlq", {"params": {"ids": await dead_ids(world)}}


async def batch(world: Stocked) -> Ask:
    return "/messages/batch", {"json": world.batch()}


async def removed(world: Stocked) -> Ask:
    await world.submit()
    return f"/bots/{BOT}", {}


async def update(_: Stocked) -> Ask:
    body = {"update_id": 500, "message": {"message_id": 500, "date": 1, "chat": {"id": CHAT, "type": "private"}}}
    return f"/webhook/telegram/{TOKEN.format(BOT)}", {"json": body}


async def imported(world: Stocked) -> Ask:
    lines = [f"{1_000 + number},de,vip" for number in range(world.count)]
    csv = "\n".join(["chat_id,language,tags", *lines])
    return f"/bots/{BOT}/chats/import", {"content": csv, "headers": {"Content-Type": "text/csv"}}


def of_broadcast(what: str, *before: str) -> Callable[[Stocked], Any]:
    """Ask of a broadcast to which this was done; each of its recipients has a message in the queue."""

    async def ask(world: Stocked) -> Ask:
        broadcast_id = await world.broadcast(*before)
        known = await world.built.storage.broadcasts.get(broadcast_id)
        assert known is not None
        ids = await world.submit(tag=known.tag)
        noted_ids = {Addressee(chat_id=1_000 + number): each for number, each in enumerate(ids)}
        await world.built.storage.broadcasts.note(known, noted_ids)
        return f"/broadcasts/{broadcast_id}{what}", {}

    return ask


async def retried(world: Stocked) -> Ask:
    store = world.built.storage.broadcasts
    broadcast_id = await world.broadcast("start")
    known = await store.get(broadcast_id)
    assert known is not None
    await store.end(known, {Outcome.REFUSED: [Addressee(chat_id=1_000 + number) for number in range(world.count)]})
    assert await store.finish(known, now_ms=world.built.context.clock())
    return f"/broadcasts/{broadcast_id}/retry", {}


async def reengaged(world: Stocked) -> Ask:
    added = await world.client.patch(f"/bots/{BOT}", json={"behaviours": {"reengagement": {}}})
    assert added.status_code == 200, added.text
    return f"/bots/{BOT}/reengagement", {}


HELLO = {"bot": BOT, "chat_id": CHAT, "text": "hello"}
SHIPPED = "/services/twilio"
HOLD = {"seconds": 9}
WATCHED = {"bot": BOT, "chat_id": 1_000, "source": SOURCE}

CASES: dict[str, Callable[[Stocked], Any]] = {
    "POST /webhook/telegram/{bot_token}": update,
    "POST /messages": at("/messages", json=HELLO),
    "POST /messages/batch": batch,
    "POST /messages/batch, again": with_keys,
    "GET /messages": at(f"/messages?chat_id={CHAT}&telegram_message_id=9&bot={BOT}"),
    "GET /messages/{message_id}": of_waiting("/messages/{}"),
    "GET /messages/{message_id}/explain": of_waiting("/messages/{}/explain"),
    "DELETE /messages/{message_id}": of_waiting("/messages/{}"),
    "DELETE /messages": tagged,
    "GET /bots/{bot_id}/messages": at(f"/bots/{BOT}/messages?chat_id={CHAT}"),
    "GET /bots/{bot_id}/incoming": at(f"/bots/{BOT}/incoming"),
    "POST /bots/{bot_id}/chats/import": imported,
    "GET /bots/{bot_id}/chats": at(f"/bots/{BOT}/chats"),
    "GET /bots/{bot_id}/chats, with a tag": at(f"/bots/{BOT}/chats?tag=vip"),
    "GET /bots/{bot_id}/chats/{chat_id}": at(f"/bots/{BOT}/chats/1000"),
    "PATCH /bots/{bot_id}/chats/{chat_id}": at(f"/bots/{BOT}/chats/1000", json={"tags": ["a", "b"]}),
    "POST /selections/preview": at("/selections/preview", json={"bot": BOT}),
    "POST /selections/chats": at("/selections/chats", json={"bot": BOT}),
    "GET /bots/{bot_id}/chats/{chat_id}/export": at(f"/bots/{BOT}/chats/-1/export"),
    "DELETE /bots/{bot_id}/chats/{chat_id}": at(f"/bots/{BOT}/chats/-1"),
    "GET /bots/{bot_id}/chats/{chat_id}/erasure": at(f"/bots/{BOT}/chats/-1/erasure"),
    "DELETE /bots/{bot_id}/chats/{chat_id}/erasure": at(f"/bots/{BOT}/chats/-1/erasure"),
    "GET /bots/{bot_id}/reengagement": reengaged,
    "GET /broadcasts": at("/broadcasts"),
    "POST /broadcasts": at("/broadcasts", json=NEWS),
    "GET /broadcasts/{broadcast_id}": of_broadcast("", "start"),
    "POST /broadcasts/{broadcast_id}/preview": of_broadcast("/preview"),
    "POST /broadcasts/{broadcast_id}/start": of_broadcast("/start"),
    "POST /broadcasts/{broadcast_id}/pause": of_broadcast("/pause", "start"),
    "POST /broadcasts/{broadcast_id}/resume": of_broadcast("/resume", "start", "pause"),
    "POST /broadcasts/{broadcast_id}/cancel": of_broadcast("/cancel", "start"),
    "POST /broadcasts/{broadcast_id}/retry": retried,
    "GET /watches": at("/watches"),
    "GET /watches/items": at(f"/watches/items?source={SOURCE}"),
    "GET /watches/observations": at(f"/watches/observations?source={SOURCE}&key=item0"),
    "GET /watches/plans": at("/watches/plans"),
    "PUT /watches/plans/{name}": at("/watches/plans/plan0", json={"items_max": 7, "interval_s": 86_400}),
    "PUT /watches/members": at("/watches/members", json={"bot": BOT, "chat_id": 1_000, "plan": "plan0"}),
    "PUT /watches/subscriptions": at("/watches/subscriptions", json=WATCHED | {"key": "new"}),
    "DELETE /watches/subscriptions": at("/watches/subscriptions", params=WATCHED | {"key": "item0"}),
    "GET /users": at("/users"),
    "POST /users": at("/users", json={"name": "ada", "role": "viewer"}),
    "PATCH /users/{user_id}": of_user("", json={"role": "operator", "is_active": False}),
    "POST /users/{user_id}/link": of_user("/link"),
    "DELETE /users/{user_id}": of_user(""),
    "DELETE /users/{user_id}/sessions": of_user("/sessions"),
    "POST /session": logged_in,
    "GET /session": at("/session"),
    "DELETE /session": at("/session"),
    "PUT /session/password": at("/session/password", json={"password": "kzv Wq9 plum harbour"}),
    "GET /sessions": at("/sessions"),
    "DELETE /sessions": at("/sessions"),
    "DELETE /sessions/{session_id}": at("/sessions/none"),
    "GET /login": at("/login"),
    "POST /login": at("/login", content=b"name=ada&password=wrong"),
    "POST /logout": at("/logout"),
    "GET /docs": at("/docs"),
    "GET /assets/{version}/{name}": at(f"/assets/{version_of('pages.css')}/pages.css"),
    "GET /tokens": at("/tokens"),
    "POST /tokens": at("/tokens", json={"name": "ci", "role": "viewer"}),
    "DELETE /tokens/{token_id}": of_token,
    "GET /queue/stats": at("/queue/stats"),
    "GET /queue/dlq": at("/queue/dlq"),
    "POST /queue/dlq/replay": replayed,
    "DELETE /queue/dlq": purged,
    "GET /bots": at("/bots"),
    "POST /bots": at("/bots", json={"token": TOKEN.format(9_000)}),
    "GET /bots/{bot_id}": at(f"/bots/{BOT}"),
    "PATCH /bots/{bot_id}": at(f"/bots/{BOT}", json={"weight": 2}),
    "GET /bots/{bot_id}/webhook-secret": at(f"/bots/{BOT}/webhook-secret"),
    "POST /bots/{bot_id}/webhook-secret": at(f"/bots/{BOT}/webhook-secret"),
    "GET /keys": at("/keys"),
    "POST /keys/rotate": at("/keys/rotate"),
    "GET /limits": at("/limits"),
    "PATCH /limits": at("/limits", json={"chat_cap": 500}),
    "DELETE /limits": at("/limits"),
    "GET /services": at("/services"),
    "GET /services/{name}": at(SHIPPED),
    "GET /services/{name}/calls": at(f"{SHIPPED}/calls"),
    "GET /services/calls/{call_id}/explain": at("/services/calls/none/explain"),
    "PATCH /services/{name}": at(SHIPPED, json={"concurrency": 3}),
    "DELETE /services/{name}/cache": at(f"{SHIPPED}/cache"),
    "DELETE /services/{name}/changes": at(f"{SHIPPED}/changes"),
    "PUT /services/{name}/hold": at(f"{SHIPPED}/hold", json=HOLD),
    "DELETE /services/{name}/hold": at(f"{SHIPPED}/hold"),
    "PUT /services/{name}/operations/{operation}/hold": at(f"{SHIPPED}/operations/sms/hold", json=HOLD),
    "DELETE /services/{name}/operations/{operation}/hold": at(f"{SHIPPED}/operations/sms/hold"),
    "PUT /services/{name}/breaker": at(f"{SHIPPED}/breaker", json={"state": "open"}),
    "PUT /services/{name}/operations/{operation}/breaker": at(
        f"{SHIPPED}/operations/sms/breaker", json={"state": "open"}
    ),
    "GET /alerts": at("/alerts"),
    "GET /audit": at("/audit"),
    "POST /alerts/test": at("/alerts/test", json={}),
    "GET /tasks": at("/tasks"),
    "GET /tasks/{name}": at("/tasks/task0"),
    "PATCH /tasks/{name}": at("/tasks/task0", json={"is_paused": True}),
    "POST /tasks/{name}/run": at("/tasks/task0/run"),
    "GET /metrics": at("/metrics"),
    "GET /health": at("/health"),
    "GET /health/cron": at("/health/cron"),
    "GET /health/cron/{service}": at("/health/cron/task0"),
    "GET /openapi.json": at("/openapi.json"),
    "DELETE /tasks/{name}": forgotten,
    "DELETE /bots/{bot_id}": removed,  # the last: it goes on in the background
}

REFUSED = {
    "DELETE /session",
    "PUT /session/password",
    "DELETE /sessions",
    "DELETE /sessions/{session_id}",
    "POST /login",
    "POST /logout",
    "POST /keys/rotate",
    "GET /bots/{bot_id}/webhook-secret",
    "POST /bots/{bot_id}/webhook-secret",
    "GET /services/calls/{call_id}/explain",
}
"""There is neither a webhook nor a call that waits, nor a second key, and no browser asks."""


@pytest.fixture(autouse=True)
def _source() -> Iterator[None]:
    watched(SOURCE, "twilio:sms", _price)
    yield
    forget_all()


async def _price(_key: str) -> dict[str, object]:
    raise AssertionError("nothing runs here")


def routes() -> Iterator[str]:
    yield "POST /webhook/telegram/{bot_token}"
    for router in (*app.ROUTERS, app.openapi):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield from (f"{method} {route.path}" for method in route.methods or ())


@asynccontextmanager
async def stocked(directory: Path, url: str, count: int) -> AsyncIterator[Stocked]:
    async with Simulator(SimulatorSettings(accept_any_token=True)).serve() as telegram:
        settings = Settings(
            telegram_api_url=telegram.url,
            admin_token=SecretStr(ADMIN_TOKEN),
            secret_key=SecretStr("a-secret-key-for-tests"),
            data_dir=directory,
            database_url=url,
        )
        async with wiring.program(settings) as built:
            transport = httpx.ASGITransport(app=wiring.app_of(built))
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
                world = Stocked(built, client, count)
                await world.stock()
                yield world
            await built.front.removals.end()


async def asked_of(world: Stocked, name: str) -> list[str]:
    """Ask a route, and return the statements."""
    path, request = await CASES[name](world)
    with noted() as statements:
        answer = await world.client.request(name.partition(" ")[0], path, **request)
    assert answer.status_code < 300 or name in REFUSED, (name, answer.text)
    return [f"{answer.status_code}", *(each.text for each in statements)]


async def asked_of_all(directory: Path, url: str, count: int) -> dict[str, list[str]]:
    async with stocked(directory, url, count) as world:
        return {name: await asked_of(world, name) for name in CASES}


async def grown(directory: Path, urls: tuple[str, str]) -> dict[str, tuple[list[str], list[str]]]:
    """Return the routes that ask more of the fuller database, or answer otherwise."""
    few = await asked_of_all(directory / "few", urls[0], FEW)
    many = await asked_of_all(directory / "many", urls[1], MANY)
    both = {name: (few[name], many[name]) for name in CASES}
    return {name: (of, to) for name, (of, to) in both.items() if len(of) < len(to) or of[0] != to[0]}


def test_every_route_is_asked_here() -> None:
    assert {name.partition(",")[0] for name in CASES} == set(routes())


async def test_no_route_asks_more_of_a_fuller_sqlite(tmp_path: Path) -> None:
    urls = f"sqlite:///{tmp_path / 'few.db'}", f"sqlite:///{tmp_path / 'many.db'}"

    assert await grown(tmp_path, urls) == {}


@pytest.fixture
def two_databases() -> Iterator[tuple[str, str]]:
    with own_postgres() as few, own_postgres() as many:
        yield tuple(make_url(url).render_as_string(hide_password=False) for url in (few, many))  # type: ignore[misc]


@pytest.mark.postgres
async def test_no_route_asks_more_of_a_fuller_postgresql(tmp_path: Path, two_databases: tuple[str, str]) -> None:
    assert await grown(tmp_path, two_databases) == {}
