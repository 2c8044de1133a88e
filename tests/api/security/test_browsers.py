"""Browsers: what their cookies are, and what pages of other sites cannot make them do."""

from __future__ import annotations

import httpx
import pytest

from tempogram.api.security.known_credentials import BELIEVED_MS
from tempogram.api.security.principals import Role
from tempogram.storage.identity.sessions import IDLE_MS, SEEN_EVERY_MS
from tests.api.fakes import PROXY, PROXY_HEADER, World, error_of

PASSWORD = "kzv Wq9 plum harbour"


async def ada(world: World, role: Role = Role.ADMIN) -> str:
    """Add a user with a password, and return its id."""
    answer = await world.client.post("/users", json={"name": "ada", "role": role.name.lower(), "password": PASSWORD})
    return str(answer.json()["id"])


async def log_in(browser: httpx.AsyncClient, password: str = PASSWORD, name: str = "ada") -> httpx.Response:
    return await browser.post("/session", json={"name": name, "password": password})


@pytest.mark.parametrize(
    ("scheme", "name", "is_secure"), [("http", "tempogram_session", False), ("https", "__Host-tempogram_session", True)]
)
async def test_a_cookie_is_kept_from_scripts_and_other_sites_and_over_tls_from_other_hosts(
    world: World, scheme: str, name: str, *, is_secure: bool
) -> None:
    await ada(world)

    answer = await log_in(world.browser(scheme=scheme))

    cookies = {each.partition("=")[0]: each.lower() for each in answer.headers.get_list("set-cookie")}
    assert answer.status_code == 201
    assert {"httponly", "samesite=lax", "path=/"} <= {each.strip() for each in cookies[name].split(";")}
    assert ("secure" in cookies[name]) is is_secure
    assert "domain" not in cookies[name]
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.headers.get("strict-transport-security") is not None) is is_secure


async def test_a_cookie_that_was_set_without_tls_does_not_count_over_tls(world: World) -> None:
    await ada(world)
    plain = world.browser()
    await log_in(plain)

    over_tls = world.browser(scheme="https")
    over_tls.cookies.update(dict(plain.cookies))

    assert (await plain.get("/session")).status_code == 200
    assert (await over_tls.get("/session")).status_code == 401


async def test_each_log_in_begins_a_session_of_its_own_and_ends_the_one_before(world: World) -> None:
    await ada(world)
    browser = world.browser()
    await log_in(browser)
    before = browser.cookies["tempogram_session"]

    await log_in(browser)
    thief = world.browser()
    thief.cookies["tempogram_session"] = before

    assert browser.cookies["tempogram_session"] != before
    assert (await browser.get("/session")).status_code == 200
    assert (await thief.get("/session")).status_code == 401


