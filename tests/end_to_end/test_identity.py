"""A token that is revoked, and one of a user that is disabled, act no more in any process within 2 s."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.chaos.processes import SupervisedProcess
from tests.chaos.servers import missing_programs
from tests.end_to_end.several import Several, several

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 2.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Several]:
    if missing := missing_programs():
        assert os.environ.get("CI") != "true", f"NO {' AND NO '.join(missing)}: many processes are not tested"
        pytest.skip(f"no {' and no '.join(missing)}")
    folder = tmp_path_factory.mktemp("identity")
    async with several(folder, ("api", "api", "worker"), ["1:token-of-bot-1"]) as running:
        yield running


async def made(fleet: Several, path: str, **body: Any) -> dict[str, Any]:
    status, answer = await fleet.ask("POST", path, body)
    assert status == 201, answer
    return dict(answer)


async def status_of(member: SupervisedProcess, token: str) -> int:
    """Return how a process answers a token on a path that each process has."""
    process = member.process
    assert process.session is not None
    headers = {"Authorization": f"Bearer {token}"}
    async with process.session.get(f"{process.url}/metrics", headers=headers) as response:
        return response.status


async def statuses(fleet: Several, token: str) -> list[int]:
    return [await status_of(each, token) for each in fleet.fleet.members]


async def logged_in(fleet: Several, member: SupervisedProcess, user_id: str) -> str:
    """Log a user in by a link, and return the cookie."""
    link = await made(fleet, f"/users/{user_id}/link")
    async with (
        ClientSession(member.process.url) as browser,
        browser.post("/session", json={"link": link["link"]}) as response,
    ):
        assert response.status == 201
        return response.cookies["tempogram_session"].value


async def ask_as(member: SupervisedProcess, session: str, method: str = "GET") -> int:
    headers = {"Cookie": f"tempogram_session={session}", "Sec-Fetch-Site": "same-origin"}
    async with (
        ClientSession(member.process.url, headers=headers) as browser,
        browser.request(method, "/session") as response,
    ):
        return response.status


async def all_refuse(members: Sequence[SupervisedProcess], session: str) -> bool:
    return [await ask_as(each, session) for each in members] == [401] * len(members)


async def until_all_refuse(fleet: Several, token: str) -> None:
    async def refuse() -> bool:
        return await statuses(fleet, token) == [401] * len(fleet.fleet.members)

    await fleet.until(refuse, within_s=WITHIN_S)


async def test_a_revoked_token_acts_no_more_in_any_process(fleet: Several) -> None:
    token = await made(fleet, "/tokens", name="ci", role="viewer")
    before = await statuses(fleet, token["text"])

    await fleet.ask("DELETE", f"/tokens/{token['token']['id']}", of=fleet.all_of("api")[1])

    await until_all_refuse(fleet, token["text"])
    assert before == [200, 200, 200]


async def test_a_disabled_user_acts_no_more_in_any_process_and_enabled_it_does_again(fleet: Several) -> None:
    user = await made(fleet, "/users", name="ada", role="viewer")
    token = await made(fleet, "/tokens", name="ci", role="viewer", user=user["id"])
    before = await statuses(fleet, token["text"])

    await fleet.ask("PATCH", f"/users/{user['id']}", {"is_active": False})
    await until_all_refuse(fleet, token["text"])
    await fleet.ask("PATCH", f"/users/{user['id']}", {"is_active": True})

    assert before == await statuses(fleet, token["text"]) == [200, 200, 200]


async def test_a_session_that_was_logged_out_and_one_of_a_disabled_user_act_no_more_in_any_api(fleet: Several) -> None:
    user = await made(fleet, "/users", name="grace", role="viewer")
    first, second = fleet.all_of("api")
    sessions = [await logged_in(fleet, first, user["id"]) for _ in range(2)]
    before = [await ask_as(each, session) for each in (first, second) for session in sessions]

    assert await ask_as(second, sessions[0], "DELETE") == 204
    await fleet.until(lambda: all_refuse((first, second), sessions[0]), within_s=WITHIN_S)
    await fleet.ask("PATCH", f"/users/{user['id']}", {"is_active": False})
    await fleet.until(lambda: all_refuse((first, second), sessions[1]), within_s=WITHIN_S)

    assert before == [200] * 4


async def test_without_redis_a_revoked_token_acts_no_more_either(fleet: Several) -> None:
    token = await made(fleet, "/tokens", name="ci", role="viewer")
    assert await statuses(fleet, token["text"]) == [200, 200, 200]

    await fleet.redis.kill()
    try:
        await fleet.ask("DELETE", f"/tokens/{token['token']['id']}", of=fleet.all_of("api")[1])
        await until_all_refuse(fleet, token["text"])
    finally:
        await fleet.redis.start()


async def test_a_token_that_is_bound_to_bots_sees_no_metrics_of_all(fleet: Several) -> None:
    token = await made(fleet, "/tokens", name="bound", role="admin", bots=["1"])

    assert await asyncio.gather(*(status_of(each, token["text"]) for each in fleet.fleet.members)) == [403, 403, 403]
