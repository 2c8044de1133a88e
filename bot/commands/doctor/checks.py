"""Checks what a production start needs, without changing anything. Each finding says how to fix it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp
import msgspec

from tempogram.api.core.redaction import origin
from tempogram.bot.behaviours import own
from tempogram.bot.commands.doctor import alert_checks
from tempogram.bot.config.data_dir import bearer_tokens, database_url, secret_key_file, stored_seal
from tempogram.bot.config.file_modes import free_bytes, open_to_others, way_out
from tempogram.bot.config.misspelt import misspelt
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import Settings, load
from tempogram.bot.proxy.errors import ProxyFailed, why_unanswered
from tempogram.bot.proxy.sessions import session_through
from tempogram.bot.telegram.responses import UNREADABLE
from tempogram.bot.telegram.tokens import bot_id_of
from tempogram.bot.wiring.services import declared_services
from tempogram.engine.brokers.redis.requirements import survey
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError, SettingsError
from tempogram.engine.services.catalogue import variables
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import database_exists
from tempogram.storage.keys import Seal, stored_key
from tempogram.storage.migrations import versions
from tempogram.storage.present_key import KeyChange, change_under_way
from tempogram.storage.processes.identity import CHANGE_UNDER_WAY, bots_in_words

WEBHOOK_PORTS = (443, 80, 88, 8443)
"""Source: https://core.telegram.org/bots/api#setwebhook"""

TELEGRAM = "https://api.telegram.org"

NOT_MADE_YET = "stands-for-what-the-first-start-makes"

TIMEOUT_S = 10
CALLS_MAX = 5
"""Calls to Telegram at once."""

CLOCK_AHEAD_S_MAX = 5.0
"""Untuned: messages are scheduled for the minute, so some seconds do not matter."""


class Verdict(Enum):
    """The result of a check. ``ADVICE``: a start works, but perhaps not as wanted."""

    FINE = "fine"
    ADVICE = "advice"
    LACKS = "lacks"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, with how to fix it."""

    name: str
    verdict: Verdict
    said: str
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class GetMeAnswer:
    """Telegram's answer to one token. ``ahead_s`` is how far ahead our clock is; None if the answer had no date."""

    bot_id: int
    status: int | None
    username: str
    reason: str
    ahead_s: float | None


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """Read the settings as a start does; None, and why, if they are invalid. Mistyped ones are named, too."""
    try:
        settings = load()
        check(ProcessRole.RUN, settings)
        own.load(settings.behaviours)
    except SettingsError as error:
        way_out = ".env.example lists every variable with its default"
        return None, [Finding("settings", Verdict.LACKS, str(error), way_out), *check_spelling()]
    readable = Finding("settings", Verdict.FINE, "readable")
    try:
        services = declared_services(settings)
    except SettingsError as error:
        way_out = "docs/services.md shows how services are declared"
        return settings, [readable, Finding("services", Verdict.LACKS, str(error), way_out), *check_spelling()]
    declared = Finding("services", Verdict.FINE, ", ".join(sorted(services)))
    return settings, [readable, declared, *check_spelling(variables(services))]


def check_spelling(declared: Iterable[str] = ()) -> list[Finding]:
    """Name the variables that are nearly settings, or nearly those of services."""
    return [
        Finding("settings", Verdict.ADVICE, f"{name} is no setting, and has no effect", f"did you mean {near}?")
        for name, near in misspelt(declared)
    ]


async def every(settings: Settings) -> list[Finding]:
    """Run every check."""
    database_findings, tokens = await check_database(settings)
    given = {bot_id_of(each.get_secret_value()): each.get_secret_value() for each in settings.bot_tokens}
    answers = await ask_all(settings, tokens | given)
    return [
        *database_findings,
        *await check_redis(settings),
        *await check_proxy(settings),
        *check_tokens(settings, answers),
        check_clock(answers),
        check_public_url(settings),
        check_bearer_tokens(settings),
        check_files(settings),
        check_ceiling(settings, bots=len(tokens | given)),
        *await check_alerts(settings, tokens | given),
    ]


async def check_database(settings: Settings) -> tuple[list[Finding], dict[int, str]]:
    """Check the database and ``SECRET_KEY``; return the tokens in it, too."""
    try:
        if not database_exists(database_url(settings)):
            lacks = Finding(
                "database", Verdict.LACKS, "it does not exist yet", "run tempogram migrate, which creates it"
            )
            return [lacks], {}
        database = Database.open_read_only(database_url(settings))
        try:
            return await _check_tables(database, settings)
        finally:
            await database.close()
    except SettingsError as error:
        return [Finding("database", Verdict.LACKS, str(error), "correct DATABASE_URL")], {}
    except LedgerError as error:
        way_out = "check that it runs, and that DATABASE_URL has its address, user and password"
        return [Finding("database", Verdict.LACKS, str(error), way_out)], {}