async def test_a_session_that_a_stranger_put_there_is_not_taken_over_by_a_log_in(world: World) -> None:
    await ada(world)
    stranger = await world.logged_in(Role.VIEWER)
    browser = world.browser()
    browser.cookies.update(dict(stranger.cookies))

    await log_in(browser)

    assert (await browser.get("/session")).json()["name"] == "ada"
    assert (await stranger.get("/session")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "is_let_through"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://tempogram"}, False),
        ({"Origin": "http://tempogram"}, True),
        ({"Origin": "http://TEMPOGRAM"}, True),
        ({"Origin": "http://tempogram.example.org"}, False),
        ({"Origin": "http://tempogram:8080"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({}, False),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    world: World, headers: dict[str, str], *, is_let_through: bool
) -> None:
    browser = await world.logged_in(Role.ADMIN)
    del browser.headers["Sec-Fetch-Site"]

    answer = await browser.patch("/bots/42", json={"paused": True}, headers=headers)
    read = await browser.get("/bots/42", headers=headers)

    assert answer.status_code == (200 if is_let_through else 403)
    assert read.status_code == 200


async def test_a_program_with_a_token_needs_no_header_of_browsers(world: World) -> None:
    answer = await world.client.patch("/bots/42", json={"paused": True}, headers={"Origin": "http://elsewhere.example"})

    assert answer.status_code == 200


async def test_a_page_of_another_site_logs_no_browser_in(world: World) -> None:
    await ada(world)

    answer = await world.browser(Sec_Fetch_Site="cross-site").post(
        "/session", json={"name": "ada", "password": PASSWORD}
    )

    assert error_of(answer)[:2] == (403, "cross_site")
    assert "set-cookie" not in answer.headers


async def test_a_session_lives_while_it_is_used_and_costs_one_query_a_second_and_one_write_a_minute(
    world: World,
) -> None:
    browser = await world.logged_in(Role.VIEWER)
    before = world.sessions.asked

    for _ in range(10):
        await browser.get("/session")
    in_a_second = world.sessions.asked - before
    for _ in range(3):
        world.clock.advance(SEEN_EVERY_MS)
        await browser.get("/session")
    world.clock.advance(IDLE_MS - 1)
    alive = await browser.get("/session")
    world.clock.advance(IDLE_MS)

    assert in_a_second == 1
    assert len(world.sessions.used) == 4
    assert alive.status_code == 200
    assert (await browser.get("/session")).status_code == 401


async def test_a_log_out_ends_the_session_here_at_once_and_is_announced_to_other_processes(world: World) -> None:
    browser = await world.logged_in(Role.VIEWER)
    kept = dict(browser.cookies)
    announced = len(world.announced)

    answer = await browser.delete("/session")
    after = world.browser()
    after.cookies.update(kept)

    assert answer.status_code == 204
    assert "tempogram_session" not in browser.cookies
    assert (await after.get("/session")).status_code == 401
    assert len(world.announced) == announced + 1


async def test_a_user_sees_its_own_sessions_and_ends_one_or_all(world: World) -> None:
    await ada(world, Role.VIEWER)
    await world.logged_in(Role.ADMIN)  # of another user
    browsers = [world.browser() for _ in range(3)]
    for browser in browsers:
        await log_in(browser)

    shown = (await browsers[0].get("/sessions")).json()["sessions"]
    others = await browsers[0].delete(f"/sessions/{shown[1]['id']}")
    foreign = next(each.id for each in world.sessions.stored.values() if each.user_name != "ada")
    refused = await browsers[0].delete(f"/sessions/{foreign}")
    seen = [(await each.get("/session")).status_code for each in browsers]
    everywhere = await browsers[0].delete("/sessions")

    assert [each["is_this"] for each in shown] == [True, False, False]
    assert {each["address"] for each in shown} == {"203.0.113.7"}
    assert others.json() == {"ended": 1}
    assert error_of(refused)[:2] == (404, "not_found")
    assert seen == [200, 401, 200]
    assert everywhere.json() == {"ended": 2}
    assert [(await each.get("/session")).status_code for each in browsers] == [401] * 3


async def test_an_admin_ends_the_sessions_of_a_user(world: World) -> None:
    user_id = await ada(world, Role.VIEWER)
    browser = world.browser()
    await log_in(browser)

    answer = await world.client.delete(f"/users/{user_id}/sessions")

    assert answer.json() == {"ended": 1}
    assert (await browser.get("/session")).status_code == 401


async def test_a_changed_password_ends_every_session_but_the_new_one(world: World) -> None:
    await ada(world, Role.VIEWER)
    browser, other = world.browser(), world.browser()
    await log_in(browser)
    await log_in(other)

    wrong = await browser.put("/session/password", json={"present": "not it at all", "password": "tulip 7 Gravel oxen"})
    weak = await browser.put("/session/password", json={"present": PASSWORD, "password": "password1234"})
    answer = await browser.put("/session/password", json={"present": PASSWORD, "password": "tulip 7 Gravel oxen"})

    assert error_of(wrong)[:2] == (401, "wrong_log_in")
    assert error_of(weak)[:2] == (422, "unfit_password")
    assert answer.status_code == 200
    assert (await browser.get("/session")).status_code == 200
    assert (await other.get("/session")).status_code == 401
    assert (await log_in(world.browser(), PASSWORD)).status_code == 401
    assert (await log_in(world.browser(), "tulip 7 Gravel oxen")).status_code == 201


async def test_a_link_logs_in_once_and_sets_a_password(world: World) -> None:
    user = (await world.client.post("/users", json={"name": "ada", "role": "viewer"})).json()
    link = (await world.client.post(f"/users/{user['id']}/link")).json()["link"]
    first, second = world.browser(), world.browser()

    logged_in = await first.post("/session", json={"link": link, "password": PASSWORD})
    replayed = await second.post("/session", json={"link": link})

    assert logged_in.status_code == 201
    assert error_of(replayed)[:2] == (401, "wrong_log_in")
    assert (await second.get("/session")).status_code == 401
    assert (await log_in(world.browser())).status_code == 201


async def test_a_link_stays_valid_when_the_password_with_it_is_unfit(world: World) -> None:
    user = (await world.client.post("/users", json={"name": "ada", "role": "viewer"})).json()
    link = (await world.client.post(f"/users/{user['id']}/link")).json()["link"]

    unfit = await world.browser().post("/session", json={"link": link, "password": "password1234"})
    again = await world.browser().post("/session", json={"link": link, "password": PASSWORD})

    assert error_of(unfit)[:2] == (422, "unfit_password")
    assert again.status_code == 201


async def test_a_role_that_was_taken_away_holds_in_the_session_at_once(world: World) -> None:
    user_id = await ada(world)
    browser = world.browser()
    await log_in(browser)
    before = await browser.get("/users")

    await world.client.patch(f"/users/{user_id}", json={"role": "viewer"})

    assert before.status_code == 200
    assert (await browser.get("/users")).status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"name": "ada"}, {"name": "ada", "link": "x", "password": "y"}, {"password": "y"}]
)
async def test_a_log_in_needs_a_name_with_its_password_or_a_link(world: World, body: dict[str, str]) -> None:
    assert error_of(await world.browser().post("/session", json=body))[:2] == (422, "invalid")


