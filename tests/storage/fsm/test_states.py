from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from tempogram.engine.model.errors import UnstorableValue
from tempogram.engine.model.messages import Status
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import fsm_states
from tempogram.storage.fsm import writes
from tempogram.storage.fsm.data import DATA_BYTES_MAX, DataTooLarge, NotJson, decode
from tempogram.storage.fsm.rows import Content, Run, StateKey
from tempogram.storage.fsm.states import States
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.retention import Retention, RetentionPeriods
from tempogram.storage.updates import Updates
from tests.fakes import Clock
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message

USER = 5
KEY = StateKey(BOT, CHAT, USER)
FIRST, AGAIN, NEXT = Run(1, 100), Run(1, 200), Run(2, 300)
KEEP = RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=0)


class StatesContract:
    @pytest.fixture
    def states(self, database: Database) -> States:
        return States(database)

    @staticmethod
    async def state(states: States, key: StateKey = KEY, run: Run | None = None) -> str | None:
        return (await states.get(key, run)).state

    @staticmethod
    async def data(states: States, key: StateKey = KEY, run: Run | None = None) -> dict[str, Any]:
        return decode((await states.get(key, run)).data)

    @staticmethod
    async def rows(database: Database) -> int:
        async with database.reading() as connection:
            return (await connection.execute(select(func.count()).select_from(fsm_states))).scalar_one()

    async def test_every_part_of_a_key_tells_states_apart(self, states: States) -> None:
        others = [
            KEY._replace(bot_id=BOT + 1),
            KEY._replace(chat_id=-CHAT),
            KEY._replace(user_id=USER + 1),
            KEY._replace(thread_id=3),
            KEY._replace(business_connection_id="shop"),
            KEY._replace(destiny="second"),
        ]
        for number, key in enumerate([KEY, *others]):
            await states.set_state(key, None, state=f"state {number}")

        found = [await self.state(states, key) for key in [KEY, *others]]

        assert found == [f"state {number}" for number in range(7)]

    async def test_a_state_and_its_data_are_changed_apart_and_read_together(self, states: States) -> None:
        await states.set_state(KEY, None, state="asks name")
        await states.set_data(KEY, None, data={"size": "large", "price": 1.5})

        updated = await states.update_data(KEY, None, data={"price": None, "name": "Zoë"})

        assert await states.get(KEY, None) == updated == Content("asks name", updated.data)
        assert list(decode(updated.data).items()) == [("size", "large"), ("price", None), ("name", "Zoë")]

    @pytest.mark.parametrize("key", [KEY._replace(chat_id=1 << 63), KEY._replace(user_id=1 << 63)])
    async def test_an_id_beyond_64_bits_is_no_outage_of_the_database(self, states: States, key: StateKey) -> None:
        """Its update was handled again and again, as if the database were away, and held up its key for ever."""
        with pytest.raises(UnstorableValue, match="a number is beyond its range"):
            await states.get(key, None)
        with pytest.raises(UnstorableValue, match="a number is beyond its range"):
            await states.set_state(key, None, state="asks name")

    async def test_a_key_without_state_and_data_has_no_row(self, states: States, database: Database) -> None:
        await states.set_state(KEY, None, state="asks name")
        await states.set_data(KEY, None, data={"size": "large"})
        await states.set_state(KEY, None, state=None)
        between = await self.rows(database)

        await states.set_data(KEY, None, data={})
        await states.set_state(KEY._replace(user_id=USER + 1), FIRST, state=None)

        assert (between, await self.rows(database)) == (1, 0)

    async def test_concurrent_changes_of_two_processes_are_all_stored(
        self, states: States, database: Database, url: str
    ) -> None:
        other = await Database.open(url)
        elsewhere = States(other)
        keys = [KEY._replace(chat_id=chat_id) for chat_id in range(3)]

        await asyncio.gather(
            *(
                each.update_data(key, None, data={f"{name} {number}": number})
                for number in range(20)
                for key in (keys if number % 2 else reversed(keys))
                for name, each in (("here", states), ("elsewhere", elsewhere))
            )
        )
        found = [await self.data(elsewhere, key) for key in keys]
        await other.close()

        wanted = {f"{name} {number}": number for number in range(20) for name in ("here", "elsewhere")}
        assert found == [wanted] * 3

    async def test_clearing_and_setting_at_once_in_two_processes_leaves_one_of_both(
        self, states: States, database: Database, url: str
    ) -> None:
        other = await Database.open(url)
        elsewhere = States(other)

        for number in range(20):
            await asyncio.gather(
                states.set_state(KEY, None, state=None), elsewhere.set_state(KEY, None, state=f"state {number}")
            )
            assert await self.state(states) in {None, f"state {number}"}
        await other.close()

    async def test_changes_of_one_key_that_were_begun_together_are_made_in_their_order(self, states: States) -> None:
        names = [f"state {number}" for number in range(50)]

        written = await asyncio.gather(*(states.set_state(KEY, None, state=name) for name in names))

        assert [content.state for content in written] == names
        assert await self.state(states) == names[-1]

    async def test_data_that_is_too_large_is_refused_and_other_changes_of_its_commit_are_made(
        self, states: States
    ) -> None:
        half = "x" * (DATA_BYTES_MAX // 2)
        await states.set_data(KEY, None, data={"first": half})
        elsewhere = KEY._replace(chat_id=CHAT + 1)

        refused, _ = await asyncio.gather(
            states.update_data(KEY, None, data={"second": half}),
            states.update_data(elsewhere, None, data={"name": "Ann"}),
            return_exceptions=True,
        )

        assert isinstance(refused, DataTooLarge)
        assert await self.data(states) == {"first": half}
        assert await self.data(states, elsewhere) == {"name": "Ann"}

    async def test_data_that_is_no_json_is_refused_by_name(self, states: States) -> None:
        with pytest.raises(NotJson, match=r"data\['tags'\] is not"):
            await states.set_data(KEY, None, data={"name": "Ann", "tags": {1}})

        assert await states.get(KEY, None) == Content()

    async def test_an_update_that_is_handled_again_finds_what_it_found_the_first_time(self, states: States) -> None:
        await states.set_state(KEY, None, state="asks name")
        await states.update_data(KEY, FIRST, data={"name": "Ann"})
        await states.set_state(KEY, FIRST, state="asks age")

        again = await states.get(KEY, AGAIN)

        assert again == Content("asks name") == await states.get(KEY, None)

    async def test_a_first_change_that_is_made_again_is_made_on_what_was_found(self, states: States) -> None:
        await states.set_data(KEY, None, data={"visits": 1})
        await states.update_data(KEY, FIRST, data={"name": "Ann"})

        await states.set_state(KEY, AGAIN, state="asks age")

        assert await self.data(states) == {"visits": 1}

    async def test_a_form_that_was_completed_is_there_when_its_last_update_is_handled_again(
        self, states: States
    ) -> None:
        await states.set_data(KEY, None, data={"size": "large"})
        await states.set_data(KEY, FIRST, data={})

        assert (await self.data(states, run=FIRST), await self.data(states, run=NEXT)) == ({}, {})
        assert await self.data(states, run=AGAIN) == {"size": "large"}

    async def test_what_a_later_update_changed_stays_when_an_earlier_one_is_handled_again(self, states: States) -> None:
        await states.set_state(KEY, FIRST, state="asks name")
        await states.set_state(KEY, NEXT, state="asks age")

        assert await self.state(states, run=AGAIN) == "asks age"

    async def test_a_completed_form_is_deleted_once_its_last_update_is_handled(
        self, states: States, database: Database, clock: Clock
    ) -> None:
        inbox, retention = Updates(database, process=1), Retention(database, keep=KEEP, clock=clock)
        await inbox.receive(BOT, FIRST.update_id, b"{}", now_ms=NOW_MS)
        await states.set_state(KEY, None, state="asks size")
        await states.set_state(KEY._replace(chat_id=1), None, state="waits for years")
        await states.set_state(KEY, FIRST, state=None)

        early = await retention.purge()
        await inbox.mark_handled([(BOT, FIRST.update_id)], now_ms=NOW_MS)
        late = await retention.purge()

        assert (early["fsm_states"], late["fsm_states"], await self.rows(database)) == (0, 1, 1)

    async def test_states_move_with_their_group_and_those_that_are_there_already_stay(
        self, states: States, database: Database
    ) -> None:
        old = StateKey(BOT, -5, USER)
        of_chat, other_user, other_bot = (
            old._replace(user_id=-5),
            old._replace(user_id=6),
            old._replace(bot_id=BOT + 1),
        )
        for key in (old, of_chat, other_user, other_bot):
            await states.set_state(key, None, state="before")
        await states.set_state(old._replace(chat_id=-1005), None, state="after")
        migrated, ledger = message(chat_id=-5), SqlLedger(database)
        await ledger.add([migrated])

        await ledger.record([became(migrated, Status.QUEUED, migrated_to=-1005, counted_at_ms=None)])

        moved = [StateKey(BOT, -1005, user_id) for user_id in (USER, -1005, 6)]
        assert [await self.state(states, key) for key in (*moved, other_bot)] == ["after", "before", "before", "before"]
        assert await self.rows(database) == 4

    async def test_the_states_of_a_removed_bot_go_with_its_messages(
        self, states: States, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writes, "FORGOTTEN_MAX", 2)
        bots = Bots(database, Seal("the key of these tests only"))
        for bot_id in (BOT, BOT + 1):
            await bots.add(bot_id, f"{bot_id}:x", username="", first_name="", behaviours={}, now_ms=NOW_MS)
            for user_id in range(5):
                await states.set_state(StateKey(bot_id, CHAT, user_id), None, state="asks name")
        await bots.remove(BOT, keep_messages=False)
        await bots.remove(BOT + 1, keep_messages=True)

        for bot_id in (BOT, BOT + 1):
            await bots.mark_cleared(bot_id)

        async with database.reading() as connection:
            left = list((await connection.execute(select(fsm_states.c.bot_id))).scalars())
        assert left == [BOT + 1] * 5


class TestStatesOnSqlite(OnSqlite, StatesContract):
    pass


class TestStatesOnPostgres(OnPostgres, StatesContract):
    pass
