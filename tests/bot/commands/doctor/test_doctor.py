"""``tempogram doctor``: the findings on a production start."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from tempogram.bot.commands.doctor import checks
from tempogram.bot.commands.doctor.checks import Finding, GetMeAnswer, Verdict
from tempogram.bot.config.settings import Settings, load
from tempogram.engine.brokers.redis.connection import connect
from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.keys import Seal
from tempogram.storage.present_key import KeyChange, mark_change
from tempogram.storage.processes.identity import ledger_id
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
    """A directory without a ``.env``."""
    monkeypatch.chdir(tmp_path)


def settings(tmp_path: Path, **changes: Any) -> Settings:
    usual = {"data_dir": tmp_path, "bot_tokens": (SecretStr(TOKEN),), "secret_key": SecretStr(KEY)}
    return load(**usual | changes)


async def add_stored_bot(url: str, *, key: str = KEY, token: str = TOKEN) -> None:
    """Make a database with one bot."""
    database = await Database.open(url)
    await Bots(database, Seal(key)).add(
        int(token.partition(":")[0]), token, username="b", first_name="B", behaviours={}, now_ms=START_MS
    )
    await database.close()


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def lacking(findings: list[Finding]) -> list[str]:
    return [each.name for each in findings if each.verdict is Verdict.LACKS]


async def test_a_complete_production_start_has_no_finding(telegram: RunningSimulator, tmp_path: Path) -> None:
    await add_stored_bot(f"sqlite:///{tmp_path}/tempogram.db")

    findings = await checks.every(settings(tmp_path, telegram_api_url=telegram.url))

    assert {each.name: each.verdict for each in findings} == dict.fromkeys(
        [
            "database",
            "SECRET_KEY",
            "Telegram",
            "bots",
            "clock",
            "PUBLIC_URL",
            "API tokens",
            "files",
            "ceiling",
            "alerts",
        ],
        Verdict.FINE,
    )


async def test_the_checks_create_no_database_and_no_key(telegram: RunningSimulator, tmp_path: Path) -> None:
    findings = await checks.every(settings(tmp_path, telegram_api_url=telegram.url, secret_key=SecretStr("")))

    assert lacking(findings) == ["database"]
    assert findings[0].way_out == "run tempogram migrate, which creates it"
    assert names_in(tmp_path) == []


async def test_a_database_of_an_older_version_has_to_be_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tempogram.db"
    database = await Database.open(url)
    await database.write_alone(lambda each: each.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'"))
    await database.close()

    ((finding,), _) = await checks.check_database(settings(tmp_path, database_url=url))

    assert (finding.verdict, finding.way_out) == (Verdict.LACKS, "run tempogram migrate")
    assert finding.said.startswith("its tables are at step 0001, but this version needs ")


async def test_an_unreachable_database_is_a_finding(tmp_path: Path) -> None:
    ((finding,), _) = await checks.check_database(settings(tmp_path, database_url="postgresql://me@127.0.0.1:9/none"))

    assert finding.verdict is Verdict.LACKS
    assert "the database cannot be reached" in finding.said


@pytest.mark.parametrize("key", ["another key than the first", ""])
async def test_a_wrong_secret_key_is_a_finding(tmp_path: Path, key: str) -> None:
    await add_stored_bot(f"sqlite:///{tmp_path}/tempogram.db")

    ((_, finding), tokens) = await checks.check_database(settings(tmp_path, secret_key=SecretStr(key)))

    assert (finding.name, finding.verdict, tokens) == ("SECRET_KEY", Verdict.LACKS, {})
    assert "SECRET_KEY is not the one" in finding.said


async def test_during_a_change_of_the_key_tokens_under_either_one_are_read(tmp_path: Path) -> None:
    """The former key was left out, and the key of a correct change said to be wrong."""
    url = f"sqlite:///{tmp_path}/tempogram.db"
    await add_stored_bot(url)
    await add_stored_bot(url, key="the key from now on", token="43:under-the-new-key")

    keys = {"secret_key": SecretStr("the key from now on"), "former_secret_key": SecretStr(KEY)}
    ((_, finding), tokens) = await checks.check_database(settings(tmp_path, **keys))

    assert (finding.verdict, set(tokens)) == (Verdict.FINE, {42, 43})
    assert finding.said == "and FORMER_SECRET_KEY decrypt the tokens of 2 bots"


async def test_before_the_first_start_with_a_moved_key_the_former_one_is_read_and_no_new_one_made(
    tmp_path: Path,
) -> None:
    await add_stored_bot(f"sqlite:///{tmp_path}/tempogram.db")
    (tmp_path / "former_secret_key").write_text(KEY)

    ((_, finding), _) = await checks.check_database(settings(tmp_path, secret_key=SecretStr("")))

    assert finding.verdict is Verdict.FINE
    assert "secret_key" not in names_in(tmp_path)


@pytest.mark.parametrize(("former", "verdict"), [("", Verdict.LACKS), (KEY, Verdict.ADVICE)])
async def test_a_change_of_the_key_that_was_cut_off_is_named_with_how_to_go_on(
    tmp_path: Path, former: str, verdict: Verdict
) -> None:
    url = f"sqlite:///{tmp_path}/tempogram.db"
    await add_stored_bot(url)
    database, both = await Database.open(url), Seal("the key from now on", KEY)
    await ledger_id(database)
    mark = KeyChange(former=both.fingerprints[1], present=both.fingerprints[0])
    await database.write_alone(lambda connection: mark_change(connection, mark))
    await database.close()

    keys = {"secret_key": SecretStr("the key from now on"), "former_secret_key": SecretStr(former)}
    ((_, finding), _) = await checks.check_database(settings(tmp_path, **keys))

    assert finding.verdict is verdict
    assert "tempogram keys rotate --running" in finding.way_out


async def test_one_token_that_cannot_be_decrypted_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tempogram.db"
    await add_stored_bot(url)
    await add_stored_bot(url, key="another key than the first", token="43:of-another-key")

    ((_, finding), tokens) = await checks.check_database(settings(tmp_path))

    assert (finding.verdict, finding.way_out) == (Verdict.LACKS, "tempogram keys enter 43")
    assert tokens == {42: TOKEN}


async def test_each_token_that_telegram_refuses_is_named_by_its_bot_id(
    telegram: RunningSimulator, tmp_path: Path
) -> None:
    wrong = "43:a-token-that-telegram-does-not-know"
    given = settings(tmp_path, telegram_api_url=telegram.url)

    answers = await checks.ask_all(given, {42: TOKEN, 43: wrong})
    findings = checks.check_tokens(given, answers)

    assert [(each.name, each.verdict) for each in findings] == [
        ("Telegram", Verdict.FINE),
        ("bots", Verdict.FINE),
        ("bots", Verdict.LACKS),
    ]
    assert findings[2].said == "Telegram does not know the token of bot 43"
    assert "telegram-does-not-know" not in repr(findings)


def test_a_start_without_tokens_is_fine_where_bots_come_by_the_door(tmp_path: Path) -> None:
    (by_the_door,) = checks.check_tokens(settings(tmp_path, bot_tokens=(), bot_api_door=True), [])
    (without,) = checks.check_tokens(settings(tmp_path, bot_tokens=()), [])

    assert (by_the_door.verdict, without.verdict) == (Verdict.FINE, Verdict.LACKS)
    assert "no bot" in checks.check_clock([]).said


@pytest.mark.parametrize("has_door", [False, True])
def test_bots_of_the_database_are_checked_without_tokens_in_the_settings(tmp_path: Path, *, has_door: bool) -> None:
    given = settings(tmp_path, bot_tokens=(), bot_api_door=has_door)

    findings = checks.check_tokens(
        given, [GetMeAnswer(42, 200, "shop_bot", "", 0.0), GetMeAnswer(43, 401, "", "", 0.0)]
    )

    assert [(each.name, each.verdict) for each in findings] == [
        ("Telegram", Verdict.FINE),
        ("bots", Verdict.FINE),
        ("bots", Verdict.LACKS),
    ]


async def test_an_unreachable_telegram_is_a_finding_without_the_token(tmp_path: Path) -> None:
    given = settings(tmp_path, telegram_api_url="http://127.0.0.1:9")

    answers = await checks.ask_all(given, {42: TOKEN})
    (finding,) = checks.check_tokens(given, answers)

    assert finding.said == "http://127.0.0.1:9 does not answer (ClientConnectorError)"
    assert TOKEN not in repr(finding)
    assert checks.check_clock(answers).verdict is Verdict.ADVICE


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "said"),
    [
        (1.0, Verdict.FINE, "agrees with Telegram's"),
        (90.0, Verdict.LACKS, "90 s ahead of Telegram's"),
        (-90.0, Verdict.LACKS, "90 s behind Telegram's"),
    ],
)
def test_a_wrong_clock_is_a_finding(ahead_s: float, verdict: Verdict, said: str) -> None:
    slow = GetMeAnswer(43, 200, "b", "", ahead_s * 2)

    finding = checks.check_clock([slow, GetMeAnswer(42, 200, "b", "", ahead_s)])

    assert (finding.verdict, finding.said) == (verdict, said)


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("", Verdict.FINE),
        ("https://bots.example.org", Verdict.FINE),
        ("https://bots.example.org:8443/here", Verdict.FINE),
        ("http://bots.example.org", Verdict.LACKS),
        ("https://bots.example.org:8000", Verdict.LACKS),
        ("https://localhost", Verdict.LACKS),
        ("https://10.0.0.5", Verdict.LACKS),
        ("https://[::1]", Verdict.LACKS),
    ],
)
def test_a_public_url_is_https_on_one_of_four_ports_of_a_public_host(
    tmp_path: Path, url: str, verdict: Verdict
) -> None:
    finding = checks.check_public_url(settings(tmp_path, public_url=url))

    assert finding.verdict is verdict
    assert bool(finding.way_out) is (verdict is Verdict.LACKS)


def test_a_damaged_file_of_the_admin_token_is_a_finding_that_quotes_nothing(tmp_path: Path) -> None:
    (tmp_path / "admin_token").write_bytes(b"canary\xff")

    finding = checks.check_bearer_tokens(settings(tmp_path, admin_token=""))

    assert finding.verdict is Verdict.LACKS
    assert str(tmp_path / "admin_token") in finding.said
    assert "canary" not in finding.said


def test_files_that_other_users_can_read_are_a_finding_with_its_chmod(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "secret_key").touch(0o600)
    (tmp_path / "admin_token").touch(0o600)
    closed = checks.check_files(settings(tmp_path))
    (tmp_path / "admin_token").chmod(0o640)

    finding = checks.check_files(settings(tmp_path))

    assert closed.verdict is Verdict.FINE
    assert (finding.verdict, finding.way_out) == (Verdict.LACKS, f"chmod go-rwx {tmp_path / 'admin_token'}")


def test_a_disk_that_is_nearly_full_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))

    finding = checks.check_files(settings(tmp_path))

    assert (finding.verdict, finding.said) == (Verdict.LACKS, "the disk of DATA_DIR has 5 MB left")


@pytest.mark.parametrize(
    ("limit", "bots", "verdict"),
    [(30, 1, Verdict.FINE), (30, 2, Verdict.ADVICE), (0, 50, Verdict.FINE), (60, 2, Verdict.FINE)],
)
def test_a_ceiling_below_the_bots_limits_is_an_advice(tmp_path: Path, limit: int, bots: int, verdict: Verdict) -> None:
    finding = checks.check_ceiling(settings(tmp_path, telegram_global_limit=limit), bots=bots)

    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REDIS_URL", "localhost:6379", "REDIS_URL makes no sense"),
        ("BEHAVIOURS", "tempogram", "BEHAVIOURS names 'tempogram'"),
        ("PORT", "many", "PORT is 'many'"),
        ("LLM_API_URL", "http://here/v1", "LLM_API_URL is set, but LLM_MODEL is not"),
    ],
)
def test_invalid_settings_are_a_finding(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)

    found, (finding,) = checks.read_settings()

    assert found is None
    assert finding.verdict is Verdict.LACKS
    assert said in finding.said


def test_a_wrong_declaration_of_a_service_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "services.toml").write_text("[pay]\nretrys = 1\n")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))

    _, findings = checks.read_settings()

    assert lacking(findings) == ["services"]
    assert findings[1].said.startswith("services.toml, [pay]: retrys is no setting of a service")


def test_a_mistyped_variable_of_a_service_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILLIO_CONCURRENCY_LIMIT", "5")

    _, findings = checks.read_settings()

    assert findings[-1].said == "TWILLIO_CONCURRENCY_LIMIT is no setting, and has no effect"
    assert findings[-1].way_out == "did you mean TWILIO_CONCURRENCY_LIMIT?"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "✗ database"),
        ({"REDIS_URL": "redis://127.0.0.1:9"}, "✗ Redis       REDIS_URL cannot be used"),
    ],
)
async def test_the_exit_status_is_1_while_something_is_missing(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
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


async def test_a_redis_without_persistence_is_an_advice(redis_url: str, tmp_path: Path) -> None:
    (finding,) = await checks.check_redis(settings(tmp_path, redis_url=redis_url))

    assert (finding.verdict, finding.way_out) == (Verdict.ADVICE, "set appendonly yes")


async def test_a_redis_that_evicts_keys_is_a_finding(redis_url: str, tmp_path: Path) -> None:
    redis = connect(redis_url)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.aclose()

    findings = await checks.check_redis(settings(tmp_path, redis_url=redis_url))

    assert lacking(findings) == ["Redis"]
    assert "allkeys-lru" in findings[0].said


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0?what=7"])
async def test_an_unusable_redis_is_one_sentence(url: str, tmp_path: Path) -> None:
    (finding,) = await checks.check_redis(settings(tmp_path, redis_url=url))

    assert finding.verdict is Verdict.LACKS
    assert finding.said.startswith("REDIS_URL ")


async def test_redis_is_not_checked_without_redis_url(tmp_path: Path) -> None:
    assert await checks.check_redis(settings(tmp_path)) == []
