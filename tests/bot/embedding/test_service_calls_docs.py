"""The examples of docs/services.md, each run as it stands there, and the sentences that it explains."""

from __future__ import annotations

import ast
import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from inspect import iscoroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tempogram
from tempogram import (
    CallOptions,
    CallOverdue,
    CallsFull,
    CircuitOpen,
    LimitNotHeld,
    UnknownService,
    batches,
    check_rate_limit,
    map_limited,
)
from tempogram.engine.bulk.map_limited import NOT_NOTED
from tempogram.engine.bulk.results import ItemUncertain
from tempogram.engine.model.errors import EngineError, LedgerAway, SettingsError
from tempogram.engine.services.catalogue import parse, shipped
from tempogram.engine.services.checking.rate_check import Begin, CallThrough
from tempogram.engine.services.clients.http_requests import operation_of
from tempogram.engine.services.limit import WORDS
from tempogram.simulator.services.fake_service import FakeService
from tests import ROOT
from tests.bot.embedding.started import Engine, started
from tests.engine.services.clients.http_service import Answer, HttpService, http_service
from tests.simulator.test_pytest_plugin import ASYNCIO, run_pytest

PAGE = (ROOT / "docs" / "services.md").read_text()
TABLES = "\n".join(re.findall(r"^```toml\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL))
SYMPTOMS = re.findall(r"^\| (.+?) \| .+? \| .+? \|$", PAGE.partition("## Troubleshooting")[2], re.MULTILINE)


LEAKY = """
import asyncio, time

class AsyncLimiter:
    def __init__(self, count, seconds):
        self.count, self.level, self.per_s, self.at_s = count, 0.0, count / seconds, time.monotonic()

    def has_room(self):
        now_s = time.monotonic()
        self.level = max(0.0, self.level - (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        return self.level + 1 <= self.count

    async def __aenter__(self):
        while not self.has_room():
            await asyncio.sleep(0.01)
        self.level += 1

    async def __aexit__(self, *_):
        pass

"""
"""A bucket that is refilled evenly, in place of aiolimiter's."""


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


async def run(example: str, names: dict[str, Any]) -> None:
    code = compile(example, "docs/services.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)  # noqa: S307 - our own page
    if iscoroutine(running):
        await running


@dataclass
class Calls:
    """Functions of other libraries, as far as the page calls them."""

    made: list[str] = field(default_factory=list)

    async def __call__(self, *args: Any, **words: Any) -> Any:
        self.made.append(" ".join(map(str, (*args, *words.values()))))
        return SimpleNamespace(usage=SimpleNamespace(total_tokens=7), text="")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    (tmp_path / "services.toml").write_text(TABLES)
    async with started(tmp_path) as engine:
        yield engine


@pytest.fixture
async def shop() -> AsyncIterator[HttpService]:
    async with http_service(*[Answer(headers={"Content-Type": "application/json"})] * 2) as service:
        yield service


async def test_every_example_of_the_page_works(engine: Engine, shop: HttpService) -> None:
    calls = Calls()
    names: dict[str, Any] = {
        "asyncio": asyncio,
        "client": SimpleNamespace(messages=SimpleNamespace(create_async=calls)),
        "model": SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=calls))),
        "number": "+1",
        "text": "Hello",
        "messages": [],
        "url": shop.url,
        "accounts": [SimpleNamespace(id=1), SimpleNamespace(id=2)],
        "contacts": ["Anna"],
        "titles": ["Metropolis"],
        "catalogue": SimpleNamespace(get=calls),
        "updates": [1, 2],
        **dict.fromkeys(("fetch", "generate_chat_completion", "send", "ring", "availability", "update_records"), calls),
    }

    for example in examples("python"):
        await run(example, names)

    kept, bulk = ["customers/7", "Metropolis", "Metropolis"], ["Anna Hello", "[1, 2]"]
    moved = ["1", "2", "Anna", "+1", "Metropolis", "orders/7"]
    assert calls.made == ["+1 Hello", "small []", "orders", "orders/7", *kept, *bulk, *moved]
    assert (shop.calls, names["response"].status, names["order"]) == (2, 200, {})


