"""Two processes over one Redis and one PostgreSQL see one change of a service, and so does one that starts later."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.chaos.processes import SupervisedProcess
from tests.chaos.servers import missing_programs
from tests.end_to_end.several import Several, several

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Several]:
    if missing := missing_programs():
        assert os.environ.get("CI") != "true", f"NO {' AND NO '.join(missing)}: many processes are not tested"
        pytest.skip(f"no {' and no '.join(missing)}")
    async with several(tmp_path_factory.mktemp("services"), ("api", "api"), ["1:token-of-bot-1"]) as running:
        yield running


async def shown(fleet: Several, name: str, member: SupervisedProcess) -> dict[str, Any]:
    status, service = await fleet.ask("GET", f"/services/{name}", of=member)
    assert status == 200, service
    return dict(service)


async def until_shown(fleet: Several, name: str, member: SupervisedProcess, version: int) -> dict[str, Any]:
    """Wait until a process has heard of a version of a service."""

    async def has_it() -> bool:
        return bool((await shown(fleet, name, member))["version"] >= version)

    await fleet.until(has_it)
    return await shown(fleet, name, member)


async def restart(member: SupervisedProcess, **environment: str) -> None:
    await member.kill()
    member.process.environment = {**member.process.environment, **environment}
    await member.process.start()


async def test_a_change_is_seen_by_both_processes_and_after_a_kill(fleet: Several) -> None:
    one, other = fleet.all_of("api")

    status, changed = await fleet.ask("PATCH", "/services/twilio", {"operations": {"sms": {"count": 2}}}, of=one)

    assert status == 200
    heard = await until_shown(fleet, "twilio", other, changed["version"])
    await restart(one)
    restarted = await shown(fleet, "twilio", one)
    assert [each["operations"]["sms"]["limiter"]["limit"]["count"] for each in (heard, restarted)] == [2, 2]
    _, reset = await fleet.ask("DELETE", "/services/twilio/changes", of=one)
    heard = await until_shown(fleet, "twilio", other, reset["version"])
    assert [each["operations"]["sms"]["limiter"]["limit"]["count"] for each in (reset, heard)] == [1, 1]


async def test_of_concurrent_changes_none_is_lost_and_both_processes_end_with_the_same(fleet: Several) -> None:
    one, other = fleet.all_of("api")
    words = [(one, {"retries": 7}), (other, {"timeout_s": 9}), (one, {"delay_s": 2}), (other, {"waiting_max": 5})]

    answers = await asyncio.gather(
        *(fleet.ask("PATCH", "/services/quickbase", each, of=member) for member, each in words)
    )
    changed = [answer for _, answer in answers]

    newest = max(each["version"] for each in changed)
    seen = [await until_shown(fleet, "quickbase", member, newest) for member in (one, other)]
    assert [(each["version"], each["changes"]) for each in seen] == [
        (newest, {"retries": 7, "timeout_s": 9, "delay_s": 2, "waiting_max": 5})
    ] * 2


async def test_a_hold_and_a_breaker_opened_by_hand_are_those_of_all_processes(fleet: Several) -> None:
    one, other = fleet.all_of("api")

    await fleet.ask(
        "PUT", "/services/x/operations/mentions/hold", {"seconds": 600, "reason": "their maintenance"}, of=one
    )
    _, opened = await fleet.ask("PUT", "/services/x/operations/tweet_lookup/breaker", {"state": "open"}, of=one)

    seen = (await until_shown(fleet, "x", other, opened["version"]))["operations"]
    assert seen["mentions"]["limiter"]["hold"].endswith(", their maintenance")
    assert seen["tweet_lookup"]["breaker"] == {"state": "open", "open_until": None, "opened_by_hand": True}
    await restart(other)
    assert (await shown(fleet, "x", other))["operations"]["tweet_lookup"]["breaker"]["state"] == "open"


async def test_limits_of_another_environment_hold_from_the_next_start(fleet: Several) -> None:
    one, other = fleet.all_of("api")
    before = await shown(fleet, "films", one)

    await restart(one, FILMS_CONCURRENCY_LIMIT="7")

    after, old = await shown(fleet, "films", one), await shown(fleet, "films", other)
    assert (before["limiters"][0]["limit"]["concurrency"], after["limiters"][0]["limit"]["concurrency"]) == (2, 7)
    assert after["version"] > before["version"] == old["version"]


async def test_a_wrong_change_is_refused_and_neither_process_changes_anything(fleet: Several) -> None:
    before = [(await shown(fleet, "llm", member))["version"] for member in fleet.all_of("api")]

    status, answer = await fleet.ask("PATCH", "/services/llm", {"concurrency": -1})

    assert (status, answer["error"]["message"]) == (
        400,
        "concurrency is -1; it must be a whole number from 0 to 10,000",
    )
    assert [(await shown(fleet, "llm", member))["version"] for member in fleet.all_of("api")] == before
