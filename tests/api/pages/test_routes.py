"""The log-in page and the description of the API, as a browser without scripts has them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
import pytest

from tempogram.api.pages.files import FILES
from tempogram.api.security.principals import Role
from tests.api.fakes import World
from tests.api.security.test_browsers import PASSWORD, ada


class Loaded(HTMLParser):
    """What a page loads, and what stands inline in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        self.inline += [f"{tag} {name}" for name, _ in attrs if name == "style" or name.startswith("on")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in dict(attrs)) else []


async def sent(world: World, **fields: str) -> httpx.Response:
    return await world.browser().post("/login", data=fields)


async def test_a_person_logs_in_by_the_form_and_goes_where_it_wanted_to(world: World) -> None:
    await ada(world)
    browser = world.browser()

    turned_away = await browser.get("/docs")
    form = await browser.get(turned_away.headers["location"])
    onward = re.search(r'name="next" value="([^"]*)"', form.text)
    answer = await browser.post(
        "/login", data={"name": "ada", "password": PASSWORD, "next": onward[1] if onward else ""}
    )
    docs = await browser.get(answer.headers["location"])

    assert (turned_away.status_code, form.status_code, answer.status_code) == (303, 200, 303)
    assert answer.headers["location"] == "/docs"
    assert docs.status_code == 200
    assert "logged in as ada" in docs.text


@pytest.mark.parametrize(
    "onward", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nX: y", "/a b"]
)
async def test_a_log_in_leads_to_no_other_site(world: World, onward: str) -> None:
    await ada(world)

    answer = await sent(world, name="ada", password=PASSWORD, next=onward)

    assert answer.headers["location"] == "/docs"


async def test_a_link_is_not_used_up_by_being_looked_at(world: World) -> None:
    user = (await world.client.post("/users", json={"name": "ada", "role": "viewer"})).json()
    link = (await world.client.post(f"/users/{user['id']}/link")).json()["link"]

    pages = [await world.browser().get("/login", params={"link": link}) for _ in range(3)]
    answer = await sent(world, link=link, password="")

    assert {each.status_code for each in pages} == {200}
    assert all(link in each.text for each in pages)
    assert answer.status_code == 303


async def test_a_wrong_password_is_said_on_the_page_and_not_shown_on_it(world: World) -> None:
    await ada(world)

    answer = await sent(world, name="ada", password="not the password")

    assert answer.status_code == 401
    assert 'role="alert">The name or the password is wrong.' in answer.text
    assert "not the password" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "{{ 7 * 7 }}", "'\"&"])
async def test_what_stands_in_the_address_is_text_on_the_page(world: World, text: str) -> None:
    page = await world.browser().get("/login", params={"link": text, "next": text})

    assert page.status_code == 200
    assert Loaded(page.text).inline == []
    assert "49" not in page.text


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"name=" + b"a" * 5_000, b"&".join([b"a=1"] * 100), b"name=ada&password=" + b"b" * 300]
)
async def test_a_form_that_makes_no_sense_is_answered_by_the_page(world: World, body: bytes) -> None:
    answer = await world.browser().post("/login", content=body)

    assert answer.status_code in {401, 422}
    assert "<form" in answer.text


async def test_a_form_larger_than_a_log_in_needs_is_not_read(world: World) -> None:
    assert (await world.browser().post("/login", content=b"name=" + b"a" * 20_000)).status_code == 413


@pytest.mark.parametrize("path", ["/login", "/login?link=tpgl_x", "/docs"])
async def test_a_page_loads_from_here_only_and_has_nothing_inline(world: World, path: str) -> None:
    browser = await world.logged_in(Role.VIEWER)

    answer = await browser.get(path)
    loaded = Loaded(answer.text)
    files = [each for each in loaded.addresses if each.startswith("/assets/")]
    fetched = [await world.anonymous.get(each) for each in files]

    policy = answer.headers["content-security-policy"]
    assert loaded.inline == []
    assert [each for each in loaded.addresses if not each.startswith("/")] == []
    assert files
    assert {each.status_code for each in fetched} == {200}
    assert all("immutable" in each.headers["cache-control"] for each in fetched)
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


async def test_a_page_for_who_is_logged_in_has_a_log_out(world: World) -> None:
    page = (await (await world.logged_in(Role.VIEWER)).get("/docs")).text

    assert '<form method="post" action="/logout"><button>Log out</button></form>' in page


async def test_only_the_files_of_the_pages_are_served(world: World) -> None:
    good = Loaded((await world.anonymous.get("/login")).text).addresses[0]
    version = good.split("/")[2]

    answers = [
        await world.anonymous.get(f"/assets/{version}/{name}") for name in ("passwd", "..%2Fpages.py", "layout.html")
    ]
    outdated = await world.anonymous.get("/assets/0000000000000000/pages.css")

    assert {each.status_code for each in [*answers, outdated]} == {404}
    assert set(FILES) == {"pages.css", "icon.svg", "viewer.js", "swagger-ui.css", "swagger-ui-bundle.js"}


async def test_a_log_out_ends_the_session_and_shows_the_form(world: World) -> None:
    browser = await world.logged_in(Role.VIEWER)
    kept = dict(browser.cookies)

    forged = await browser.post("/logout", headers={"Sec-Fetch-Site": "cross-site"})
    still_in = await browser.get("/session")
    answer = await browser.post("/logout")
    thief = world.browser()
    thief.cookies.update(kept)

    assert (forged.status_code, still_in.status_code) == (403, 200)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert (await thief.get("/session")).status_code == 401
    assert (await browser.post("/logout")).status_code == 303


async def test_every_answer_says_what_a_browser_may_do_with_it(world: World) -> None:
    for path in ("/bots", "/health", "/nothing/here", "/login", "/openapi.json"):
        headers = (await world.client.get(path)).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