async def test_the_example_of_openais_client_works(
    engine: Engine, shop: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", shop.url)
    answer = b'{"id": "1", "choices": [], "created": 1, "model": "small", "object": "chat.completion"}'
    shop.answers = [Answer(429, headers={"Retry-After": "0"}), Answer(body=answer)]
    names: dict[str, Any] = {"messages": []}

    for example in examples("python openai"):
        await run(example, names)
    await names["openai"].close()

    assert (names["answer"].id, shop.calls) == ("1", 2)


async def test_the_example_of_twilios_client_works(engine: Engine, shop: HttpService) -> None:
    pytest.importorskip("twilio")
    shop.answers = [Answer(429, b'{"code": 20429}'), Answer(201, b'{"sid": "SM1"}')]
    names: dict[str, Any] = {"account_sid": "AC1", "auth_token": "secret", "number": "+1", "sender": "+2", "text": "Hi"}

    for example in examples("python twilio"):
        lines = example.replace("message = ", f"twilio.api.base_url = {shop.url!r}\nmessage = ")
        await run(lines, names)
    await names["http"].close()

    assert (names["message"].sid, shop.calls) == ("SM1", 2)


async def test_each_sentence_that_a_user_may_meet_is_explained(engine: Engine) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def refused(options: CallOptions, service: str, operation: str, kind: type[Exception]) -> str:
        with pytest.raises(kind) as raised:
            await tempogram.services.call_with(options, service, operation, hang)
        return str(raised.value)

    plain, quick = CallOptions(), CallOptions(deadline_s=0.05)
    front, in_a_minute_ms = engine.built.front, int(time.time() * 1_000) + 60_000
    await front.changed_services.update_limits("database", {"waiting_max": 1})
    front.services.hold("database", for_ms=60_000, by="a test")
    waiting = asyncio.create_task(tempogram.services.call("database", "queries", hang))
    await asyncio.sleep(0.05)
    said = [
        await refused(plain, "shp", "charge", UnknownService),
        await refused(plain, "pay", "chrge", UnknownService),
        await refused(CallOptions(concurrency=9), "pay", "charge", SettingsError),
        await refused(CallOptions(count=90, window_ms=1_000), "pay", "charge", SettingsError),
        await refused(quick, "pay", "charge", CallOverdue),
        await refused(plain, "database", "queries", CallsFull),
    ]
    waiting.cancel()
    front.services.believe_failing("pay:charge", in_a_minute_ms)
    said.append(await refused(plain, "pay", "charge", CircuitOpen))
    await front.changed_services.open_breakers("pay", ["charge"])
    said.append(await refused(plain, "pay", "charge", CircuitOpen))
    with pytest.raises(SettingsError) as no_priority:
        CallOptions(priority="urgent")
    said.append(str(no_priority.value))
    with pytest.raises(UnknownService) as no_pattern:
        operation_of({"*/orders": "read"}, None, "pay.example/staff")
    said.append(str(no_pattern.value))
    for text in ("[pay", "[pay]\nconcurency = 1"):
        with pytest.raises(SettingsError) as wrong:
            parse(text, "services.toml", shipped())
        said.append(str(wrong.value))

    assert [sentence for sentence in said if not is_explained(sentence)] == []


async def test_the_test_file_of_the_page_passes_but_for_the_limiter_that_leaks(tmp_path: Path) -> None:
    (example,) = examples("python pytest")
    (tmp_path / "aiolimiter.py").write_text(LEAKY)
    quick = example.replace("duration_s=5", "duration_s=4")

    run = await asyncio.to_thread(run_pytest, tmp_path, quick, "-s", *ASYNCIO)

    assert "1 failed, 2 passed" in run.stdout, run.stdout + run.stderr
    assert "The limit of twilio:voice held: at most 1 call began within 1 s, and 1 may. In 4.0 s " in run.stdout
    assert "LimitNotHeld: the limit of through did not hold: 21 calls began within 60 s, and 20 may" in run.stdout


async def test_each_sentence_of_a_check_is_explained(fake_service: FakeService, engine: Engine) -> None:
    async def shut(begin: Begin) -> None:
        await asyncio.Event().wait()

    async def open_door(begin: Begin) -> None:
        await begin()

    async def refused(call: CallThrough | None, limit: int) -> str:
        with pytest.raises((LimitNotHeld, SettingsError)) as raised:
            await check_rate_limit(call=call, expected_limit=limit, window_s=1, duration_s=0.05)
        return str(raised.value).replace("shut", "pay:charge").replace("open_door", "pay:charge")

    said = [await refused(shut, 1), await refused(open_door, 1), await refused(None, 1), await refused(shut, 0)]
    for wrong in ({"cuont": 1}, {"count": -1}, {"form": "twitter"}):
        with pytest.raises(ValueError, match=r"count|form") as raised:
            fake_service.limit(**wrong)
        said.append(str(raised.value))

    assert [sentence for sentence in said if not is_explained(sentence)] == []


async def test_each_sentence_of_bulk_work_is_explained(engine: Engine) -> None:
    async def fail(_: object) -> None:
        raise ValueError

    async def refused(bulk: Awaitable[object]) -> str:
        with pytest.raises(EngineError) as raised:
            await bulk
        return str(raised.value)

    def unreadable() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    await tempogram.sweep("freeze-7", ["a"], fail_not)
    running = asyncio.ensure_future(map_limited(hang, ["a", "b"], name="campaign-7"))
    await asyncio.sleep(0.2)
    said = [
        await refused(map_limited(fail, range(9), failures_max=2)),
        await refused(map_limited(fail_not, unreadable())),
        await refused(map_limited(fail_not, ["b"], name="campaign-7")),
        await refused(map_limited(fail_not, ["b"], name="freeze-7")),
        await refused(tempogram.sweep("campaign-7", ["a"], fail_not)),
        await refused(running),
        str(ItemUncertain()),
        NOT_NOTED.format(LedgerAway("the database is away")),
    ]
    for wrong in ({"concurrency": 0}, {"failures_max": -1}, {"guarantee": "at_most_once"}):
        with pytest.raises(SettingsError) as raised:
            map_limited(fail_not, ["a"], **wrong)
        said.append(str(raised.value))
    for items, size in (([], 0), ("+1555", 10)):
        with pytest.raises(SettingsError) as raised:
            batches(items, size)
        said.append(str(raised.value))
    used = map_limited(fail_not, ["a"])
    await used
    with pytest.raises(RuntimeError) as again:
        await used
    said.append(str(again.value))

    assert [sentence for sentence in said if not is_explained(sentence)] == []


async def fail_not(_: object) -> None:
    pass


async def hang(_: object) -> None:
    await asyncio.sleep(0.5)


async def test_without_an_engine_the_sentence_is_explained() -> None:
    with pytest.raises(RuntimeError) as raised:
        await tempogram.services.call("pay", "charge", Calls())

    assert is_explained(str(raised.value))


def test_every_error_of_a_call_is_in_the_page() -> None:
    errors = [name for name in tempogram.__all__ if is_error(name)]

    assert [name for name in errors if f"`{name}`" not in PAGE] == []


def test_every_word_of_bottlenecks_is_in_the_page() -> None:
    assert [word for word in WORDS if f"`{word}`" not in PAGE] == []


def is_error(name: str) -> bool:
    public = getattr(tempogram, name)
    return (
        isinstance(public, type)
        and issubclass(public, EngineError)
        and any(room in public.__module__ for room in ("services", "bulk"))
    )


def is_explained(sentence: str) -> bool:
    """Tell whether a row begins with a sentence of this form: names and numbers may differ, … is anything."""
    shown = [quoted for symptom in SYMPTOMS for quoted in re.findall(r"`([^`]+)`", symptom)]
    return any(re.fullmatch(form(each), sentence) for each in shown)


def form(shown: str) -> str:
    pattern = re.sub(r"\d[\d.]*", r"[\\d.]+", re.escape(shown).replace("…", ".+"))
    return re.sub(r"(?<![a-z])(pay|charge|llm|chat|chrge|shp|urgent)(?![a-z])", r"\\w+", pattern)
