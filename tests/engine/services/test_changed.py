"""Two processes' services over one store; a test delivers their announcements, or loses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.ports.changes import ServiceChanged
from tempogram.engine.ports.stored_services import StoredService, Words
from tempogram.engine.services.catalogue import Service, service_of
from tempogram.engine.services.changed import ChangedServices
from tempogram.engine.services.errors import CircuitOpen, UnknownService
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.engine.services.stored import Store, Wire
from tests.fakes import Clock

DECLARED = {"concurrency": 2, "operations": {"pay": {"count": 5, "window_ms": 1_000}, "read": {}}}


@dataclass
class Process:
    """One process."""

    services: Services
    changed: ChangedServices
    wire: Wire

    def limit(self) -> CallLimit:
        return self.services.service("shop").limit


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def start(clock: Clock, store: Store) -> Start:
    async def started(words: Mapping[str, Any] = DECLARED) -> Process:
        declared: dict[str, Service] = {"shop": service_of("shop", words)}
        services = Services(declared, MemoryCallLimiter(clock=clock, after_start=False), clock=clock)
        wire = Wire()
        changed = ChangedServices(services, declared, store, wire, window_ms=500)
        await changed.begin()
        return Process(services, changed, wire)

    return started


async def once() -> str:
    return "called"


async def test_a_change_holds_here_at_once_and_in_others_when_they_hear_of_it(start: Start) -> None:
    here, there = await start(), await start()

    await here.changed.update_limits("shop", {"max_concurrent": 4})

    assert here.limit().concurrency == 4
    assert here.wire.announced == [ServiceChanged("shop")]
    await there.changed.load()
    assert there.limit().concurrency == 4


async def test_a_change_holds_after_a_restart_above_what_is_declared_now(start: Start) -> None:
    await (await start()).changed.update_limits("shop", {"concurrency": 4})

    restarted = await start({**DECLARED, "concurrency": 3, "apart_ms": 7})

    assert restarted.limit() == CallLimit(concurrency=4, apart_ms=7)


async def test_two_words_for_one_thing_change_the_same(start: Start) -> None:
    here = await start()

    await here.changed.update_limits("shop", {"max_concurrent": 4, "operations": {"pay": {"reservoir": 9}}})
    await here.changed.update_limits("shop", {"concurrency": 5})

    assert here.limit().concurrency == 5
    assert here.services.operation("shop", "pay").limit == CallLimit(count=9, window_ms=1_000)


async def test_a_count_without_a_window_has_that_of_the_settings(start: Start) -> None:
    here = await start()

    await here.changed.update_limits("shop", {"operations": {"read": {"count": 9}}})

    assert here.services.operation("shop", "read").limit == CallLimit(count=9, window_ms=500)


async def test_a_service_that_is_reset_is_as_declared_in_all_processes(start: Start) -> None:
    here, there = await start(), await start()
    await here.changed.update_limits("shop", {"concurrency": 4})
    await there.changed.load()

    await here.changed.reset("shop")
    await there.changed.load()

    assert (here.limit().concurrency, there.limit().concurrency) == (2, 2)
    assert here.wire.announced == [ServiceChanged("shop")] * 2


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("shp", {}, "there is no service 'shp'; declared are shop"),
        ("shop", {"operations": {"pai": {"count": 1}}}, "shop has no operation 'pai'; it has pay, read"),
        ("shop", {"retrys": 1}, "retrys is no setting of a service"),
        ("shop", {"concurrency": 10_001}, "concurrency is 10001; it must be a whole number from 0 to 10,000"),
        ("shop", {"operations": {"pay": {"breaker": "ajar"}}}, "breaker of an operation is 'ajar'; it must be"),
        ("shop", {"operations": 5}, "operations is 5; it must be a table"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(
    start: Start, store: Store, name: str, changes: Words, sentence: str
) -> None:
    here = await start()
    before = dict(store.rows)

    with pytest.raises((SettingsError, UnknownService)) as refused:
        await here.changed.update_limits(name, changes)

    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
    assert (store.rows, here.wire.announced, here.limit().concurrency) == (before, [], 2)


async def test_a_change_that_contradicts_those_of_before_is_refused(start: Start, store: Store) -> None:
    here = await start()
    await here.changed.update_limits("shop", {"count": 5, "window_ms": 1_000, "burst": 5})
    there = await start()
    await there.changed.reset("shop")

    with pytest.raises(SettingsError, match="a burst of 4 must be between 1 and the count, 0"):
        await here.changed.update_limits("shop", {"burst": 4})  # it has not heard of the reset

    assert store.rows["shop"].changes == {}


async def test_stored_changes_that_make_no_sense_any_more_stop_no_start_and_no_other_service(
    start: Start, store: Store
) -> None:
    store.rows["gone"] = StoredService(7, {"concurrency": 1}, "")
    store.rows["shop"] = StoredService(8, {"operations": {"refund": {"count": 5}}}, "")

    with capture_logs() as logged:
        here = await start()

    assert here.limit().concurrency == 2
    assert [(line["event"], line["service"]) for line in logged] == [("service_changes_refused", "shop")]
    await here.changed.reset("shop")
    await here.changed.update_limits("shop", {"concurrency": 4})
    assert here.limit().concurrency == 4


async def test_a_change_whose_answer_was_lost_is_announced(start: Start, store: Store) -> None:
    here = await start()
    store.loses_answers = True

    with pytest.raises(LedgerError):
        await here.changed.update_limits("shop", {"concurrency": 4})

    assert here.wire.announced == [ServiceChanged("shop")]


async def test_limits_of_a_process_that_was_started_with_another_declaration_are_newer(start: Start) -> None:
    old = await start()
    new = await start({**DECLARED, "concurrency": 6})

    await old.changed.update_limits("shop", {"retries": 1})
    await new.changed.load()

    assert (old.limit().concurrency, new.limit().concurrency) == (2, 6)
    assert old.services.service("shop").retries == new.services.service("shop").retries == 1
    assert old.services.service("shop").version < new.services.service("shop").version


async def test_a_breaker_opened_by_hand_is_open_in_all_processes_and_after_a_restart(start: Start) -> None:
    here, there = await start(), await start()

    await here.changed.open_breakers("shop", ["pay"])
    await there.changed.load()

    for process in (here, there, await start()):
        with pytest.raises(CircuitOpen):
            await process.services.call("shop", "pay", once)
        assert await process.services.call("shop", "read", once) == "called"


async def test_a_breaker_closed_by_hand_is_closed_where_failures_opened_it(start: Start) -> None:
    async def refused() -> None:
        raise ConnectionResetError

    here, there = await start(), await start()
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            await there.services.call("shop", "read", refused)
    with pytest.raises(CircuitOpen):
        await there.services.call("shop", "read", once)

    await here.changed.close_breakers("shop", ["read"])
    (announced,) = here.wire.announced
    assert announced == ServiceChanged("shop", closed=("read",))
    there.changed.closed("shop", ["read", "unknown"])

    assert await there.services.call("shop", "read", once) == "called"
