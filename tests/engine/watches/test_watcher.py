from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from structlog.testing import capture_logs
from yarl import URL

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.watches import DAY_MS, HOUR_MS, Item, Preset, WatchRules
from tempogram.engine.watches.answers import NoAnswer
from tempogram.engine.watches.watches import ASKS_MAX, MINUTE_MS
from tempogram.storage.database.database import Database
from tempogram.storage.watches.watches import SqlWatchStore
from tests.engine.watches.world import ANNA, BEN, World
from tests.fakes import Clock

SECRET = "8b1a9953"
ADDRESS = f"https://user:{SECRET}@shop.example/{SECRET}/items/tea?apikey={SECRET}"

KEYS = [f"item-{number:02}" for number in range(40)]


@pytest.fixture
def world(database: Database, clock: Clock) -> World:
    clock.advance(HOUR_MS - clock() % HOUR_MS)
    return World(database, clock)


async def test_calls_of_the_preset_priority_begin_a_second_apart(world: World) -> None:
    await world.watch(*KEYS[:5])

    await world.run_through()

    assert world.pauses == [1_000] * 4
    assert [key for _, key in world.source.asked] == KEYS[:5]


async def test_a_slow_source_is_asked_for_one_item_after_the_other(world: World) -> None:
    world.source.takes_ms = 3_000
    await world.watch(*KEYS[:3])

    await world.run_through()

    assert world.pauses == [3_000] * 2


async def test_a_run_ends_after_a_while_and_the_next_goes_on_at_once(world: World) -> None:
    world.source.takes_ms = 20_000
    await world.watch(*KEYS[:5])

    first = await world.watcher.run("prices")
    asked = len(world.source.asked)
    await world.run_through()

    assert first == timedelta()
    assert asked == 3
    assert [key for _, key in world.source.asked] == KEYS[:5]


async def test_above_a_tenth_of_failures_the_pace_halves_until_the_source_is_well(world: World) -> None:
    world.source.fails = lambda number: number in {1, 3, 5}
    await world.watch(*KEYS)

    await world.run_through()

    assert world.pauses[:5] == [1_000] * 5
    assert world.pauses[5:25] == [5_000] * 20
    assert set(world.pauses[25:38]) == {1_000}
    assert world.metrics.checks["prices", "failed"] == 3


