from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tempogram.bot.behaviours.watches.declared import declared, declares_source, forget_all, watched
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.catalogue import Service, shipped


@pytest.fixture(autouse=True)
def _nothing_declared() -> Iterator[None]:
    forget_all()
    yield
    forget_all()


@pytest.fixture
def services() -> dict[str, Service]:
    return shipped()


async def test_a_source_is_declared_by_a_decorator(services: dict[str, Service]) -> None:
    @watched("titles", uses="films:availability")
    async def availability(key: str) -> dict[str, Any]:
        return {"title": key}

    (source,) = declared(services).values()

    assert (source.name, source.service, source.operation) == ("titles", "films", "availability")
    assert await source.fetch("tt1") == {"title": "tt1"}
    assert declares_source(__name__)


@pytest.mark.parametrize(
    ("uses", "sentence"),
    [
        ("shop:item", "source titles uses shop:item, but there is no service 'shop'; declared are "),
        ("films:prices", "films has no operation 'prices'; it has availability"),
    ],
)
def test_a_source_of_what_there_is_not_is_refused(services: dict[str, Service], uses: str, sentence: str) -> None:
    watched("titles", uses, _fetch)

    with pytest.raises(SettingsError, match=sentence):
        declared(services)


@pytest.mark.parametrize(
    ("name", "uses", "fetch", "sentence"),
    [
        ("a b", "films:availability", None, "no name of a source"),
        ("titles", "films", None, "write service:operation"),
        ("titles", "films:availability", len, "must be an async function"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_declared(name: str, uses: str, fetch: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        watched(name, uses, fetch or _fetch)


async def _fetch(_: str) -> dict[str, Any]:
    return {}
