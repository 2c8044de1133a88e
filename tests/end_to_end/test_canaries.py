"""Secrets and texts are planted, every path is run, and none of them comes out anywhere.

An error tells its own caller what it sent, so texts are looked for in what others read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from sqlalchemy import make_url, select
from sqlalchemy.ext.asyncio import create_async_engine

from tempogram.api.routes.webhook import SECRET_HEADER
from tempogram.simulator import Fault
from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.storage.database import models
from tests.end_to_end.program import Program, program, update
from tests.engine.redis_server import connected, own_redis
from tests.forked import type_in
from tests.storage.servers import DISCONNECT_OTHERS, own_postgres, run

CANARY = "c4nary"
TOKENS = {role: f"{CANARY}-{role}-token-0123456789" for role in ("admin", "operator", "viewer")}
BOT = f"42:{CANARY}-bot-token-0123456789"
OTHER_BOT = f"43:{CANARY}-bot-token-0123456789"
TEXT = "sp4rrow says hello"
PASSWORD = f"{CANARY}-password"
OF_USERS = (models.users, models.api_tokens, models.api_sessions, models.login_links, models.audit)
ROLES = ("api", "worker", "scheduler")

pytestmark = pytest.mark.postgres

WRONG_SETTINGS = (
    ("doctor", {"DATABASE_URL": f"postgresql://u:{PASSWORD}@h:port/db?x={CANARY}"}),
    ("doctor", {"LLM_API_URL": f"ftp://{CANARY}@x", "PUBLIC_URL": f"{CANARY}.example.org"}),
    ("api", {"OPERATOR_TOKEN": TOKENS["admin"]}),
)
"""Of which the tests of the settings have many more."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Make one in which any password is right."""
    with own_postgres() as url:
        yield make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_redis(tmp_path_factory.mktemp("redis"), "--requirepass", PASSWORD) as url:
        yield url.replace("//", f"//:{PASSWORD}@")


