"""What a production start needs, looked at without changing anything. Each finding names the way out."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from tempogram.bot.behaviours import own
from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import Settings, load
from tempogram.bot.telegram.responses import UNREADABLE
from tempogram.bot.telegram.tokens import bot_id_of
from tempogram.engine.brokers.redis.requirements import survey
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError, SettingsError
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import database_exists
from tempogram.storage.keys import Seal
from tempogram.storage.migrations import versions

WEBHOOK_PORTS = (443, 80, 88, 8443)
"""Source: https://core.telegram.org/bots/api#setwebhook"""

TELEGRAM = "https://api.telegram.org"

TIMEOUT_S = 10
CALLS_MAX = 5  # at once, so that a fleet's tokens do not all knock together

CLOCK_APART_S = 5.0
"""Messages are sent at the hour that a user names; nobody minds some seconds. A guess."""


class Verdict(Enum):
    """How it stands. ``ADVICE``: a start works, and perhaps not as it is wanted."""

    FINE = "fine"
    ADVICE = "advice"
    LACKS = "lacks"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    said: str
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class Introduced:
    """What Telegram said to one token. ``apart_s`` is how far ahead our clock is; None: it did not say the time."""

    bot_id: int
    status: int | None
    username: str
    reason: str
    apart_s: float | None


def settings_or_why_not() -> tuple[Settings | None, Finding]:
    """Read the settings as a start would."""
    try:
        settings = load()
        check(ProcessRole.RUN, settings)
        own.routers(settings.behaviours)
    except SettingsError as error:
        return None, Finding(
            "settings", Verdict.LACKS, str(error), ".env.example lists every variable with its default"
        )
    return settings, Finding("settings", Verdict.FINE, "readable")


async def every(settings: Settings) -> list[Finding]:
    """Look at everything; what hangs on something else that is out of order says so."""
    books, tokens = await look_at_books(settings)
    given = {bot_id_of(each.get_secret_value()): each.get_secret_value() for each in settings.bot_tokens}
    introduced = await introduce(settings, tokens | given)
    return [
        *books,
        *await look_at_redis(settings),
        *look_at_tokens(settings, introduced),
        look_at_clock(introduced),
        look_at_public_url(settings),
        look_at_files(settings),
        look_at_ceiling(settings, bots=len(tokens | given)),
    ]


async def look_at_books(settings: Settings) -> tuple[list[Finding], dict[int, str]]:
    """Look at the database and whether ``SECRET_KEY`` opens it; return the tokens in it, too."""
    try:
        if not database_exists(database_url(settings)):
            lacks = Finding("database", Verdict.LACKS, "there is none yet", "run tempogram migrate, which makes it")
            return [lacks], {}
        database = Database.open_read_only(database_url(settings))
        try:
            return await _look_into(database, settings)
        finally:
            await database.close()
    except SettingsError as error:
        return [Finding("database", Verdict.LACKS, str(error), "mend DATABASE_URL")], {}
    except LedgerError as error:
        way_out = "see that it runs, and that DATABASE_URL names it with its user and password"
        return [Finding("database", Verdict.LACKS, str(error), way_out)], {}


async def _look_into(database: Database, settings: Settings) -> tuple[list[Finding], dict[int, str]]:
    async with database.reading() as connection:
        found, wanted = await versions(connection)
    if found is None or wanted is None or found < wanted:
        said = f"its tables are at step {found or 'none'}, and this version wants {wanted}"
        return [Finding("database", Verdict.LACKS, said, "run tempogram migrate")], {}
    finding, tokens = await look_at_key(settings, database)
    return [Finding("database", Verdict.FINE, f"reachable, tables at step {found}"), finding], tokens


async def look_at_key(settings: Settings, database: Database) -> tuple[Finding, dict[int, str]]:
    """Open every sealed token with the key that a start would use."""
    path = settings.data_dir / "secret_key"
    try:
        key = settings.secret_key.get_secret_value() or (path.read_text().strip() if path.exists() else "")
        bots = Bots(database, Seal(key or "no key at all, and nothing to open with it"))
        if not key and not await bots.all():
            return Finding(
                "SECRET_KEY", Verdict.FINE, f"none yet; the first start makes one and keeps it in {path}"
            ), {}
        tokens = await bots.tokens()
    except OSError as error:
        way_out = "let this user read it, or set SECRET_KEY"
        return Finding("SECRET_KEY", Verdict.LACKS, f"{path} cannot be read ({error.strerror})", way_out), {}
    except SettingsError as error:
        way_out = f"set the one that was used before, or bring back {path}"
        return Finding("SECRET_KEY", Verdict.LACKS, str(error), way_out), {}
    return Finding("SECRET_KEY", Verdict.FINE, f"opens the tokens of {len(tokens)} bots"), tokens