async def _check_tables(database: Database, settings: Settings) -> tuple[list[Finding], dict[int, str]]:
    async with database.reading() as connection:
        found, wanted = await versions(connection)
    if found is None or wanted is None or found < wanted:
        said = f"its tables are at step {found or 'none'}, but this version needs {wanted}"
        return [Finding("database", Verdict.LACKS, said, "run tempogram migrate")], {}
    finding, tokens = await check_secret_key(settings, database)
    return [Finding("database", Verdict.FINE, f"reachable, tables at step {found}"), finding], tokens


async def check_secret_key(settings: Settings, database: Database) -> tuple[Finding, dict[int, str]]:
    """Decrypt every token with the keys that a start would use."""
    path = secret_key_file(settings)
    try:
        seal = stored_seal(settings)
        found = await Bots(database, seal or Seal(secrets.token_urlsafe())).tokens()
        change = await change_under_way(database)
    except SettingsError as error:
        return Finding("SECRET_KEY", Verdict.LACKS, str(error), "restore the file, or set SECRET_KEY"), {}
    tokens = {bot_id: token for bot_id, token in found.items() if token is not None}
    if seal is None and not found:
        return Finding("SECRET_KEY", Verdict.FINE, f"none yet; the first start creates one in {path}"), {}
    if change is not None:
        return _of_a_change(change, seal), tokens
    if found and not tokens:
        said = f"SECRET_KEY is not the one with which the tokens of {bots_in_words(len(found))} were encrypted"
        way_out = f"set the one that was used before, or restore {path}; if it is lost, see tempogram keys"
        return Finding("SECRET_KEY", Verdict.LACKS, said, way_out), {}
    if lost := sorted(found.keys() - tokens.keys()):
        said = f"it does not decrypt the token of bot {', '.join(map(str, lost))}"
        return Finding("SECRET_KEY", Verdict.LACKS, said, f"tempogram keys enter {lost[0]}"), tokens
    decrypts = "decrypts" if seal is None or not seal.has_two else "and FORMER_SECRET_KEY decrypt"
    return Finding("SECRET_KEY", Verdict.FINE, f"{decrypts} the tokens of {bots_in_words(len(tokens))}"), tokens


def _of_a_change(change: KeyChange, seal: Seal | None) -> Finding:
    if seal is None or not change.has_both(seal):
        said, way_out = CHANGE_UNDER_WAY.split("; ", maxsplit=1)
        return Finding("SECRET_KEY", Verdict.LACKS, said.removeprefix("SECRET_KEY "), way_out)
    return Finding("SECRET_KEY", Verdict.ADVICE, "its change has not ended", "tempogram keys rotate --running goes on")


async def check_redis(settings: Settings) -> list[Finding]:
    """Check the Redis of the queue, if ``REDIS_URL`` is set."""
    if not settings.redis_url:
        return []
    try:
        found = await survey(settings.redis_url)
    except SettingsError as error:
        return [Finding("Redis", Verdict.LACKS, str(error), "correct REDIS_URL")]
    except BrokerUnavailable as error:
        way_out = "check that it runs, and that REDIS_URL is like redis://user:password@host:6379/0"
        return [Finding("Redis", Verdict.LACKS, f"REDIS_URL cannot be used: {error}", way_out)]
    if found.is_old:
        return [Finding("Redis", Verdict.LACKS, f"it is version {found.version}", "upgrade to 6.2 or later, best to 7")]
    advice = []
    if found.eviction not in {None, "noeviction"}:
        said = f"when full it evicts keys ({found.eviction}), and each time the queue has to be rebuilt"
        advice.append(Finding("Redis", Verdict.LACKS, said, "set maxmemory-policy noeviction"))
    if found.keeps_log is False:
        said = "it keeps nothing over a restart, so the queue is rebuilt from the database each time"
        advice.append(Finding("Redis", Verdict.ADVICE, said, "set appendonly yes"))
    return advice or [Finding("Redis", Verdict.FINE, f"{found.version}, reachable")]


async def check_proxy(settings: Settings) -> list[Finding]:
    """Check the proxy on the way to Telegram, if ``TELEGRAM_PROXY`` is set; what Telegram says is another finding."""
    proxy = settings.proxy
    if proxy is None:
        return []
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            session_through(proxy, limit=1, timeout=timeout) as session,
            session.get(settings.telegram_api_url, allow_redirects=False),
        ):
            pass
    except ProxyFailed as error:
        return [Finding("proxy", Verdict.LACKS, str(error), "correct TELEGRAM_PROXY, or let this machine use it")]
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        said = f"nothing comes back through {proxy} ({type(error).__name__})"
        return [Finding("proxy", Verdict.LACKS, said, "check that the proxy may connect to TELEGRAM_API_URL")]
    return [Finding("proxy", Verdict.FINE, f"{proxy} passes calls on")]


