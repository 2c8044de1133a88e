"""Every route with every kind of credential that lets nothing in, or lets in elsewhere only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tempogram.api.security.known_credentials import BELIEVED_MS
from tempogram.api.security.principals import Role
from tempogram.storage.identity.secrets import Credential, Kind
from tempogram.storage.identity.sessions import ABSOLUTE_MS
from tests.api.fakes import ADMIN_TOKEN, PROXY_HEADER, World, error_of
from tests.api.security.test_auth import NAMED, NEEDED

Ask = Callable[[World], Awaitable[httpx.AsyncClient]]

DAY_MS = 86_400_000


async def no_credential(world: World) -> httpx.AsyncClient:
    return world.anonymous


async def a_wrong_token(world: World) -> httpx.AsyncClient:
    return world.bearing("wrong-horse-battery-staple")


async def a_forged_token(world: World) -> httpx.AsyncClient:
    made = await world.api_tokens.add("ci", Role.ADMIN, now_ms=world.clock())
    return world.bearing(Credential(Kind.TOKEN, made.token.id, Credential.new(Kind.TOKEN).secret).text)


async def an_expired_token(world: World) -> httpx.AsyncClient:
    now_ms = world.clock()
    made = await world.api_tokens.add("ci", Role.ADMIN, expires_at_ms=now_ms + DAY_MS, now_ms=now_ms)
    client = world.bearing(made.text)
    assert (await client.get("/users")).status_code == 200
    world.clock.advance(DAY_MS)
    return client


async def a_revoked_token(world: World) -> httpx.AsyncClient:
    made = await world.api_tokens.add("ci", Role.ADMIN, now_ms=world.clock())
    client = world.bearing(made.text)
    assert (await client.get("/users")).status_code == 200
    assert (await world.client.delete(f"/tokens/{made.token.id}")).status_code == 200
    return client


async def a_disabled_users_token(world: World) -> httpx.AsyncClient:
    user = await world.users.add("ada", Role.ADMIN, now_ms=world.clock())
    made = await world.api_tokens.add("ci", Role.ADMIN, user_id=user.id, now_ms=world.clock())
    client = world.bearing(made.text)
    assert (await client.get("/users")).status_code == 200
    assert (await world.client.patch(f"/users/{user.id}", json={"is_active": False})).status_code == 200
    return client


async def a_disabled_users_session(world: World) -> httpx.AsyncClient:
    browser = await world.logged_in(Role.ADMIN)
    assert (await browser.get("/users")).status_code == 200
    user = (await world.users.all())[0]
    assert (await world.client.patch(f"/users/{user.id}", json={"is_active": False})).status_code == 200
    return browser


async def a_session_that_was_logged_out(world: World) -> httpx.AsyncClient:
    browser = await world.logged_in(Role.ADMIN)
    stolen = dict(browser.cookies)
    assert (await browser.delete("/session")).status_code == 204
    thief = world.browser()
    thief.cookies.update(stolen)
    return thief


async def an_expired_session(world: World) -> httpx.AsyncClient:
    browser = await world.logged_in(Role.ADMIN)
    world.clock.advance(ABSOLUTE_MS)
    return browser


async def a_forged_session(world: World) -> httpx.AsyncClient:
    await world.logged_in(Role.ADMIN)
    known = next(iter(world.sessions.stored.values()))
    browser = world.browser()
    browser.cookies["tempogram_session"] = Credential(
        Kind.SESSION, known.token_id, Credential.new(Kind.SESSION).secret
    ).text
    return browser


async def a_token_as_a_cookie(world: World) -> httpx.AsyncClient:
    browser = world.browser()
    browser.cookies["tempogram_session"] = ADMIN_TOKEN
    return browser


async def a_link_as_a_token(world: World) -> httpx.AsyncClient:
    user = await world.users.add("ada", Role.ADMIN, now_ms=world.clock())
    return world.bearing(await world.links.add(user.id, now_ms=world.clock()))


async def a_session_as_a_token(world: World) -> httpx.AsyncClient:
    browser = await world.logged_in(Role.ADMIN)
    return world.bearing(browser.cookies["tempogram_session"])


async def a_users_name_that_no_proxy_of_ours_gives(world: World) -> httpx.AsyncClient:
    await world.users.add("ada", Role.ADMIN, now_ms=world.clock())
    return world.browser(address="203.0.113.7", **{PROXY_HEADER: "ada"})


REFUSED: tuple[Ask, ...] = (
    no_credential,
    a_wrong_token,
    a_forged_token,
    an_expired_token,
    a_revoked_token,
    a_disabled_users_token,
    a_disabled_users_session,
    a_session_that_was_logged_out,
    an_expired_session,
    a_forged_session,
    a_token_as_a_cookie,
    a_link_as_a_token,
    a_session_as_a_token,
    a_users_name_that_no_proxy_of_ours_gives,
)


@pytest.mark.parametrize("credential", REFUSED, ids=lambda each: each.__name__)
async def test_no_route_lets_in(world: World, credential: Ask) -> None:
    client = await credential(world)
    answers = {}

    for method, path in NEEDED:
        answer = await client.request(method, path.format_map(NAMED), content=b"nonsense")
        answers[method, path] = error_of(answer)[:2]
        world.clock.advance(BELIEVED_MS)  # so many wrong ones are looked at

    assert answers == dict.fromkeys(NEEDED, (401, "not_authenticated"))


@pytest.mark.parametrize("role", Role)
async def test_every_route_lets_a_browser_in_by_the_role_of_its_user(world: World, role: Role) -> None:
    let_in = set()

    for method, path in NEEDED:
        browser = await world.logged_in(role)
        answer = await browser.request(method, path.format_map(NAMED), content=b"nonsense")
        assert answer.status_code not in {401, 500}
        if answer.status_code != 403:
            let_in.add((method, path))

    assert let_in == {route for route, needed in NEEDED.items() if role >= needed}


async def test_a_browser_that_another_site_uses_changes_nothing_on_any_route(world: World) -> None:
    browser = await world.logged_in(Role.ADMIN)
    changing = [(method, path) for method, path in NEEDED if method != "GET"]

    answers = [
        await browser.request(
            method, path.format_map(NAMED), headers={"Sec-Fetch-Site": "cross-site"}, content=b"nonsense"
        )
        for method, path in changing
    ]

    assert {error_of(each)[:2] for each in answers} == {(403, "cross_site")}
    assert len(answers) > 40


RECENT = {
    ("POST", "/users"),
    ("PATCH", "/users/{user_id}"),
    ("DELETE", "/users/{user_id}"),
    ("POST", "/users/{user_id}/link"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/{token_id}"),
    ("PUT", "/session/password"),
    ("DELETE", "/sessions"),
    ("DELETE", "/sessions/{session_id}"),
    ("POST", "/keys/rotate"),
    ("DELETE", "/queue/dlq"),
    ("GET", "/bots/{bot_id}/chats/{chat_id}/export"),
    ("DELETE", "/bots/{bot_id}/chats/{chat_id}"),
    ("DELETE", "/bots/{bot_id}/chats/{chat_id}/erasure"),
    ("DELETE", "/bots/{bot_id}"),
    ("GET", "/bots/{bot_id}/webhook-secret"),
    ("POST", "/bots/{bot_id}/webhook-secret"),
}
"""Roles, tokens, keys, purges and what is kept of persons."""


async def test_roles_tokens_keys_and_purges_need_a_recent_log_in_of_a_browser(world: World) -> None:
    answers = {}
    for method, path in NEEDED:
        browser = await world.logged_in(Role.ADMIN)
        world.clock.advance(3_600_000)
        answers[method, path] = await browser.request(method, path.format_map(NAMED), content=b"nonsense")

    refused = {route for route, each in answers.items() if each.status_code == 403}
    assert refused == RECENT
    assert {error_of(answers[route])[1] for route in RECENT} == {"log_in_again"}