async def look_at_redis(settings: Settings) -> list[Finding]:
    """Look at the server that shall hold the queue, if one shall."""
    if not settings.redis_url:
        return []
    try:
        found = await survey(settings.redis_url)
    except SettingsError as error:
        return [Finding("Redis", Verdict.LACKS, str(error), "mend REDIS_URL")]
    except BrokerUnavailable as error:
        way_out = "see that it runs, and that REDIS_URL names it as redis://user:password@host:6379/0"
        return [Finding("Redis", Verdict.LACKS, f"REDIS_URL cannot be used: {error}", way_out)]
    if found.is_old:
        return [Finding("Redis", Verdict.LACKS, f"it is {found.version}", "6.2 is the oldest that will do; take 7")]
    advice = []
    if found.eviction not in {None, "noeviction"}:
        said = f"when it is full it throws keys away ({found.eviction}), and the schedule is rebuilt each time"
        advice.append(Finding("Redis", Verdict.LACKS, said, "set maxmemory-policy noeviction"))
    if found.keeps_log is False:
        said = "it keeps nothing over a restart, and the schedule is rebuilt from the books each time"
        advice.append(Finding("Redis", Verdict.ADVICE, said, "set appendonly yes"))
    return advice or [Finding("Redis", Verdict.FINE, f"{found.version}, reachable")]


async def introduce(settings: Settings, tokens: dict[int, str]) -> list[Introduced]:
    """Ask Telegram about every token."""
    places = asyncio.Semaphore(CALLS_MAX)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def ask(bot_id: int, token: str) -> Introduced:
            async with places:
                return await _introduce(session, f"{settings.telegram_api_url}/bot{token}/getMe", bot_id)

        return await asyncio.gather(*(ask(*each) for each in sorted(tokens.items())))


def look_at_tokens(settings: Settings, introduced: Sequence[Introduced]) -> list[Finding]:
    """Say whether Telegram answers, and which tokens it does not take."""
    if not settings.bot_tokens:
        said = "BOT_TOKENS is not set, and a start without it runs a simulated Telegram"
        return [Finding("bots", Verdict.LACKS, said, "set BOT_TOKENS; @BotFather gives tokens out")]
    answered = [each for each in introduced if each.status is not None]
    if not answered:
        said = f"{settings.telegram_api_url} does not answer ({introduced[0].reason})"
        way_out = "see that this machine may connect to it, or set TELEGRAM_API_URL"
        return [Finding("Telegram", Verdict.LACKS, said, way_out)]
    refused = [_refusal(each) for each in introduced if each.status != 200]
    valid = [f"{each.bot_id} @{each.username}" for each in introduced if each.status == 200]
    reachable = Finding("Telegram", Verdict.FINE, f"{settings.telegram_api_url} answers")
    fine = [Finding("bots", Verdict.FINE, ", ".join(valid))] if valid else []
    return [reachable, *fine, *refused]


def look_at_clock(introduced: Sequence[Introduced]) -> Finding:
    """Compare our clock with Telegram's, whose answers say the time in whole seconds."""
    apart_s = min((each.apart_s for each in introduced if each.apart_s is not None), key=abs, default=None)
    if apart_s is None:
        return Finding("clock", Verdict.ADVICE, "not compared: nobody told the time", "mend the connection to Telegram")
    if abs(apart_s) > CLOCK_APART_S:
        said = f"{abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} Telegram's"
        return Finding("clock", Verdict.LACKS, said, "let the machine's clock be set over the network (NTP)")
    return Finding("clock", Verdict.FINE, "agrees with Telegram's")