@asynccontextmanager
async def language_model() -> AsyncIterator[str]:
    """Serve one that refuses everything, and quotes the key and what it was asked."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401, text=f"{request.headers.get('Authorization')} {await request.text()}")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/v1"
    await runner.cleanup()


def requests() -> list[tuple[str, str, dict[str, Any]]]:
    """Return good and bad requests with something secret in each."""
    message = {"bot": "42", "chat_id": 77, "text": TEXT}
    return [
        ("POST", "/messages?wait=5", {"json": message}),
        ("POST", "/messages", {"json": message | {"chat_id": 78}}),  # Telegram refuses it
        ("POST", "/messages", {"json": message | {"chat_id": [TEXT]}}),
        ("POST", "/messages", {"json": message | {"text": TEXT * 999}}),
        ("POST", "/messages", {"json": message | {TEXT: TEXT}}),
        ("POST", "/messages", {"json": message | {"bot": BOT}}),
        ("POST", "/messages", {"data": json.dumps(message)[:-1], "headers": {"Content-Type": "application/json"}}),
        ("POST", "/messages/batch", {"json": [message, message | {"text": 5}, message | {"bot": OTHER_BOT}]}),
        ("POST", "/bots", {"json": {"token": OTHER_BOT}}),
        ("POST", "/bots", {"json": {"token": f"{OTHER_BOT} "}}),
        ("PATCH", "/bots/42", {"json": {"behaviours": {"replies": {}}}}),
        ("GET", f"/messages/{BOT}", {}),
        ("GET", f"/webhook/telegram/{BOT}", {}),
        ("POST", f"/webhook/telegram/{BOT}", {"json": update(1, TEXT)}),
        ("POST", f"/webhook/telegram/{BOT}", {"data": TEXT}),
        ("POST", f"/webhook/telegram/{BOT}", {"json": update(2, TEXT), "headers": {SECRET_HEADER: CANARY}}),
        ("POST", f"/webhook/telegram/{BOT}", {"json": {"update_id": TEXT}}),
        ("POST", f"/webhook/telegram/{OTHER_BOT}", {"json": update(1, TEXT)}),
        ("POST", f"/bot{BOT}/sendMessage", {"json": {"chat_id": 77, "text": TEXT}}),
        ("POST", f"/bot{BOT}/sendMessage", {"json": {"chat_id": TEXT * 9, "text": TEXT}}),
        ("POST", f"/bot{OTHER_BOT}/sendMessage", {"json": {"chat_id": TEXT}}),
        ("GET", f"/bot{BOT}/{CANARY}/x", {}),
        ("GET", f"/file/bot{BOT}/../{CANARY}", {}),
        ("GET", f"/{CANARY}", {}),
        *(
            ("GET", path, {})
            for path in ("/bots", "/limits", "/queue/stats", "/queue/dlq", "/services", "/metrics", "/health")
        ),
        ("GET", "/metrics?format=json", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/bots", {"headers": {"Authorization": f"Bearer {TOKENS['viewer']}x"}}),
        ("GET", "/bots", {"headers": {"Authorization": f"Basic {TOKENS['viewer']}"}}),
        ("DELETE", "/limits", {"headers": {"Authorization": f"Bearer {TOKENS['viewer']}"}}),
        ("DELETE", "/bots/42/x", {"headers": {"Authorization": f"Bearer {TOKENS['operator']}"}}),
    ]


async def answers(to: Program, *, echoes: set[str]) -> list[str]:
    """Make every request, and return all that was answered, headers included."""
    said = []
    for method, path, more in requests():
        async with to.session.request(method, to.url + path, **more) as response:
            body = await response.text()
            if path not in echoes:  # what Telegram answers a bot's own call
                said.append(f"{dict(response.headers)} {body}")
    return said


async def log_ins(to: Program) -> tuple[list[str], list[str]]:
    """Log a user in and out in every way; return the secrets that this made, and what others are shown afterwards."""
    phrase, other = f"{CANARY} harbour Wq9 plum", f"{CANARY} tulip 7 Gravel oxen"
    user = await answer_of(to, "POST", "/users", json={"name": "ada", "role": "operator", "password": phrase})
    link = (await answer_of(to, "POST", f"/users/{user['id']}/link"))["link"]
    token = (await answer_of(to, "POST", "/tokens", json={"name": "ci", "role": "viewer", "user": user["id"]}))["text"]
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/login?link={CANARY}", {}),
        ("POST", "/session", {"json": {"name": "ada", "password": f"{CANARY} wrong"}}),
        ("POST", "/session", {"json": {"name": "ada", "password": phrase, "link": link}}),
        ("POST", "/session", {"json": {"name": "ada", "password": phrase}}),
        ("POST", "/login", {"data": {"name": "ada", "password": f"{CANARY} wrong"}}),
        ("POST", "/login", {"data": {"name": CANARY * 99, "password": phrase}}),
        ("POST", "/login", {"data": {"link": link, "password": other}}),
        ("POST", "/session", {"json": {"link": link}}),
    ]
    said, cookies = [], []
    async with ClientSession(to.url, headers={"Sec-Fetch-Site": "same-origin"}) as browser:
        for method, path, more in attempts:
            async with browser.request(method, path, allow_redirects=False, **more) as answer:
                cookies += [each.value for each in answer.cookies.values()]
                said += [] if method == "GET" else [await answer.text()]
        browser.headers["Cookie"] = f"tempogram_session={cookies[2]}"
        for path in ("/session", "/sessions", "/tokens", "/docs"):
            async with browser.get(path) as answer:
                said.append(await answer.text())
        async with browser.put("/session/password", json={"present": phrase, "password": phrase}) as answer:
            said.append(await answer.text())
        async with browser.delete("/session") as answer:
            said.append(await answer.text())
    said += [json.dumps(await answer_of(to, "GET", path)) for path in ("/users", "/tokens", "/audit")]
    first, device, second, _ = cookies
    signature = device.split(".")[-1]
    return [phrase, other, link, token, first, second, signature], said


async def answer_of(to: Program, method: str, path: str, **more: Any) -> Any:
    async with to.session.request(method, to.url + path, **more) as answer:
        assert answer.status < 300, (path, await answer.text())
        return await answer.json()


async def stored(database: str) -> list[str]:
    """Return what the database keeps of users and what lets them in."""
    engine = create_async_engine(database)
    try:
        async with engine.connect() as connection:
            return [str((await connection.execute(select(each))).all()) for each in OF_USERS]
    finally:
        await engine.dispose()


def command_lines(processes: list[Program]) -> list[str]:
    return [Path(f"/proc/{each.process.pid}/cmdline").read_bytes().decode() for each in processes]


async def test_no_secret_and_no_text_comes_out_of_any_process(tmp_path: Path, database: str, redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(running_simulator(accept_any_token=False))
        await telegram.add_bots(BOT)
        await telegram.order(Fault(kind="chat_not_found", chat_id=78))
        environment = {
            "BOT_TOKENS": BOT,
            "ADMIN_TOKEN": TOKENS["admin"],
            "OPERATOR_TOKEN": TOKENS["operator"],
            "VIEWER_TOKEN": TOKENS["viewer"],
            "SECRET_KEY": f"{CANARY}-secret-key",
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "LLM_API_URL": await stack.enter_async_context(language_model()),
            "LLM_API_KEY": f"{CANARY}-llm-key",
            "LLM_MODEL": "m",
            "BOT_API_DOOR": "true",
            "LOG_LEVEL": "DEBUG",
            "TELEGRAM_GROUP_LIMITS": CANARY,
        }
        running = await started(stack, tmp_path, telegram, environment)
        said = command_lines(running)
        said += await answers(running[0], echoes={f"/bot{BOT}/sendMessage"})
        planted, shown = await log_ins(running[0])
        said += [*shown, *await stored(database)]
        said += await commands(tmp_path, running[0], environment | {"TELEGRAM_API_URL": telegram.url})
        await take_redis_and_database_away(redis_url, database)
        said += await answers(running[0], echoes=set())
    logs = [each.output.read_text() for each in running]

    assert "\n".join(line for each in (*said, *logs) for line in each.splitlines() if CANARY in line) == ""
    assert "\n".join(line for each in logs for line in each.splitlines() if TEXT in line) == ""
    assert [each.count("TELEGRAM_GROUP_LIMITS") for each in logs] == [1] * len(ROLES)
    assert [each for each in planted if each in "".join((*said, *logs))] == []
    assert len(planted) == len(set(planted)) == 7
    events = {json.loads(line)["event"] for each in logs for line in each.splitlines() if line.startswith("{")}
    assert {"request", "message_dead", "condition_began", "logged_in", "log_in_refused", "session_ended"} <= events


async def started(
    stack: AsyncExitStack, folder: Path, telegram: RunningSimulator, environment: dict[str, str]
) -> list[Program]:
    """Start one process of each role; the first makes the tables."""
    running = []
    for role in ROLES:
        (folder / role).mkdir()
        running.append(await stack.enter_async_context(program(folder / role, telegram.url, role=role, **environment)))
        running[-1].session.headers["Authorization"] = f"Bearer {TOKENS['admin']}"
    return running


async def commands(folder: Path, api: Program, environment: dict[str, str]) -> list[str]:
    """Run commands with right and wrong settings, and return what they print."""
    right = environment | {"PORT": str(api.port), "DATA_DIR": str(folder / "data")}
    trials = [
        (["doctor"], right),
        (["queue", "stats"], right),
        (["queue", "explain", "nothing"], right | {"ADMIN_TOKEN": f"{TOKENS['admin']}x"}),
        (["queue", "stats", "--url", f"http://{CANARY}:{CANARY}@127.0.0.1:9"], right),
        *(([command], right | {"PORT": "0"} | wrong) for command, wrong in WRONG_SETTINGS),
    ]
    slots = asyncio.Semaphore(2)

    async def one(words: list[str], changes: dict[str, str]) -> str:
        async with slots:
            _, output, errors = await type_in(folder, words, **changes)
        return output + errors

    return await asyncio.gather(*(one(*each) for each in trials))


async def take_redis_and_database_away(redis_url: str, database: str) -> None:
    """Change Redis's password, and empty the database."""
    async with connected(redis_url) as client:
        await client.config_set("requirepass", "another")
        await client.client_kill_filter(_type="normal", skipme=True)
    await run(database, "DROP SCHEMA public CASCADE")
    await run(database, DISCONNECT_OTHERS)
