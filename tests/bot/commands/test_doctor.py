"""``tempogram doctor``: what a production start lacks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tempogram.bot.commands import checks
from tempogram.bot.commands.checks import Finding, Introduced, Verdict
from tempogram.bot.config.settings import Settings, load
from tempogram.engine.brokers.redis.connection import connect
from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.keys import Seal
from tests import ROOT
from tests.engine.redis_server import own_redis
from tests.fakes import START_MS

TOKEN = "42:token-of-the-test-bot"
KEY = "a-secret-key-for-tests"


@pytest.fixture
async def telegram() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(accept_any_token=False) as telegram:
        await telegram.add_bots(TOKEN)
        yield telegram


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory where no ``.env`` lies."""
    monkeypatch.chdir(tmp_path)


def settings(tmp_path: Path, **changes: Any) -> Settings:
    usual = {"data_dir": tmp_path, "bot_tokens": (SecretStr(TOKEN),), "secret_key": SecretStr(KEY)}
    return load(**usual | changes)


async def books(url: str, *, key: str = KEY, token: str = TOKEN) -> None:
    """Make books with one bot."""
    database = await Database.open(url)
    await Bots(database, Seal(key)).add(
        int(token.partition(":")[0]), token, username="b", first_name="B", behaviours={}, now_ms=START_MS
    )
    await database.close()


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def lacking(findings: list[Finding]) -> list[str]:
    return [each.name for each in findings if each.verdict is Verdict.LACKS]


async def test_a_start_that_lacks_nothing_is_found_in_order(telegram: RunningSimulator, tmp_path: Path) -> None:
    await books(f"sqlite:///{tmp_path}/tempogram.db")

    findings = await checks.every(settings(tmp_path, telegram_api_url=telegram.url))

    assert {each.name: each.verdict for each in findings} == dict.fromkeys(
        ["database", "SECRET_KEY", "Telegram", "bots", "clock", "PUBLIC_URL", "key files", "ceiling"], Verdict.FINE
    )


async def test_looking_makes_no_database_and_no_key(telegram: RunningSimulator, tmp_path: Path) -> None:
    findings = await checks.every(settings(tmp_path, telegram_api_url=telegram.url, secret_key=SecretStr("")))

    assert lacking(findings) == ["database"]
    assert findings[0].way_out == "run tempogram migrate, which makes it"
    assert names_in(tmp_path) == []


async def test_a_database_of_an_older_version_is_told_what_it_wants(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tempogram.db"
    database = await Database.open(url)
    await database.write_alone(lambda each: each.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'"))
    await database.close()

    ((finding,), _) = await checks.look_at_books(settings(tmp_path, database_url=url))

    assert (finding.verdict, finding.way_out) == (Verdict.LACKS, "run tempogram migrate")
    assert finding.said.startswith("its tables are at step 0001, and this version wants ")


async def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    ((finding,), _) = await checks.look_at_books(settings(tmp_path, database_url="postgresql://me@127.0.0.1:9/books"))

    assert finding.verdict is Verdict.LACKS
    assert "the database refused" in finding.said


@pytest.mark.parametrize("key", ["another key than the first", ""])
async def test_a_secret_key_that_does_not_open_the_tokens_is_told(tmp_path: Path, key: str) -> None:
    await books(f"sqlite:///{tmp_path}/tempogram.db")

    ((_, finding), tokens) = await checks.look_at_books(settings(tmp_path, secret_key=SecretStr(key)))

    assert (finding.name, finding.verdict, tokens) == ("SECRET_KEY", Verdict.LACKS, {})
    assert "SECRET_KEY is not the one" in finding.said


async def test_each_token_that_telegram_does_not_take_is_named_by_its_bot(
    telegram: RunningSimulator, tmp_path: Path
) -> None:
    wrong = "43:a-token-that-nobody-knows"
    given = settings(tmp_path, telegram_api_url=telegram.url)

    introduced = await checks.introduce(given, {42: TOKEN, 43: wrong})
    findings = checks.look_at_tokens(given, introduced)

    assert [(each.name, each.verdict) for each in findings] == [
        ("Telegram", Verdict.FINE),
        ("bots", Verdict.FINE),
        ("bots", Verdict.LACKS),
    ]
    assert findings[2].said == "Telegram does not know the token of bot 43"
    assert "nobody-knows" not in repr(findings)


async def test_a_telegram_that_does_not_answer_is_told_without_the_token(tmp_path: Path) -> None:
    given = settings(tmp_path, telegram_api_url="http://127.0.0.1:9")

    introduced = await checks.introduce(given, {42: TOKEN})
    (finding,) = checks.look_at_tokens(given, introduced)

    assert finding.said == "http://127.0.0.1:9 does not answer (ClientConnectorError)"
    assert TOKEN not in repr(finding)
    assert checks.look_at_clock(introduced).verdict is Verdict.ADVICE


@pytest.mark.parametrize(
    ("apart_s", "verdict", "said"),
    [
        (1.0, Verdict.FINE, "agrees with Telegram's"),
        (90.0, Verdict.LACKS, "90 s ahead of Telegram's"),
        (-90.0, Verdict.LACKS, "90 s behind Telegram's"),
    ],
)
def test_a_clock_that_is_wrong_is_told(apart_s: float, verdict: Verdict, said: str) -> None:
    slow = Introduced(43, 200, "b", "", apart_s * 2)

    finding = checks.look_at_clock([slow, Introduced(42, 200, "b", "", apart_s)])

    assert (finding.verdict, finding.said) == (verdict, said)


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("", Verdict.FINE),
        ("https://bots.example.org", Verdict.FINE),
        ("https://bots.example.org:8443/here", Verdict.FINE),
        ("http://bots.example.org", Verdict.LACKS),
        ("https://bots.example.org:8000", Verdict.LACKS),
        ("https://bots.example.org:port", Verdict.LACKS),
        ("https://localhost", Verdict.LACKS),
        ("https://10.0.0.5", Verdict.LACKS),
        ("https://[::1]", Verdict.LACKS),
    ],
)
def test_telegram_delivers_over_https_to_four_ports_of_an_address_that_it_can_reach(
    tmp_path: Path, url: str, verdict: Verdict
) -> None:
    finding = checks.look_at_public_url(settings(tmp_path, public_url=url))

    assert finding.verdict is verdict
    assert bool(finding.way_out) is (verdict is Verdict.LACKS)