async def test_what_a_source_did_not_answer_is_asked_again_with_longer_and_longer_pauses(world: World) -> None:
    world.source.fails = lambda number: number < 3
    await world.watch("tea")

    for _ in range(12):
        await world.run_through()
        world.clock.advance(HOUR_MS // 2)

    times = [at_ms for at_ms, _ in world.source.asked][:4]
    assert (await world.known("tea")).fields == {"price": 1}
    assert all(after - before >= 60_000 for before, after in pairwise(times))


async def test_a_service_without_room_is_left_alone_and_no_item_is_lost(world: World) -> None:
    await world.watch(*KEYS[:5])
    world.services.left = 2

    await world.run_through()
    asked = len(world.source.asked)
    world.services.left = 100
    await world.run_through()

    assert asked == 2
    assert sorted(key for _, key in world.source.asked) == KEYS[:5]
    assert (await world.known(KEYS[4])).failures == 0


async def test_no_more_than_the_hours_share_is_asked_for(database: Database, clock: Clock) -> None:
    world = World(database, clock, WatchRules(preset=Preset.PRIORITY, hourly_max=7))
    clock.advance(HOUR_MS - clock() % HOUR_MS)
    await world.watch(*KEYS)

    for _ in range(3):
        await world.run_through()

    assert len(world.source.asked) == 7


async def test_however_many_view_an_item_at_once_its_source_is_asked_once(database: Database, clock: Clock) -> None:
    world = World(database, clock, WatchRules(preset=Preset.ON_DEMAND))
    await world.watch("tea")
    item = (await world.known("tea")).item

    seen = await asyncio.gather(*(world.watches.view(item) for _ in range(20)))
    again = await world.watches.view(item)
    clock.advance(DAY_MS)
    later = await world.watches.view(item)

    assert {each.fields["price"] for each in seen if each is not None and each.fields is not None} == {1}
    assert len(world.source.asked) == 2
    assert again is not None
    assert later is not None
    assert (later.checked_at_ms - again.checked_at_ms, later.priority) == (DAY_MS, 23)


async def test_an_item_whose_source_fails_when_it_is_viewed_is_shown_as_it_was_and_is_due(
    database: Database, clock: Clock
) -> None:
    world = World(database, clock, WatchRules(preset=Preset.ON_DEMAND))
    await world.watch("tea")
    item = (await world.known("tea")).item
    await world.watches.view(item)
    clock.advance(DAY_MS)
    world.source.fails = lambda number: number == 1

    seen = await world.watches.view(item)
    clock.advance(60_000)
    await world.run_through()

    assert seen is not None
    assert (seen.fields, seen.failures) == ({"price": 1}, 1)
    assert (await world.known("tea")).checked_at_ms == clock()


async def test_a_source_that_is_slowed_costs_another_nothing(world: World) -> None:
    films = world.add_source("films")
    world.source.takes_ms, world.source.fails = 60_000, lambda _: True
    await world.watch(*KEYS[:20])
    await world.watch(*KEYS[:20], source="films")
    await world.watcher.run("prices")
    begins_ms = world.clock()

    await world.watcher.run("films")

    assert len(films.asked) == 20
    assert films.asked[-1][0] - begins_ms == 19_000


async def test_each_source_has_a_share_of_its_own_in_an_hour(database: Database, clock: Clock) -> None:
    world = World(database, clock, WatchRules(preset=Preset.PRIORITY, hourly_max=3))
    films = world.add_source("films")
    clock.advance(HOUR_MS - clock() % HOUR_MS)
    await world.watch(*KEYS[:9])
    await world.watch(*KEYS[:9], source="films")

    for source in ("prices", "films"):
        await world.run_through(source)

    assert [len(each.asked) for each in (world.source, films)] == [3, 3]


async def test_at_a_pause_of_a_minute_the_next_run_begins_when_the_source_may_be_asked(world: World) -> None:
    await world.store.keep_pause("prices", 60_000)
    await world.watch(*KEYS[:3])

    first = await world.watcher.run("prices")
    world.clock.advance(5_000)
    sooner = await world.watcher.run("prices")

    assert (first, sooner) == (timedelta(seconds=60), timedelta(seconds=55))
    assert len(world.source.asked) == 1


async def test_another_process_goes_on_at_the_slowed_pace(world: World) -> None:
    world.source.fails = lambda number: number < 3
    await world.watch(*KEYS[:5])
    await world.run_through()

    world.start()
    world.clock.advance(HOUR_MS)
    await world.run_through()

    assert await world.store.pause_ms("prices") == 5_000
    assert world.pauses[-4:] == [5_000] * 4


async def test_a_pace_that_is_as_usual_again_is_as_usual_for_all(world: World) -> None:
    world.source.fails = lambda number: number < 3
    await world.watch(*KEYS)

    await world.run_through()

    assert await world.store.pause_ms("prices") == 0


async def test_an_item_that_hangs_until_its_deadline_holds_up_no_other(world: World) -> None:
    world.services.overdue = {"a"}
    await world.watch("a", "b", "c")

    await world.run_through()

    assert [key for _, key in world.source.asked] == ["a", "b", "c"]
    assert (await world.known("a")).failures == 1


async def test_a_source_that_cancels_itself_has_failed(world: World) -> None:
    world.source.raises = asyncio.CancelledError()
    await world.watch("tea")

    await world.run_through()

    assert (await world.known("tea")).failures == 1


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (aiohttp.InvalidURL(f"{ADDRESS}"), "InvalidURL (world.py, line "),
        (OSError(f"max retries exceeded with url: /items/tea?apikey={SECRET}"), "OSError (world.py, line "),
        (
            aiohttp.ClientResponseError(
                aiohttp.RequestInfo(URL(ADDRESS), "GET", CIMultiDictProxy(CIMultiDict())), (), status=403
            ),
            "ClientResponseError with HTTP status 403 (world.py, line ",
        ),
        (NoAnswer("the answer is no JSON object, but list"), "the answer is no JSON object, but list"),
    ],
)
async def test_why_a_source_did_not_answer_is_said_without_its_address(
    raised: Exception, reason: str, world: World
) -> None:
    world.source.raises = raised
    await world.watch("tea")

    with capture_logs() as logged:
        await world.run_through()
        await world.watches.view(Item("prices", "tea"))

    shown = f"{logged}{await world.watches.counts()}"
    assert logged[0]["event"] == "watch_item_not_answered"
    assert logged[0]["reason"].startswith(reason)
    assert SECRET not in shown


