from __future__ import annotations

import pytest

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours.watches.commands import NoKey, check, item_of, list_all, plan, unwatch, viewed, watch
from tempogram.engine.model.watches import DAY_MS, HOUR_MS, SHIPPED_PLANS, AskedTooOften, Item, Plan, UnknownPlan
from tempogram.engine.ports.watch_store import PAGE
from tempogram.engine.watches.watches import ASKS_MAX, MINUTE_MS
from tempogram.storage.database.database import Database
from tests.engine.watches.world import ANNA, World
from tests.fakes import Clock

TEA = Item("prices", "tea")


@pytest.fixture
async def world(database: Database, clock: Clock) -> World:
    world = World(database, clock)
    await world.store.ship_plans(SHIPPED_PLANS)
    return world


async def test_a_chat_watches_an_item_and_sees_at_once_what_is_known_of_it(world: World) -> None:
    said = [await watch(world.watches, ANNA, TEA) for _ in range(2)]

    assert said == ["I watch tea: price 1.", "I watch tea already."]
    assert await list_all(world.watches, ANNA, "") == "1 of 50 items:\n• tea: price 1"


async def test_an_item_that_there_is_not_is_not_watched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(_: str) -> dict[str, object]:
        return {}

    monkeypatch.setattr(world.source, "fetch", gone)

    assert await watch(world.watches, ANNA, TEA) == "There is no tea."
    assert await list_all(world.watches, ANNA, "") == "You watch nothing. Begin with /watch and a key."


async def test_an_item_whose_source_does_not_answer_is_watched(world: World) -> None:
    world.source.fails = lambda number: number == 0

    assert await watch(world.watches, ANNA, TEA) == "I watch tea. Its source does not answer now; I ask again."
    assert await viewed(world.watches, ANNA, TEA) == "tea: not known yet."
    world.clock.advance(MINUTE_MS)
    assert await viewed(world.watches, ANNA, TEA) == "tea: price 1 (just now)."


async def test_a_view_shows_how_old_it_is_and_counts(world: World) -> None:
    await watch(world.watches, ANNA, TEA)
    world.clock.advance(2 * HOUR_MS)

    assert await viewed(world.watches, ANNA, TEA) == "tea: price 1 (2 h ago)."
    assert (await world.known("tea")).priority == 3
    assert await viewed(world.watches, ANNA, Item("prices", "cup")) == "No chat watches cup. Begin with /watch cup"


async def test_a_long_list_says_how_many_there_are(world: World) -> None:
    await world.store.put_plan(Plan(name="large", items_max=1_000, interval_ms=DAY_MS))
    await world.store.give_plan(ANNA, "large")
    for number in range(PAGE + 20):
        await world.store.subscribe(ANNA, Item("prices", f"{number:03}"), world.rules, now_ms=world.clock())

    lines = (await list_all(world.watches, ANNA, "")).splitlines()

    assert lines[0] == "520 of 1,000 items:"
    assert lines[-1] == f"… and {520 - len(lines[1:-1])} more"


async def test_a_chat_that_watches_ever_new_items_must_wait_a_minute(world: World) -> None:
    world.source.fails = lambda _: True
    keys = [Item("prices", f"nonsense-{number}") for number in range(ASKS_MAX + 1)]
    said = [await watch(world.watches, ANNA, each) for each in keys[:-1]]

    with pytest.raises(AskedTooOften, match="10 items a minute for a chat; try again in a minute"):
        await watch(world.watches, ANNA, keys[-1])

    assert len(said) == len(world.source.asked) == await world.store.subscribed(ANNA)
    world.clock.advance(MINUTE_MS)
    assert (await watch(world.watches, ANNA, keys[-1])).startswith("I watch nonsense-10.")


async def test_watching_is_ended(world: World) -> None:
    await watch(world.watches, ANNA, TEA)

    said = [await unwatch(world.watches, ANNA, TEA) for _ in range(2)]

    assert said == ["I no longer watch tea.", "You do not watch tea."]


async def test_only_an_open_plan_can_be_chosen(world: World) -> None:
    before = await plan(world.watches, ANNA, "")
    with pytest.raises(UnknownPlan, match=rf"^'{'x' * 32}' is no plan"):
        await plan(world.watches, ANNA, "x" * 4_000)
    with pytest.raises(UnknownPlan, match="'paid' is no plan that can be chosen; there is none"):
        await plan(world.watches, ANNA, "paid")
    await world.store.put_plan(Plan(name="paid", items_max=100, interval_ms=DAY_MS, is_open=True))

    assert before == "Your plan is standard: 50 items."
    assert await plan(world.watches, ANNA, "") == "Your plan is standard: 50 items. You can choose: /plan paid"
    assert await plan(world.watches, ANNA, "paid") == "Your plan is now paid: 100 items."


@pytest.mark.parametrize(
    ("args", "item"),
    [
        ("tea", TEA),
        ("prices tea", TEA),
        ("green tea", Item("prices", "green tea")),
        ("prices green\t\n tea", Item("prices", "green tea")),
        ("tea\n• cup: price 9 → 1", Item("prices", "tea • cup: price 9 → 1")),
        ("prices", Item("prices", "prices")),
    ],
)
def test_a_command_means_an_item(args: str, item: Item, world: World) -> None:
    assert item_of(args, "watch", {}, world.watches) == item


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("", "/watch KEY"),
        ("x" * 201, "201 characters, and may have 200"),
        ("te\u202ea", "a character that cannot be seen"),
        ("a\x1b[2J", "a character that cannot be seen"),
        ("tea\u200b", "a character that cannot be seen"),
        ("tea\ud800", "a character that cannot be seen"),
    ],
)
def test_a_command_without_a_usable_key_is_explained(args: str, sentence: str, world: World) -> None:
    with pytest.raises(NoKey, match=sentence):
        item_of(args, "watch", {}, world.watches)


@pytest.mark.parametrize("config", [{"sources": "prices"}, {"source": 5}, {"source": ""}])
def test_settings_that_make_no_sense_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(Refusal, match="watches"):
        check(config)