def test_key_files_that_others_may_open_are_told_with_what_closes_them(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch(0o600)
    (tmp_path / "admin_token").touch(0o600)
    closed = checks.look_at_files(settings(tmp_path))
    (tmp_path / "admin_token").chmod(0o640)

    finding = checks.look_at_files(settings(tmp_path))

    assert closed.verdict is Verdict.FINE
    assert (finding.verdict, finding.way_out) == (Verdict.LACKS, f"chmod 600 {tmp_path / 'admin_token'}")


@pytest.mark.parametrize(
    ("limit", "bots", "verdict"),
    [(30, 1, Verdict.FINE), (30, 2, Verdict.ADVICE), (0, 50, Verdict.FINE), (60, 2, Verdict.FINE)],
)
def test_a_ceiling_that_caps_the_bots_is_advised_about(tmp_path: Path, limit: int, bots: int, verdict: Verdict) -> None:
    finding = checks.look_at_ceiling(settings(tmp_path, telegram_global_limit=limit), bots=bots)

    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REDIS_URL", "localhost:6379", "REDIS_URL makes no sense"),
        ("BEHAVIOURS", "bot", "BEHAVIOURS names 'bot'"),
        ("PORT", "many", "PORT is 'many'"),
        ("LLM_API_URL", "http://here/v1", "LLM_API_URL is set, and LLM_MODEL is not"),
    ],
)
def test_settings_with_which_no_start_would_work_are_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    found, finding = checks.settings_or_why_not()

    assert found is None
    assert finding.verdict is Verdict.LACKS
    assert said in finding.said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "✗ database"),
        ({"REDIS_URL": "redis://127.0.0.1:9"}, "✗ Redis       REDIS_URL cannot be used"),
    ],
)
async def test_the_status_is_1_as_long_as_something_lacks(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tempogram", "doctor"),
        env=environment | {"TELEGRAM_API_URL": "http://127.0.0.1:9", "BOT_TOKENS": TOKEN} | changes,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    output, errors = await process.communicate()

    assert (process.returncode, errors) == (1, b"")
    assert said in output.decode()
    assert TOKEN not in output.decode()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with own_redis(tmp_path) as url:
        yield url


async def test_a_redis_that_keeps_nothing_is_worth_an_advice(redis_url: str, tmp_path: Path) -> None:
    (finding,) = await checks.look_at_redis(settings(tmp_path, redis_url=redis_url))

    assert (finding.verdict, finding.way_out) == (Verdict.ADVICE, "set appendonly yes")


async def test_a_redis_that_throws_keys_away_will_not_do(redis_url: str, tmp_path: Path) -> None:
    redis = connect(redis_url)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.aclose()

    findings = await checks.look_at_redis(settings(tmp_path, redis_url=redis_url))

    assert lacking(findings) == ["Redis"]
    assert "allkeys-lru" in findings[0].said


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0?what=7"])
async def test_a_redis_that_cannot_be_used_is_one_sentence(url: str, tmp_path: Path) -> None:
    (finding,) = await checks.look_at_redis(settings(tmp_path, redis_url=url))

    assert finding.verdict is Verdict.LACKS
    assert finding.said.startswith("REDIS_URL ")


async def test_without_redis_url_nothing_is_said_of_redis(tmp_path: Path) -> None:
    assert await checks.look_at_redis(settings(tmp_path)) == []
