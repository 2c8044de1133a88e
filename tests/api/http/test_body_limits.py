from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.fakes import BOT_TOKEN, World, error_of

CHUNK = b" " * (1 << 16)
JSON = {"Content-Type": "application/json"}


class Body:
    """Fifty megabytes in chunks; counts how many chunks were read."""

    def __init__(self, size: int = 50 << 20) -> None:
        self.chunks = size // len(CHUNK)
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.chunks):
            self.taken += 1
            yield CHUNK


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/messages", 1 << 20), ("/messages/batch", 10 << 20), (f"/webhook/telegram/{BOT_TOKEN}", 1 << 20)],
)
async def test_a_body_of_undeclared_length_is_read_up_to_the_limit(world: World, path: str, limit: int) -> None:
    body = Body()

    response = await world.client.post(path, content=body, headers=JSON)

    expected = f"the body is larger than {limit:,} bytes, which is the limit here"
    assert error_of(response) == (413, "too_large", expected)
    assert body.taken == limit // len(CHUNK) + 1


@pytest.mark.parametrize("path", ["/messages", "/messages/batch", f"/webhook/telegram/{BOT_TOKEN}", "/nowhere"])
async def test_a_body_declared_too_large_is_not_read(world: World, path: str) -> None:
    body = Body()

    response = await world.client.post(path, content=body, headers={"Content-Length": str(50 << 20)} | JSON)

    assert error_of(response)[:2] == (413, "too_large")
    assert body.taken == 0


async def test_a_body_without_a_valid_token_is_not_read(world: World) -> None:
    body = Body()

    response = await world.anonymous.post("/messages/batch", content=body, headers=JSON)

    assert (response.status_code, body.taken) == (401, 0)


async def test_a_body_for_an_unknown_bot_is_not_read(world: World) -> None:
    body = Body()

    response = await world.anonymous.post("/webhook/telegram/1:nonsense", content=body)

    assert (response.status_code, body.taken) == (404, 0)


async def test_a_batch_may_be_larger_than_a_message(world: World) -> None:
    response = await world.client.post("/messages/batch", content=b"[]" + CHUNK * 100, headers=JSON)

    assert response.status_code == 202


async def test_a_body_of_exactly_the_limit_is_read(world: World) -> None:
    body = b'{"update_id":1}'.ljust(world.dependencies.body_bytes_max)

    assert (await world.client.post(f"/webhook/telegram/{BOT_TOKEN}", content=body)).status_code == 200
