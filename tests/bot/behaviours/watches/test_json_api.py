from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tempogram.bot.behaviours.watches.json_api import BYTES_MAX, AnswerTooLarge, JsonApi
from tempogram.engine.watches.answers import NoAnswer

ANSWERS = {
    "tea": {"price": 9.5, "offers": [{"shop": "A", "price": 8}]},
    "list": [1, 2],
    "green tea/1": {"price": 3},
    "large": {"text": "x" * BYTES_MAX},
}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def item(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if key == "closed":
            return web.json_response({}, status=503)
        if key == "moved":
            raise web.HTTPFound("tea")
        return web.json_response(ANSWERS[key]) if key in ANSWERS else web.json_response({}, status=404)

    app = web.Application()
    app.router.add_get("/items/{key}", item)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/items/{{key}}"
    await runner.cleanup()


async def test_fields_are_read_where_they_stand(url: str) -> None:
    api = JsonApi(url=url, fields={"price": "price", "best": "offers.0.price", "colour": "details.colour"})

    assert await api("tea") == {"price": 9.5, "best": 8, "colour": None}


async def test_without_fields_all_values_at_the_top_are_read(url: str) -> None:
    assert await JsonApi(url=url)("tea") == {"price": 9.5}


async def test_a_key_may_have_any_characters(url: str) -> None:
    assert await JsonApi(url=url)("green tea/1") == {"price": 3}


async def test_an_item_that_there_is_not_is_empty(url: str) -> None:
    assert await JsonApi(url=url)("pot") == {}


async def test_other_answers_are_errors_that_services_can_judge(url: str) -> None:
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await JsonApi(url=url)("closed")

    assert refused.value.status == 503
    with pytest.raises(NoAnswer, match="no JSON object, but list"):
        await JsonApi(url=url)("list")


async def test_an_answer_that_is_too_large_is_not_read(url: str) -> None:
    with pytest.raises(AnswerTooLarge, match="larger than 1,048,576 bytes"):
        await JsonApi(url=url)("large")


@pytest.mark.parametrize("key", [".", ".."])
async def test_a_key_cannot_mean_another_address(key: str, url: str) -> None:
    assert await JsonApi(url=url.replace("{key}", "{key}/../tea"))(key) == {}


async def test_a_redirect_is_not_followed(url: str) -> None:
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1 redirects to another address; declare that one"):
        await JsonApi(url=url, headers={"X-Api-Key": "secret"})("moved")


def test_an_api_is_shown_without_its_address_and_headers() -> None:
    shown = repr(JsonApi(url="https://shop.example/{key}?apikey=secret", headers={"X-Api-Key": "secret"}))

    assert "secret" not in shown