async def test_who_logs_in_is_written_down_and_who_is_refused_is_in_the_log(world: World) -> None:
    await ada(world)

    await log_in(world.browser(), "not the password")
    await log_in(world.browser())

    written = [(each.who, each.action, each.address) for each in world.audit.changes if "session" in each.action]
    assert written == [("ada", "POST /session", "203.0.113.7")]


async def test_a_user_whom_a_trusted_proxy_names_is_let_in_with_its_role(world: World) -> None:
    await ada(world, Role.OPERATOR)
    browser = world.browser(address=PROXY, **{PROXY_HEADER: "Ada"})

    caller = (await browser.get("/session")).json()
    paused = await browser.patch("/bots/42", json={"paused": True})
    other_site = await browser.patch("/bots/42", json={"paused": True}, headers={"Sec-Fetch-Site": "cross-site"})

    assert (caller["name"], caller["role"], caller["logged_in_at"]) == ("ada", "operator", None)
    assert paused.status_code == 200
    assert error_of(other_site)[:2] == (403, "cross_site")


async def test_a_user_whom_a_proxy_names_logs_in_here_before_it_makes_tokens(world: World) -> None:
    await ada(world)
    browser = world.browser(address=PROXY, **{PROXY_HEADER: "ada"})
    wanted = {"name": "ci", "role": "viewer"}

    refused = await browser.post("/tokens", json=wanted)
    await log_in(browser)

    assert error_of(refused)[:2] == (403, "log_in_again")
    assert (await browser.post("/tokens", json=wanted)).status_code == 201


@pytest.mark.parametrize("name", ["", "eve", "ada, eve"])
async def test_a_proxy_that_names_no_user_of_ours_lets_no_one_in(world: World, name: str) -> None:
    await ada(world)

    assert (await world.browser(address=PROXY, **{PROXY_HEADER: name}).get("/session")).status_code == 401


async def test_a_proxy_that_names_two_users_lets_no_one_in(world: World) -> None:
    await ada(world)
    headers = [(PROXY_HEADER, "ada"), (PROXY_HEADER, "ada")]

    assert (await world.browser(address=PROXY).get("/session", headers=headers)).status_code == 401


async def test_a_disabled_user_whom_a_proxy_names_is_let_in_no_more_within_a_second(world: World) -> None:
    user_id = await ada(world)
    browser = world.browser(address=PROXY, **{PROXY_HEADER: "ada"})
    before = await browser.get("/session")
    await world.users.change(user_id, is_active=False)  # as in another process, without a notice

    world.clock.advance(BELIEVED_MS)

    assert before.status_code == 200
    assert (await browser.get("/session")).status_code == 401
