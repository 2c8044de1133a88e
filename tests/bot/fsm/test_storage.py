"""The storage does what aiogram's own does, and what it stores outlives the process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiogram.exceptions import DataNotDictLikeError
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage, StorageKey
from aiogram.fsm.storage.memory import MemoryStorage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tempogram.bot.fsm.recent import FRESH_MS
from tempogram.bot.fsm.storage import DatabaseStorage
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.model.messages import Priority
from tempogram.storage.database.database import Database
from tempogram.storage.fsm.data import NotJson
from tempogram.storage.fsm.rows import Content, Run, StateKey
from tempogram.storage.fsm.states import States
from tests.fakes import Clock
from tests.storage.backends import BOT, OnPostgres, OnSqlite

KEY = StorageKey(bot_id=BOT, chat_id=-5, user_id=7)


class Order(StatesGroup):
    topping = State()
    size = State()


class CountingStates(States):
    """Counts how often the database is read."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads = 0

    async def get(self, key: StateKey, run: Run | None) -> Content:
        self.reads += 1
        return await super().get(key, run)


@contextmanager
def handling(update_id: int, *, bot_id: int = BOT) -> Iterator[None]:
    """Handle an update; each use is a run of its own."""
    with update_context.of(UpdateContext(bot_id, update_id, Priority.NORMAL)):
        yield


# What is stored is JSON, so no float is NaN and every name is text.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\0"), max_size=5)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["name", "size", "", "Größe"])
data = st.dictionaries(names, json_values, max_size=3)
keys = st.builds(
    StorageKey,
    bot_id=st.sampled_from([BOT, BOT + 1]),
    chat_id=st.sampled_from([-5, 7]),
    user_id=st.just(7),
    thread_id=st.sampled_from([None, 3]),
    business_connection_id=st.sampled_from([None, "shop"]),
    destiny=st.sampled_from(["default", "second"]),
)
steps = st.one_of(
    st.tuples(st.just("set_state"), st.sampled_from([None, "plain", Order.topping, Order.size])),
    st.tuples(st.just("set_data"), data),
    st.tuples(st.just("update_data"), data),
    st.tuples(st.just("get_value"), names),
    st.tuples(st.just("get_state")),
    st.tuples(st.just("get_data")),
)
handled = st.lists(st.lists(st.tuples(keys, steps), max_size=5), max_size=5)
"""What each update does, one after another."""


async def answers(storage: BaseStorage, updates: list[list[tuple[StorageKey, tuple[Any, ...]]]]) -> list[Any]:
    found = []
    for number, update in enumerate(updates):
        with handling(number):
            found += [await getattr(storage, name)(key, *rest) for key, (name, *rest) in update]
    return found


async def check_answers(database: Database, updates: list[list[tuple[StorageKey, tuple[Any, ...]]]]) -> None:
    storage, model = DatabaseStorage(States(database), clock=Clock()), MemoryStorage()
    keys = {key for update in updates for key, _ in update}
    for key in keys:  # what an earlier example left
        await storage.set_state(key, None)
        await storage.set_data(key, {})

    assert await answers(storage, updates) == await answers(model, updates)
    for key in keys:
        assert await storage.get_state(key) == await model.get_state(key)
        assert list((await storage.get_data(key)).items()) == list((await model.get_data(key)).items())


examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class StorageContract:
    @pytest.fixture
    def storage(self, database: Database, clock: Clock) -> DatabaseStorage:
        return DatabaseStorage(States(database), clock=clock)

    async def test_what_is_stored_is_there_in_another_process(self, storage: DatabaseStorage, url: str) -> None:
        await storage.set_state(KEY, Order.topping)
        await storage.update_data(KEY, {"topping": "ham"})
        other = await Database.open(url)
        elsewhere = DatabaseStorage(States(other), clock=Clock())

        found = await elsewhere.get_state(KEY), await elsewhere.get_data(KEY)
        await other.close()

        assert found == ("Order:topping", {"topping": "ham"})

    async def test_concurrent_handlers_of_one_key_lose_no_change(self, storage: DatabaseStorage) -> None:
        async def handle(number: int) -> None:
            with handling(number):
                await storage.get_state(KEY)
                await storage.update_data(KEY, {f"entry {number}": number})

        await asyncio.gather(*map(handle, range(30)))

        assert await storage.get_data(KEY) == {f"entry {number}": number for number in range(30)}


class TestStorageOnSqlite(OnSqlite, StorageContract):
    @given(updates=handled)
    @examples
    async def test_every_answer_is_that_of_aiograms_memory_storage(
        self, database: Database, updates: list[list[tuple[StorageKey, tuple[Any, ...]]]]
    ) -> None:
        await check_answers(database, updates)


class TestStorageOnPostgres(OnPostgres, StorageContract):
    @given(updates=handled)
    @examples
    async def test_every_answer_is_that_of_aiograms_memory_storage(
        self, database: Database, updates: list[list[tuple[StorageKey, tuple[Any, ...]]]]
    ) -> None:
        await check_answers(database, updates)