async def ask_all(settings: Settings, tokens: dict[int, str]) -> list[GetMeAnswer]:
    """Call ``getMe`` with every token."""
    slots = asyncio.Semaphore(CALLS_MAX)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with session_through(settings.proxy, limit=CALLS_MAX, timeout=timeout) as session:

        async def ask(bot_id: int, token: str) -> GetMeAnswer:
            async with slots:
                return await _ask(session, f"{settings.telegram_api_url}/bot{token}/getMe", bot_id)

        return await asyncio.gather(*(ask(*each) for each in sorted(tokens.items())))


def check_tokens(settings: Settings, answers: Sequence[GetMeAnswer]) -> list[Finding]:
    """Check whether there are bots, whether Telegram answers, and which tokens it refuses."""
    if not answers and settings.bot_api_door:
        return [Finding("bots", Verdict.FINE, "none yet; they come through the Bot API door")]
    if not answers:
        said = "none in BOT_TOKENS, and none in the database; so tempogram run starts a simulated Telegram"
        return [Finding("bots", Verdict.LACKS, said, "set BOT_TOKENS; get a token from @BotFather")]
    answered = [each for each in answers if each.status is not None]
    if not answered:
        said = f"{origin(settings.telegram_api_url)} does not answer ({answers[0].reason})"
        way_out = "check that this machine can connect to it, or set TELEGRAM_API_URL"
        return [Finding("Telegram", Verdict.LACKS, said, way_out)]
    refused = [_refusal(each) for each in answers if each.status != 200]
    valid = [f"{each.bot_id} @{each.username}" for each in answers if each.status == 200]
    reachable = Finding("Telegram", Verdict.FINE, f"{origin(settings.telegram_api_url)} answers")
    fine = [Finding("bots", Verdict.FINE, ", ".join(valid))] if valid else []
    return [reachable, *fine, *refused]


def check_clock(answers: Sequence[GetMeAnswer]) -> Finding:
    """Compare our clock with Telegram's, whose answers give the time in whole seconds."""
    if not answers:
        return Finding("clock", Verdict.ADVICE, "not compared with Telegram's: there is no bot", "see the one on bots")
    ahead_s = min((each.ahead_s for each in answers if each.ahead_s is not None), key=abs, default=None)
    if ahead_s is None:
        return Finding("clock", Verdict.ADVICE, "not compared: no answer had the time", "see the one on Telegram")
    if abs(ahead_s) > CLOCK_AHEAD_S_MAX:
        said = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} Telegram's"
        return Finding("clock", Verdict.LACKS, said, "synchronise the machine's clock (NTP)")
    return Finding("clock", Verdict.FINE, "agrees with Telegram's")


def check_public_url(settings: Settings) -> Finding:
    """Check whether Telegram can deliver webhooks to ``PUBLIC_URL``."""
    if not settings.public_url:
        return Finding("PUBLIC_URL", Verdict.FINE, "none: updates are fetched by polling")
    parts, url = urlsplit(settings.public_url), origin(settings.public_url)
    if settings.telegram_api_url != TELEGRAM:
        return Finding("PUBLIC_URL", Verdict.FINE, f"{url}; a self-hosted Bot API server delivers anywhere")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme != "https":
        return Finding(
            "PUBLIC_URL", Verdict.LACKS, f"{url} is not https", "put a proxy with a certificate in front of it"
        )
    if port not in WEBHOOK_PORTS:
        ports = ", ".join(map(str, WEBHOOK_PORTS))
        return Finding(
            "PUBLIC_URL", Verdict.LACKS, f"its port is {port}", f"use one of {ports}: Telegram delivers to no other"
        )
    if _is_here_only(parts.hostname or ""):
        said = f"{parts.hostname} can be reached only from this network"
        return Finding("PUBLIC_URL", Verdict.LACKS, said, "set it to a public host name, or unset it")
    return Finding("PUBLIC_URL", Verdict.FINE, url)