async def test_while_the_pace_is_slowed_a_view_does_not_ask_sooner(database: Database, clock: Clock) -> None:
    world = World(database, clock, WatchRules(preset=Preset.ON_DEMAND))
    await world.watch(*"abcdefgh")
    items = [Item("prices", key) for key in "abcdefgh"]
    for each in items:
        await world.watches.view(each)
    clock.advance(DAY_MS)
    world.source.fails = lambda _: True

    for each in items:
        await world.watches.view(each)
        clock.advance(1_000)

    assert world.pauses[len(items) :] == [1_000, 1_000, 5_000]


async def test_items_that_there_are_not_do_not_slow_their_source_however_many_a_chat_names(
    database: Database, clock: Clock
) -> None:
    world = World(database, clock)
    await world.watch(*KEYS)
    world.source.fails = lambda _: True

    for key in KEYS:
        await world.watches.view(Item("prices", key))

    assert len(world.source.asked) == len(KEYS)
    assert await world.store.pause_ms("prices") == 0


async def test_however_often_a_failing_item_is_viewed_its_source_is_asked_as_after_any_failure(
    database: Database, clock: Clock
) -> None:
    world = World(database, clock, WatchRules(preset=Preset.ON_DEMAND))
    await world.watch("nonsense")
    item = (await world.known("nonsense")).item
    world.source.fails = lambda _: True

    for _ in range(600):
        await world.watches.view(item)
        clock.advance(1_000)

    assert [at_ms - world.source.asked[0][0] for at_ms, _ in world.source.asked] == [0, 60_000, 180_000, 420_000]


async def test_an_item_that_fails_again_and_again_does_not_slow_its_source(database: Database, clock: Clock) -> None:
    world = World(database, clock)
    await world.watch("nonsense")
    item = (await world.known("nonsense")).item
    world.source.fails = lambda _: True

    for _ in range(100):
        await world.watches.view(item)
        clock.advance(HOUR_MS)

    assert len(world.source.asked) > 10
    assert await world.store.pause_ms("prices") == 0


async def test_a_chat_has_a_source_asked_so_often_a_minute_and_no_other_chat_less_often(
    database: Database, clock: Clock
) -> None:
    world = World(database, clock)
    await world.watch(*KEYS)
    asked = []

    for to in (ANNA, BEN, ANNA):
        for key in KEYS:
            await world.watches.view(Item("prices", key), to)
        asked.append(len(world.source.asked))
        clock.advance(MINUTE_MS // 2)

    assert asked == [ASKS_MAX, 2 * ASKS_MAX, 3 * ASKS_MAX]


async def test_an_answer_is_given_though_the_pause_of_its_source_cannot_be_kept(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(database, clock)
    await world.watch(*KEYS[:4])

    async def refused(*_: object) -> None:
        raise LedgerError("the database is away")

    monkeypatch.setattr(SqlWatchStore, "keep_pause", refused)
    world.source.fails = lambda number: number < 3

    await world.run_through()

    assert (await world.known(KEYS[3])).fields == {"price": 1}


async def test_an_answer_that_is_none_is_a_failure(world: World) -> None:
    world.source.prices["tea"] = ["a", "list"]
    await world.watch("tea")

    await world.run_through()

    assert ((await world.known("tea")).failures, world.metrics.checks["prices", "failed"]) == (1, 1)