class TestReadingOnce(OnSqlite):
    @pytest.fixture
    def states(self, database: Database) -> CountingStates:
        return CountingStates(database)

    @pytest.fixture
    def storage(self, states: CountingStates, clock: Clock) -> DatabaseStorage:
        return DatabaseStorage(states, clock=clock)

    async def test_an_update_reads_its_state_and_its_data_at_once(
        self, storage: DatabaseStorage, states: CountingStates
    ) -> None:
        await storage.set_data(KEY, {"size": "large"})

        with handling(1):
            found = await storage.get_state(KEY), await storage.get_data(KEY), await storage.get_value(KEY, "size")

        assert (found, states.reads) == ((None, {"size": "large"}, "large"), 1)

    async def test_an_update_need_not_read_what_it_wrote(
        self, storage: DatabaseStorage, states: CountingStates
    ) -> None:
        with handling(1):
            await storage.update_data(KEY, {"size": "large"})
            found = await storage.get_data(KEY)

        assert (found, states.reads) == ({"size": "large"}, 0)

    async def test_what_a_handler_does_with_its_data_changes_nothing_stored(self, storage: DatabaseStorage) -> None:
        with handling(1):
            await storage.set_data(KEY, {"toppings": ["ham"]})
            (await storage.get_data(KEY))["toppings"].append("olives")

            assert await storage.get_data(KEY) == {"toppings": ["ham"]}

    async def test_each_update_reads_anew(self, storage: DatabaseStorage, states: CountingStates) -> None:
        for number in (1, 2):
            with handling(number):
                await storage.get_state(KEY)

        assert states.reads == 2

    async def test_what_is_read_outside_of_any_update_is_read_each_time(
        self, storage: DatabaseStorage, states: CountingStates
    ) -> None:
        await storage.get_state(KEY)
        await storage.get_data(KEY)

        assert states.reads == 2

    async def test_a_handler_sees_what_another_one_in_its_process_wrote_meanwhile(
        self, storage: DatabaseStorage
    ) -> None:
        with handling(1):
            await storage.get_state(KEY)
            with handling(2):
                await storage.set_data(KEY, {"size": "large"})

            assert await storage.get_data(KEY) == {"size": "large"}

    async def test_a_handler_sees_what_another_process_wrote_a_moment_ago(
        self, storage: DatabaseStorage, states: CountingStates, clock: Clock
    ) -> None:
        with handling(1):
            await storage.get_state(KEY)
            await states.set_data(StateKey(BOT, -5, 7), None, data={"size": "large"})
            early = await storage.get_data(KEY)
            clock.advance(FRESH_MS)

            assert (early, await storage.get_data(KEY)) == ({}, {"size": "large"})

    async def test_a_read_that_began_before_a_write_is_not_kept(
        self, storage: DatabaseStorage, states: CountingStates
    ) -> None:
        with handling(1):
            reading = asyncio.create_task(storage.get_data(KEY))
            await asyncio.sleep(0)
            with handling(2):
                await storage.set_data(KEY, {"size": "large"})
            await reading

            assert await storage.get_data(KEY) == {"size": "large"}

    async def test_an_update_of_another_bot_is_not_taken_for_the_keys(self, storage: DatabaseStorage) -> None:
        with handling(1):
            await storage.set_state(KEY, "by its own bot")

        with handling(1, bot_id=BOT + 1):
            assert await storage.get_state(KEY) == "by its own bot"

    async def test_an_update_that_is_handled_again_begins_where_it_began(self, storage: DatabaseStorage) -> None:
        await storage.set_state(KEY, Order.topping)
        with handling(1):
            await storage.update_data(KEY, {"topping": "ham"})
            await storage.set_state(KEY, Order.size)

        with handling(1):
            found = await storage.get_state(KEY), await storage.get_data(KEY)

        assert found == ("Order:topping", {})


class TestRefusals(OnSqlite):
    @pytest.fixture
    def storage(self, database: Database, clock: Clock) -> DatabaseStorage:
        return DatabaseStorage(States(database), clock=clock)

    @pytest.mark.parametrize("change", ["set_data", "update_data"])
    async def test_data_that_is_no_json_is_refused(self, storage: DatabaseStorage, change: str) -> None:
        with pytest.raises(NotJson, match=r"data\['born'\] is not"):
            await getattr(storage, change)(KEY, {"name": "Ann", "born": object()})

        assert await storage.get_data(KEY) == {}

    async def test_data_that_holds_itself_is_refused(self, storage: DatabaseStorage) -> None:
        data: dict[str, Any] = {}
        data["self"] = data

        with pytest.raises(NotJson):
            await storage.set_data(KEY, data)

    async def test_data_that_is_no_dict_is_refused_as_by_aiograms_own(self, storage: DatabaseStorage) -> None:
        with pytest.raises(DataNotDictLikeError):
            await storage.set_data(KEY, [("name", "Ann")])  # type: ignore[arg-type]

    async def test_infinity_is_stored_as_by_aiograms_redis_storage(self, storage: DatabaseStorage) -> None:
        await storage.set_data(KEY, {"limit": math.inf})

        assert await storage.get_data(KEY) == {"limit": math.inf}

    @pytest.mark.parametrize("state", ["a\0b", "\ud800"])
    async def test_a_state_that_no_database_can_store_is_refused(self, storage: DatabaseStorage, state: str) -> None:
        with pytest.raises(ValueError, match="A state must be a text that can be stored"):
            await storage.set_state(KEY, state)

    async def test_a_state_that_is_no_text_is_refused(self, storage: DatabaseStorage) -> None:
        with pytest.raises(TypeError, match="A state must be a text, and 7 is int"):
            await storage.set_state(KEY, 7)  # type: ignore[arg-type]

    async def test_half_a_character_in_data_is_stored_as_it_is(self, storage: DatabaseStorage) -> None:
        await storage.set_data(KEY, {"text": "\ud800"})

        assert await storage.get_data(KEY) == {"text": "\ud800"}