def check_bearer_tokens(settings: Settings) -> Finding:
    """Check the tokens of the API that a start would use; their length is checked with the settings."""
    path, admin_token = settings.data_dir / "admin_token", settings.admin_token.get_secret_value()
    try:
        kept = None if admin_token else stored_key(None, path=path, name="ADMIN_TOKEN")
    except SettingsError as error:
        way_out = "make the file readable for this user, restore or delete it, or set ADMIN_TOKEN"
        return Finding("API tokens", Verdict.LACKS, str(error), way_out)
    try:
        bearer_tokens(settings, admin_token or kept or NOT_MADE_YET)
    except SettingsError as error:
        way_out = "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes a good one"
        return Finding("API tokens", Verdict.LACKS, str(error), way_out)
    given = {"operator": settings.operator_token, "viewer": settings.viewer_token}
    others = [role for role, token in given.items() if token.get_secret_value()]
    admin = "admin" if admin_token else f"admin (in {path})" if kept else "admin (the first start makes it)"
    return Finding("API tokens", Verdict.FINE, ", ".join([admin, *others]))


def check_files(settings: Settings) -> Finding:
    """Check whether other users of this machine can read the secrets and the database, and whether the disk is full."""
    if paths := open_to_others(settings):
        said = f"other users may read or change {' '.join(map(str, paths))}"
        return Finding("files", Verdict.LACKS, said, way_out(paths))
    if settings.data_dir.is_dir() and (free := free_bytes(settings)) is not None:
        return Finding("files", Verdict.LACKS, f"the disk of DATA_DIR has {free >> 20} MB left", "make room on it")
    return Finding("files", Verdict.FINE, "only this user may read the secrets and the database")


def check_ceiling(settings: Settings, *, bots: int) -> Finding:
    """Check whether the limit over all bots is below what the bots may send."""
    limits = settings.limits()
    if not limits.ceiling.count:
        return Finding("ceiling", Verdict.FINE, "no limit over all bots")
    a_second = limits.ceiling.count * 1_000 / limits.ceiling.window_ms
    of_all = bots * limits.bot.count * 1_000 / limits.bot.window_ms if limits.bot.count else float("inf")
    if bots > 1 and of_all > a_second:
        said = f"{bots} bots share {a_second:g} messages a second, though Telegram has no such limit"
        return Finding("ceiling", Verdict.ADVICE, said, "TELEGRAM_GLOBAL_LIMIT=0 lifts it")
    return Finding("ceiling", Verdict.FINE, f"{a_second:g} messages a second over all bots")


async def check_alerts(settings: Settings, tokens: dict[int, str]) -> list[Finding]:
    """Check the channels of alerts, without sending anything."""
    checked = await alert_checks.check(settings, tokens)
    if not checked:
        said = "no channel: what is wrong is only in the log, and at GET /alerts"
        return [Finding("alerts", Verdict.FINE, said)]
    way_out = "correct ALERT_… in the settings; tempogram alerts test sends one by each channel"
    found = [Finding("alerts", Verdict.LACKS, f"{name}: {fault}", way_out) for name, fault in checked if fault]
    working = [name for name, fault in checked if not fault]
    fine = [Finding("alerts", Verdict.FINE, f"{', '.join(working)} can be reached")] if working else []
    return found + fine


async def _ask(session: aiohttp.ClientSession, url: str, bot_id: int) -> GetMeAnswer:
    asked_at_s = time.time()
    try:
        async with session.post(url) as response:
            body = await response.read()
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return GetMeAnswer(bot_id, None, "", why_unanswered(error), None)
    ahead_s = _ahead_s(response.headers.get("Date"), (asked_at_s + time.time()) / 2)
    answer = _read(body)
    return GetMeAnswer(bot_id, response.status, answer.result.username, answer.description, ahead_s)


class _Me(msgspec.Struct):
    username: str = ""


class _Answer(msgspec.Struct):
    description: str = ""
    result: _Me = msgspec.field(default_factory=_Me)


def _read(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except UNREADABLE:
        return _Answer("the answer is not from Telegram")


def _ahead_s(date: str | None, now_s: float) -> float | None:
    """Return how far ahead our clock is; a date is rounded down to the second, so half a second is added.

    >>> _ahead_s("Thu, 01 Jan 1970 00:01:40 GMT", 107.5), _ahead_s("yesterday", 0), _ahead_s(None, 0)
    (7.0, None, None)
    """
    try:
        return None if date is None else now_s - parsedate_to_datetime(date).timestamp() - 0.5
    except ValueError:
        return None


def _refusal(each: GetMeAnswer) -> Finding:
    if each.status in {401, 404}:
        way_out = "get the valid one from @BotFather, or remove the bot"
        return Finding("bots", Verdict.LACKS, f"Telegram does not know the token of bot {each.bot_id}", way_out)
    said = f"the token of bot {each.bot_id} could not be checked ({each.reason or f'HTTP {each.status}'})"
    return Finding("bots", Verdict.LACKS, said, "try again in a moment")


def _is_here_only(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