def look_at_public_url(settings: Settings) -> Finding:
    """Say whether Telegram could deliver there."""
    url = settings.public_url
    if not url:
        return Finding("PUBLIC_URL", Verdict.FINE, "none: updates are fetched by polling")
    if settings.telegram_api_url != TELEGRAM:
        return Finding("PUBLIC_URL", Verdict.FINE, f"{url}; a Bot API server of one's own delivers anywhere")
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return Finding("PUBLIC_URL", Verdict.LACKS, f"{url} is no address", "write it as https://bots.example.org")
    if parts.scheme != "https":
        return Finding("PUBLIC_URL", Verdict.LACKS, f"{url} is not https", "put a proxy with a certificate before it")
    if port not in WEBHOOK_PORTS:
        ports = ", ".join(map(str, WEBHOOK_PORTS))
        return Finding(
            "PUBLIC_URL", Verdict.LACKS, f"its port is {port}", f"Telegram delivers to the ports {ports} only"
        )
    if _is_here_only(parts.hostname or ""):
        said = f"{parts.hostname} can be reached from here only"
        return Finding("PUBLIC_URL", Verdict.LACKS, said, "name this machine as the internet knows it, or unset it")
    return Finding("PUBLIC_URL", Verdict.FINE, url)


def look_at_files(settings: Settings) -> Finding:
    """Say whether others on this machine can read what is secret."""
    kept = [settings.data_dir / "secret_key", settings.data_dir / "admin_token", Path(".env")]
    there = [path for path in kept if path.exists()]
    open_to_others = [path for path in there if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if open_to_others:
        names = " ".join(map(str, open_to_others))
        return Finding("key files", Verdict.LACKS, f"others may open {names}", f"chmod 600 {names}")
    said = f"only this user opens {', '.join(map(str, there))}" if there else "none yet"
    return Finding("key files", Verdict.FINE, said)


def look_at_ceiling(settings: Settings, *, bots: int) -> Finding:
    """Say whether the ceiling over all bots is what will cap them."""
    limits = settings.limits()
    if not limits.ceiling.count:
        return Finding("ceiling", Verdict.FINE, "none over all bots")
    a_second = limits.ceiling.count * 1_000 / limits.ceiling.window_ms
    of_all = bots * limits.bot.count * 1_000 / limits.bot.window_ms if limits.bot.count else float("inf")
    if bots > 1 and of_all > a_second:
        said = f"{bots} bots share {a_second:g} messages a second, which is no rule of Telegram's"
        return Finding("ceiling", Verdict.ADVICE, said, "TELEGRAM_GLOBAL_LIMIT=0 lifts it")
    return Finding("ceiling", Verdict.FINE, f"{a_second:g} messages a second over all bots")


async def _introduce(session: aiohttp.ClientSession, url: str, bot_id: int) -> Introduced:
    asked_at_s = time.time()
    try:
        async with session.post(url) as response:
            body = await response.read()
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        # The text of aiohttp's errors may hold the address, and that holds the token.
        return Introduced(bot_id, None, "", type(error).__name__, None)
    apart_s = _apart_s(response.headers.get("Date"), (asked_at_s + time.time()) / 2)
    answer = _read(body)
    return Introduced(bot_id, response.status, answer.result.username, answer.description, apart_s)


class _Me(msgspec.Struct):
    username: str = ""


class _Answer(msgspec.Struct):
    description: str = ""
    result: _Me = msgspec.field(default_factory=_Me)


def _read(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except UNREADABLE:
        return _Answer("an answer that is not Telegram's")


def _apart_s(date: str | None, now_s: float) -> float | None:
    """Return how far ahead we are; a date says the second that has begun, so half a second is added.

    >>> _apart_s("Thu, 01 Jan 1970 00:01:40 GMT", 107.5), _apart_s("yesterday", 0), _apart_s(None, 0)
    (7.0, None, None)
    """
    try:
        return None if date is None else now_s - parsedate_to_datetime(date).timestamp() - 0.5
    except ValueError:
        return None


def _refusal(each: Introduced) -> Finding:
    if each.status in {401, 404}:
        way_out = "@BotFather has the valid one; or remove the bot from BOT_TOKENS"
        return Finding("bots", Verdict.LACKS, f"Telegram does not know the token of bot {each.bot_id}", way_out)
    said = f"bot {each.bot_id} could not be asked about ({each.reason or f'HTTP {each.status}'})"
    return Finding("bots", Verdict.LACKS, said, "try again in a moment")


def _is_here_only(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
