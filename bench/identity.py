"""What does it cost to let a request in?

Question    How much faster is the check of a browser's session with the mission's two indexes? And what does a request
            cost by a token of the settings, by an API token or a session that was read within the last second, and by
            one that must be read?
Workload    100,000 sessions and 10,000 API tokens of 1,000 users. 100 checks of sessions without the two indexes, then
            2,000 with them; 2,000 of each kind of token; SQLite and PostgreSQL one after the other in one run.
Measured    Wall time of a check, one after the other, in this process: query, driver and comparison; statements.
Not measured  HTTP around it; other load on the database.
Checked     Every check finds its session or token; with the indexes it is at least 5 times as fast.

    python -m bench.identity      (PostgreSQL: TEST_POSTGRES_URL, else left out and said so)
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import Connection, insert, text

from bench.harness import Checks, main, quantile
from bench.ledger import postgres, sqlite
from tempogram.api.security.known_credentials import BELIEVED_MS, KnownCredentials
from tempogram.api.security.principals import BearerTokens
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_sessions, api_tokens, users
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Digests, Kind, new_id
from tempogram.storage.identity.sessions import ApiSessions
from tempogram.storage.identity.tokens import ApiTokens
from tempogram.storage.identity.users import Users
from tests.storage.statements import noted

SESSIONS, TOKENS, USERS = 100_000, 10_000, 1_000
WITHOUT, WITH = 100, 2_000
FASTER_MIN = 5.0
NOW_MS = 1_800_000_000_000
DIGESTS = Digests("a key that no trial finds")
SETTING = "admin-token-of-a-benchmark"

INDEXES = [each for each in api_sessions.indexes if str(each.name).startswith("ix_sessions_")]
"""Those that the mission names."""

Check = Callable[[str], Awaitable[object]]


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    for name, opened in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        async with opened() as database:
            if database is None:
                print(f"  {name}: no server at TEST_POSTGRES_URL; left out")
                continue
            cookies, texts = credentials(Kind.SESSION, SESSIONS), credentials(Kind.TOKEN, TOKENS)
            await database.write_alone(lambda connection: fill(connection, cookies, texts))  # noqa: B023 - it is awaited
            await of_sessions(checks, name, database, [each.text for each in cookies])
            await of_tokens(checks, name, database, [each.text for each in texts], cookies[0].text)


async def of_sessions(checks: Checks, name: str, database: Database, cookies: Sequence[str]) -> None:
    sessions = ApiSessions(database, DIGESTS)

    async def check(cookie: str) -> object:
        return await sessions.of_cookie(cookie, now_ms=NOW_MS)

    await database.write_alone(drop)
    without_us, found_without = await timed(check, random.sample(cookies, WITHOUT))
    await database.write_alone(create)
    with_us, found_with = await timed(check, random.sample(cookies, WITH))
    faster = statistics.median(without_us) / statistics.median(with_us)
    print(f"  {name}: check of 1 of {SESSIONS:,} sessions without the indexes {shown(without_us)}")
    print(f"  {name}: check of 1 of {SESSIONS:,} sessions with them {shown(with_us)}, {faster:,.1f} times as fast")
    checks.that(found_without and found_with, f"{name}: every check finds its session")
    checks.that(faster >= FASTER_MIN, f"{name}: with the indexes it is at least {FASTER_MIN:g} times as fast")


async def of_tokens(checks: Checks, name: str, database: Database, texts: Sequence[str], cookie: str) -> None:
    settings, now_ms = BearerTokens({"ADMIN_TOKEN": (Role.ADMIN, SETTING)}), NOW_MS
    known = KnownCredentials(
        ApiTokens(database, DIGESTS), ApiSessions(database, DIGESTS), Users(database), clock=lambda: now_ms
    )

    async def of_settings(token: str) -> object:
        return settings.principal_of(token)

    async def of_api(token: str) -> object:
        return settings.principal_of(token) or await known.of_token(token, may_ask=lambda _: True)

    async def read_anew(token: str) -> object:
        nonlocal now_ms
        now_ms += BELIEVED_MS
        return await of_api(token)

    async def of_browser(text: str) -> object:
        return await known.of_cookie(text, may_ask=lambda _: True)

    async def browser_anew(text: str) -> object:
        nonlocal now_ms
        now_ms += BELIEVED_MS
        return await of_browser(text)

    chosen = random.choice(texts)
    await of_api(chosen)  # its last use is written
    await of_browser(cookie)
    unknown = [each.text for each in credentials(Kind.TOKEN, WITH)]
    for what, check, asked in (
        ("a token of the settings", of_settings, [SETTING] * WITH),
        ("an API token that is believed", of_api, [chosen] * WITH),
        ("an API token that is read", read_anew, [chosen] * 50),
        ("an unknown API token", of_api, unknown),
        ("a session that is believed", of_browser, [cookie] * WITH),
        ("a session that is read", browser_anew, [cookie] * 50),
    ):
        with noted() as statements:
            took_us, found = await timed(check, asked)
        each = len([one for one in statements if "api_tokens" in one.text or "api_sessions" in one.text]) / len(asked)
        print(f"  {name}: {what} {shown(took_us)}, {each:g} statements")
        checks.that(found is (asked is not unknown), f"{name}: {what} is {'let in' if found else 'refused'}")


async def timed(check: Check, asked: Sequence[str]) -> tuple[list[float], bool]:
    """Return microseconds of each check, and whether each found something."""
    took_us, found = [], True
    for each in asked:
        begun_s = time.perf_counter()
        answer = await check(each)
        took_us.append((time.perf_counter() - begun_s) * 1e6)
        found = found and answer is not None
    return took_us, found


def shown(took_us: Sequence[float]) -> str:
    return f"median {statistics.median(took_us):,.0f} us, p99 {quantile(took_us, 0.99):,.0f} us"


def credentials(kind: Kind, count: int) -> list[Credential]:
    return [Credential.new(kind) for _ in range(count)]


def fill(connection: Connection, cookies: Sequence[Credential], texts: Sequence[Credential]) -> None:
    ids = [new_id() for _ in range(USERS)]
    common = {"role": "operator", "created_at_ms": NOW_MS}
    connection.execute(
        insert(users),
        [common | {"id": each, "name": each, "folded_name": each, "is_active": True} for each in ids],
    )
    connection.execute(
        insert(api_tokens),
        [
            common | {"id": each.id, "name": "ci", "digest": DIGESTS.of(each), "user_id": random.choice(ids)}
            for each in texts
        ],
    )
    times = {"created_at_ms": NOW_MS, "seen_at_ms": NOW_MS, "expires_at": NOW_MS + 10**7, "ends_at_ms": NOW_MS + 10**8}
    connection.execute(
        insert(api_sessions),
        [
            times
            | {"id": new_id(), "token_id": each.id, "digest": DIGESTS.of(each)}
            | {"user_id": random.choice(ids), "is_active": True, "address": "203.0.113.7"}
            for each in cookies
        ],
    )
    analyse(connection)


def drop(connection: Connection) -> None:
    for index in INDEXES:
        index.drop(connection)


def create(connection: Connection) -> None:
    for index in INDEXES:
        index.create(connection)
    analyse(connection)


def analyse(connection: Connection) -> None:
    connection.execute(text("ANALYZE"))


if __name__ == "__main__":
    main("What does it cost to let a request in?", bench)
