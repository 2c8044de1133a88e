"""What of a Redis is wrong and ends the start; one that is away does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tempogram.bot.demo.process import free_port
from tempogram.bot.wiring.queue import claim
from tempogram.engine.brokers.redis import calls
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.ownership import Ownership
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import SettingsError
from tests.engine.redis_server import connected, own_redis, port_of


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with own_redis(tmp_path_factory.mktemp("redis"), "--requirepass", "hush") as url:
        yield port_of(url)


async def claimed(url: str) -> None:
    async with connected(url) as redis:
        await claim(RedisBroker(redis, Limits(), lease_ms=1_000, ownership=Ownership("mine")))


@pytest.mark.parametrize("who", ["", ":s3cret@", "me:s3cret@"])
async def test_a_redis_that_refuses_the_password_ends_the_start_and_it_is_not_quoted(port: int, who: str) -> None:
    with pytest.raises(SettingsError, match=r"^the Redis of REDIS_URL cannot be used: ") as refused:
        await claimed(f"redis://{who}127.0.0.1:{port}/0")

    assert "s3cret" not in str(refused.value)


async def test_a_database_number_that_redis_does_not_have_ends_the_start(port: int) -> None:
    with pytest.raises(SettingsError, match="DB index is out of range"):
        await claimed(f"redis://:hush@127.0.0.1:{port}/99")


async def test_a_redis_that_is_too_old_ends_the_start(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "is_old", lambda _: True)

    with pytest.raises(SettingsError, match=r"it is version .*, and 6\.2 is the oldest that works"):
        await claimed(f"redis://:hush@127.0.0.1:{port}/0")


async def test_a_redis_that_is_away_does_not_end_the_start() -> None:
    await claimed(f"redis://127.0.0.1:{free_port()}/0")
