from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tempogram.engine.model.messages import Status
from tempogram.engine.model.watches import (
    DAY_MS,
    HOUR_MS,
    SHIPPED_PLANS,
    Check,
    Item,
    ItemChange,
    Plan,
    Preset,
    Subscriber,
    UnknownPlan,
    Watched,
    WatchesFull,
    WatchRules,
)
from tempogram.engine.watches.slots import last_due_ms, phase_of
from tempogram.storage.chats import ChatActivity, Chats
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.watches.watches import SqlWatchStore
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite, became, message

ANNA, BEN = Subscriber(BOT, 7), Subscriber(BOT, -100_8)
RULES = WatchRules()
SOURCES = {"prices"}
chat_ids = count(1_000)
TEA, CUP = Item("prices", "tea"), Item("prices", "cup")


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""One database serves all examples, which have items of their own."""


def numbered() -> Iterator[Item]:
    return (Item("prices", str(number)) for number in count())


def is_in_first_day(item: Item) -> bool:
    """Tell whether an item that is due once a week is due in the first day of the tests."""
    due_ms = last_due_ms(phase_of(item), NOW_MS + DAY_MS, interval_ms=7 * DAY_MS, slot_ms=HOUR_MS)
    return due_ms > NOW_MS


class WatchesContract:
    @pytest.fixture
    async def store(self, database: Database) -> SqlWatchStore:
        store = SqlWatchStore(database)
        await store.ship_plans(SHIPPED_PLANS)
        return store

    @pytest.fixture
    def chats(self, database: Database) -> Chats:
        return Chats(database)

    async def test_a_chat_watches_an_item_once(self, store: SqlWatchStore) -> None:
        added = await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        again = await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS + 1)

        (tea,) = await store.subscriptions(ANNA)
        assert (added, again) == (True, False)
        assert (tea.item, tea.checked_at_ms, tea.fields, tea.priority) == (TEA, NOW_MS, None, 1)
        assert await store.subscriptions(BEN) == []

    async def test_a_chat_watches_no_more_than_its_plan_allows(self, store: SqlWatchStore) -> None:
        await store.put_plan(Plan(name="two", items_max=2, interval_ms=DAY_MS))
        rules = WatchRules(plan="two")
        for key in ("a", "b"):
            await store.subscribe(ANNA, Item("prices", key), rules, now_ms=NOW_MS)

        with pytest.raises(WatchesFull, match="watches 2 items, which is all that the plan two allows") as full:
            await store.subscribe(ANNA, TEA, rules, now_ms=NOW_MS)

        assert full.value.plan.name == "two"
        assert await store.subscribe(ANNA, Item("prices", "a"), rules, now_ms=NOW_MS) is False
        assert await store.subscribe(BEN, TEA, rules, now_ms=NOW_MS)

    async def test_a_chat_that_adds_many_items_at_once_stays_within_its_plan(self, store: SqlWatchStore) -> None:
        await store.put_plan(Plan(name="two", items_max=2, interval_ms=DAY_MS))
        adding = (
            store.subscribe(ANNA, Item("prices", str(each)), WatchRules(plan="two"), now_ms=NOW_MS) for each in range(5)
        )
        answers = await asyncio.gather(*adding, return_exceptions=True)

        assert answers.count(True) == 2
        assert sum(isinstance(each, WatchesFull) for each in answers) == 3

    async def test_plans_are_shipped_for_those_who_pay_and_those_who_do_not(self, store: SqlWatchStore) -> None:
        plans = {plan.name: (plan.items_max, plan.interval_ms // DAY_MS, plan.priority) for plan in await store.plans()}

        assert plans == {"free": (10, 7, 0), "paid": (100, 1, 1), "standard": (50, 1, 0)}
        assert (await store.plan_of(ANNA, RULES)).name == "standard"

    async def test_a_plan_is_given_to_a_chat(self, store: SqlWatchStore) -> None:
        await store.give_plan(ANNA, "paid")

        assert (await store.plan_of(ANNA, RULES)).name == "paid"
        assert (await store.plan_of(BEN, WatchRules(plan="free"))).name == "free"
        with pytest.raises(UnknownPlan, match="no plan 'gold'"):
            await store.give_plan(ANNA, "gold")

    async def test_an_ended_subscription_is_gone_with_what_was_to_be_said_of_it(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        await self.observe(store, TEA, {"price": 1}, NOW_MS + 1)
        await self.observe(store, TEA, {"price": 2}, NOW_MS + 2)

        ended = [await store.unsubscribe(ANNA, TEA) for _ in range(2)]

        assert ended == [True, False]
        assert await store.waiting(now_ms=NOW_MS + HOUR_MS) == []

    async def test_only_changes_are_kept_and_when_it_was_last_seen(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        for at, price in enumerate((9, 9, 8, 8), start=1):
            await self.observe(store, TEA, {"price": price}, NOW_MS + at)

        seen = await store.observations(TEA)
        tea = await store.item(TEA)

        assert [(each.at_ms - NOW_MS, each.before, each.fields) for each in seen] == [
            (3, {"price": 9}, {"price": 8}),
            (1, None, {"price": 9}),
        ]
        assert tea is not None
        assert (tea.checked_at_ms - NOW_MS, tea.changed_at_ms - NOW_MS, tea.fields) == (4, 3, {"price": 8})

    async def test_of_two_processes_that_ask_at_once_one_is_believed(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        await self.observe(store, TEA, {"price": 9}, NOW_MS + 1)
        tea = await self.known(store, TEA)
        checks = [Check(of=tea, at_ms=NOW_MS + at, fields={"price": 8}) for at in (2, 3)]

        stored = [await store.note(check, debounce_ms=0) for check in checks]

        assert stored == [True, False]
        assert len(await store.observations(TEA)) == 2

    async def test_an_item_whose_source_does_not_answer_is_due_again_later(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS - 2 * DAY_MS)
        tea = await self.known(store, TEA)
        await store.note(Check(of=tea, at_ms=NOW_MS, again_at_ms=NOW_MS + 60_000), debounce_ms=0)

        at_once = await self.due(store, RULES, NOW_MS + 1)
        later = await self.due(store, RULES, NOW_MS + 60_000)

        assert (at_once, later) == ([], [TEA])
        assert (await self.known(store, TEA)).failures == 1

    async def test_all_changes_of_a_chat_are_in_one_digest(self, store: SqlWatchStore) -> None:
        for item in (TEA, CUP):
            await store.subscribe(ANNA, item, RULES, now_ms=NOW_MS)
            await self.observe(store, item, {"price": 1}, NOW_MS + 1)
        await self.observe(store, TEA, {"price": 2}, NOW_MS + 2)
        await self.observe(store, TEA, {"price": 3}, NOW_MS + 3)
        await self.observe(store, CUP, {"price": 9}, NOW_MS + 4)
        early = await store.waiting(now_ms=NOW_MS + 60_001)
        (waiting,) = await store.waiting(now_ms=NOW_MS + 60_002)

        await store.put_together([waiting.to], now_ms=NOW_MS + 60_002)
        await self.observe(store, TEA, {"price": 4}, NOW_MS + 60_003)
        (digest,) = await store.digests()

        assert early == []
        assert digest.to == ANNA
        assert digest.changes == (
            ItemChange(item=CUP, before={"price": 1}, after={"price": 9}),
            ItemChange(item=TEA, before={"price": 1}, after={"price": 3}),
        )
        await store.submitted([digest])
        assert await store.digests() == []
        assert [each.to for each in await store.waiting(now_ms=NOW_MS + HOUR_MS)] == [ANNA]

    async def test_what_is_known_of_a_waiting_chat_is_read_with_it(self, store: SqlWatchStore, chats: Chats) -> None:
        for to in (ANNA, BEN):
            await store.subscribe(to, TEA, RULES, now_ms=NOW_MS)
        for price in (1, 2):
            await self.observe(store, TEA, {"price": price}, NOW_MS + price)
        await chats.mark_unreachable(BOT, 7, "Forbidden: gone")

        waiting = {each.to: each.may_be_written for each in await store.waiting(now_ms=NOW_MS + HOUR_MS)}
        dropped = await store.drop([ANNA])
        await store.defer([BEN], until_ms=NOW_MS + 2 * HOUR_MS)

        assert waiting == {ANNA: False, BEN: True}
        assert dropped == 1
        assert await store.waiting(now_ms=NOW_MS + HOUR_MS) == []
        assert [each.to for each in await store.waiting(now_ms=NOW_MS + 2 * HOUR_MS)] == [BEN]

    async def test_bots_take_turns_with_the_chats_that_are_to_be_notified(self, store: SqlWatchStore) -> None:
        for number in range(5):
            await store.subscribe(Subscriber(BOT, 100 + number), TEA, RULES, now_ms=NOW_MS)
        for chat_id in (7, 8):
            await store.subscribe(Subscriber(BOT + 1, chat_id), CUP, RULES, now_ms=NOW_MS)
        for at, item in enumerate((TEA, TEA, CUP, CUP)):
            await self.observe(store, item, {"price": at}, NOW_MS + at)

        waiting = await store.waiting(now_ms=NOW_MS + HOUR_MS, limit=4)

        assert [each.to.bot_id - BOT for each in waiting] == [0, 1, 0, 1]
        assert [each.to.chat_id for each in waiting] == [100, 7, 101, 8]

    async def test_an_item_is_due_once_a_day_in_its_slot(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        tea = await self.known(store, TEA)
        slot_ms = last_due_ms(tea.phase, NOW_MS + DAY_MS, interval_ms=DAY_MS, slot_ms=HOUR_MS)

        assert await self.due(store, RULES, slot_ms - 1) == []
        assert await self.due(store, RULES, slot_ms) == [TEA]
        await self.observe(store, TEA, {"price": 1}, slot_ms)
        assert await self.due(store, RULES, slot_ms + DAY_MS - 1) == []
        assert await self.due(store, RULES, slot_ms + DAY_MS) == [TEA]

    async def test_what_no_chat_watches_and_what_no_source_knows_is_not_due(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        await store.subscribe(ANNA, Item("gone", "x"), RULES, now_ms=NOW_MS)
        await store.unsubscribe(ANNA, TEA)

        assert await self.due(store, RULES, NOW_MS + 2 * DAY_MS) == []

    async def test_only_what_was_viewed_in_the_last_days_is_due(self, store: SqlWatchStore) -> None:
        rules = WatchRules(preset=Preset.VIEWED)
        for item in (TEA, CUP):
            await store.subscribe(ANNA, item, rules, now_ms=NOW_MS)
        await store.view(CUP, now_ms=NOW_MS)

        assert await self.due(store, rules, NOW_MS + 7 * DAY_MS) == [CUP]
        assert await self.due(store, rules, NOW_MS + 7 * DAY_MS + 1) == []

    async def test_on_demand_what_was_viewed_while_the_cache_was_too_old_is_due(self, store: SqlWatchStore) -> None:
        rules = WatchRules(preset=Preset.ON_DEMAND)
        await store.subscribe(ANNA, TEA, rules, now_ms=NOW_MS)
        await self.observe(store, TEA, {"price": 1}, NOW_MS)

        await store.view(TEA, now_ms=NOW_MS + DAY_MS - 1)
        early = await self.due(store, rules, NOW_MS + DAY_MS - 1)
        await store.view(TEA, now_ms=NOW_MS + DAY_MS)

        assert early == []
        assert await self.due(store, rules, NOW_MS + DAY_MS) == [TEA]
        await self.observe(store, TEA, {"price": 1}, NOW_MS + DAY_MS + 1)
        assert await self.due(store, rules, NOW_MS + 3 * DAY_MS) == []

    async def test_items_of_high_priority_are_first_and_so_many_an_hour(self, store: SqlWatchStore) -> None:
        rules = WatchRules(preset=Preset.PRIORITY, hourly_max=2)
        hour_ms = NOW_MS - NOW_MS % HOUR_MS + HOUR_MS
        for at, key in enumerate(("old", "older", "viewed")):
            await store.subscribe(ANNA, Item("prices", key), rules, now_ms=NOW_MS - at)
        await store.view(Item("prices", "viewed"), now_ms=NOW_MS)

        due = await self.due(store, rules, hour_ms)
        for item in due:
            await self.observe(store, item, {"price": 1}, hour_ms)
        spent = await self.due(store, rules, hour_ms + HOUR_MS - 1)

        assert [item.key for item in due] == ["viewed", "older"]
        assert spent == []
        assert [item.key for item in await self.due(store, rules, hour_ms + HOUR_MS)] == ["viewed", "old"]

    async def test_priority_grows_with_each_view_and_decays_to_1(self, store: SqlWatchStore) -> None:
        await store.subscribe(ANNA, TEA, RULES, now_ms=NOW_MS)
        for _ in range(2):
            await store.view(TEA, now_ms=NOW_MS)

        seen = [(await self.known(store, TEA)).priority]
        for _ in range(3):
            await store.decay()
            seen.append((await self.known(store, TEA)).priority)

        assert seen == [3, 2, 1, 1]
        assert await store.view(CUP, now_ms=NOW_MS) is None

    async def test_by_user_the_best_plan_of_an_active_subscriber_counts(
        self, store: SqlWatchStore, chats: Chats
    ) -> None:
        rules = WatchRules(preset=Preset.BY_USER, plan="free")
        of_both, of_the_gone = Item("prices", "both"), Item("prices", "gone")
        only_free = next(item for item in numbered() if not is_in_first_day(item))
        gone = Subscriber(BOT, 9)
        await store.give_plan(BEN, "paid")
        for to, items in ((ANNA, (only_free, of_both)), (BEN, (of_both,)), (gone, (of_the_gone,))):
            for item in items:
                await store.subscribe(to, item, rules, now_ms=NOW_MS)
        for to in (ANNA, BEN):
            await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=to.chat_id, at_ms=NOW_MS))
        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=9, at_ms=NOW_MS - 30 * DAY_MS))

        assert await self.due(store, rules, NOW_MS + DAY_MS) == [of_both]
        assert await self.due(store, rules, NOW_MS + 7 * DAY_MS) == [of_both, only_free]
        assert await self.due(store, rules, NOW_MS + 31 * DAY_MS) == []

    async def test_what_a_group_watches_moves_to_its_supergroup(self, store: SqlWatchStore, database: Database) -> None:
        group, supergroup = Subscriber(BOT, -5), Subscriber(BOT, -1005)
        await store.give_plan(group, "paid")
        for to, items in ((group, (TEA, CUP)), (supergroup, (TEA,)), (ANNA, (CUP,))):
            for item in items:
                await store.subscribe(to, item, RULES, now_ms=NOW_MS)
        for price in (1, 2):
            await self.observe(store, TEA, {"price": price}, NOW_MS + price)
        await store.put_together([group], now_ms=NOW_MS + 3)
        await self.observe(store, CUP, {"price": 1}, NOW_MS + 3)
        await self.observe(store, CUP, {"price": 2}, NOW_MS + 4)
        await self.observe(store, TEA, {"price": 3}, NOW_MS + 5)

        await SqlLedger(database).record([became(message(chat_id=-5), Status.QUEUED, migrated_to=-1005)])

        watched = [[each.item for each in await store.subscriptions(to)] for to in (group, supergroup, ANNA)]
        assert watched == [[], [CUP, TEA], [CUP]]
        assert (await store.plan_of(supergroup, RULES)).name == "paid"
        assert {each.to for each in await store.waiting(now_ms=NOW_MS + HOUR_MS)} == {supergroup, ANNA}
        assert [each.dedup_key for each in await store.digests()] == [f"watch:-5:{NOW_MS + 3}"]

    async def test_a_supergroup_keeps_the_plan_that_it_has(self, store: SqlWatchStore, database: Database) -> None:
        await store.give_plan(Subscriber(BOT, -5), "free")
        await store.give_plan(Subscriber(BOT, -1005), "paid")

        await SqlLedger(database).record([became(message(chat_id=-5), Status.QUEUED, migrated_to=-1005)])

        assert (await store.plan_of(Subscriber(BOT, -1005), RULES)).name == "paid"
        assert (await store.plan_of(Subscriber(BOT, -5), RULES)).name == "standard"

    async def test_the_pause_of_a_source_is_kept_while_it_is_slowed(self, store: SqlWatchStore) -> None:
        for pause_ms in (5_000, 10_000):
            await store.keep_pause("prices", pause_ms)
        kept = await store.pause_ms("prices")
        await store.keep_pause("prices", 0)

        assert (kept, await store.pause_ms("prices"), await store.pause_ms("films")) == (10_000, 0, 0)

    async def test_processes_that_slow_a_source_at_once_lose_nothing(self, database: Database, url: str) -> None:
        other = await Database.open(url)
        stores = [SqlWatchStore(database), SqlWatchStore(other)]

        for pause_ms in range(1, 21):
            await asyncio.gather(*(store.keep_pause("prices", pause_ms) for store in stores))

        assert await stores[0].pause_ms("prices") == 20
        await other.close()

    async def test_the_counts_of_priority_are_of_what_this_hour_still_allows(self, store: SqlWatchStore) -> None:
        rules = WatchRules(preset=Preset.PRIORITY, hourly_max=2)
        hour_ms = NOW_MS - NOW_MS % HOUR_MS + HOUR_MS
        for item in (TEA, CUP, Item("prices", "pot"), Item("films", "metropolis")):
            await store.subscribe(ANNA, item, rules, now_ms=NOW_MS)
        await self.observe(store, TEA, {"price": 1}, hour_ms)

        counts = await store.counts(rules, ["prices", "films"], now_ms=hour_ms)

        assert counts.due == 1 + 1

    async def test_what_is_watched_is_counted(self, store: SqlWatchStore) -> None:
        await store.keep_pause("prices", 5_000)
        for to in (ANNA, BEN):
            await store.subscribe(to, TEA, RULES, now_ms=NOW_MS - 2 * DAY_MS)
        await store.subscribe(ANNA, CUP, RULES, now_ms=NOW_MS)
        before = await store.counts(RULES, SOURCES, now_ms=NOW_MS)
        for at in (1, 2):
            await self.observe(store, TEA, {"price": at}, NOW_MS + at)

        after = await store.counts(RULES, SOURCES, now_ms=NOW_MS + 3)

        assert (before.items, before.subscriptions, before.subscribers) == (2, 3, 2)
        assert (before.due, before.waiting, before.digests) == (1, 0, 0)
        assert (after.due, after.waiting, after.digests, after.failing) == (0, 2, 2, 0)
        assert before.pauses_ms == {"prices": 5_000}

    async def test_items_are_listed_page_by_page(self, store: SqlWatchStore) -> None:
        for key in "abc":
            await store.subscribe(ANNA, Item("prices", key), RULES, now_ms=NOW_MS)

        first = await store.items(source="prices", limit=2)
        rest = await store.items(source="prices", after=first[-1].item.key, limit=2)

        assert [each.item.key for each in first + rest] == ["a", "b", "c"]
        assert await store.items(source="films") == []

    @settings(max_examples=15, deadline=None, suppress_health_check=SHARED)
    @given(
        after_ms=some.integers(0, 10 * DAY_MS),
        slot_ms=some.sampled_from([HOUR_MS, 4 * HOUR_MS]),
        ages=some.lists(some.integers(0, 3 * DAY_MS), min_size=8, max_size=8),
    )
    async def test_the_database_and_the_arithmetic_agree_on_what_is_due(
        self, store: SqlWatchStore, after_ms: int, slot_ms: int, ages: list[int]
    ) -> None:
        rules, now_ms = replace(RULES, slot_ms=slot_ms), NOW_MS + after_ms
        to = Subscriber(BOT, next(chat_ids))
        for each, age in enumerate(ages):
            await store.subscribe(to, Item(f"{to.chat_id}", str(each)), rules, now_ms=now_ms - age)
        known = await store.subscriptions(to)

        due = await store.due(rules, str(to.chat_id), now_ms=now_ms, limit=99)

        assert {each.item for each in due} == {
            each.item
            for each in known
            if each.checked_at_ms < last_due_ms(each.phase, now_ms, interval_ms=DAY_MS, slot_ms=slot_ms)
        }

    async def observe(self, store: SqlWatchStore, item: Item, fields: dict[str, int], at_ms: int) -> None:
        check = Check(of=await self.known(store, item), at_ms=at_ms, fields=fields)
        assert await store.note(check, debounce_ms=RULES.debounce_ms)

    async def known(self, store: SqlWatchStore, item: Item) -> Watched:
        known = await store.item(item)
        assert known is not None
        return known

    async def due(self, store: SqlWatchStore, rules: WatchRules, now_ms: int) -> list[Item]:
        return [each.item for each in await store.due(rules, "prices", now_ms=now_ms, limit=99)]


class TestWatchesOnSqlite(WatchesContract, OnSqlite):
    pass


class TestWatchesOnPostgres(WatchesContract, OnPostgres):
    pass
