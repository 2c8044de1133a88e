"""One process follows what another changes. Two fleets on the same books play two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempogram.api.core.ports import NoWebhook, Refusal
from tempogram.bot.fleet.cache_invalidation import LOOK_EVERY_S, READ_EVERY_S, CacheInvalidation
from tempogram.bot.fleet.fleet import Fleet
from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.changes import BotChanged, Change, ChatChanged, Listener, Missed
from tempogram.storage.bots import Source
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import CALLS_END_WITHIN_MS, OTHER, World, fleet_world
from tests.engine.desk import turns
from tests.fakes import Clock


class Wire:
    """News that a test delivers, or loses: see ``Changes``."""

    def __init__(self) -> None:
        self.announced: list[Change] = []
        self._listener: Listener | None = None

    async def announce(self, item: Change) -> None:
        self.announced.append(item)

    async def run(self, listener: Listener) -> None:
        self._listener = listener
        await asyncio.Event().wait()

    async def tell(self, *items: Change) -> None:
        assert self._listener is not None
        for item in items:
            await self._listener(item)


@dataclass
class Reader:
    """Notes what it shall read; ``asleep``: each reading waits; what ``failures`` has is raised first.

    ``doubtful``: what it wants to read again itself.
    """

    read: list[object] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    asleep: asyncio.Event | None = None
    doubtful: list[tuple[int, ChatId]] = field(default_factory=list)

    def to_read_again(self) -> list[tuple[int, ChatId]]:
        doubtful, self.doubtful = self.doubtful, []
        return doubtful

    async def load(self) -> None:
        await self._note("everything")

    async def reload(self, chosen: Collection[int] | Collection[tuple[int, ChatId]]) -> None:
        await self._note(set(chosen))

    async def _note(self, what: object) -> None:
        if self.asleep is not None:
            await self.asleep.wait()
        if self.failures:
            raise self.failures.pop()
        self.read.append(what)


@dataclass
class Office:
    """A follower whose news a test tells."""

    wire: Wire = field(default_factory=Wire)
    fleet: Reader = field(default_factory=Reader)
    reachability: Reader = field(default_factory=Reader)
    slept: list[float] = field(default_factory=list)
    minute: asyncio.Event = field(default_factory=asyncio.Event)
    moment: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        over = {READ_EVERY_S: self.minute, LOOK_EVERY_S: self.moment}.get(seconds)
        if over is not None:
            await over.wait()
            over.clear()
        else:
            self.slept.append(seconds)

    @asynccontextmanager
    async def follows(self) -> AsyncIterator[None]:
        cache_invalidation = CacheInvalidation(
            changes=self.wire, fleet=self.fleet, reachability=self.reachability, sleep=self.sleep
        )
        task = asyncio.create_task(cache_invalidation.run())
        await turns()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    async with office.follows():
        yield office


async def test_what_another_process_changed_is_read_again_and_nothing_else(office: Office) -> None:
    await office.wire.tell(BotChanged(42))
    await turns()
    await office.wire.tell(ChatChanged(42, -5))
    await turns()

    assert (office.fleet.read, office.reachability.read) == ([{42}], [{(42, -5)}])


async def test_a_crowd_is_read_at_once_after_what_is_being_read(office: Office) -> None:
    office.reachability.asleep = asyncio.Event()
    await office.wire.tell(ChatChanged(42, 0))
    await turns()
    await office.wire.tell(*(ChatChanged(42, number) for number in range(1_000)))
    office.reachability.asleep.set()
    await turns()

    assert office.reachability.read == [{(42, 0)}, {(42, number) for number in range(1_000)}]


async def test_after_a_gap_everything_is_read_once(office: Office) -> None:
    await office.wire.tell(BotChanged(1), Missed(), ChatChanged(1, 7), Missed())
    await turns()

    assert (office.fleet.read, office.reachability.read) == (["everything"], ["everything"])


async def test_the_bots_are_read_now_and_then_though_nobody_announced_anything(office: Office) -> None:
    office.minute.set()
    await turns()

    assert (office.fleet.read, office.reachability.read) == (["everything"], [])


async def test_chats_that_were_lost_here_are_read_again_a_moment_later_all_at_once(office: Office) -> None:
    office.reachability.doubtful = [(42, 7), (42, 8)]
    await turns()
    too_early = list(office.reachability.read)
    for _ in range(2):
        office.moment.set()
        await turns()

    assert (too_early, office.reachability.read) == ([], [{(42, 7), (42, 8)}])


async def test_a_ledger_that_is_away_is_asked_until_it_answers(office: Office) -> None:
    office.fleet.failures = [LedgerError("away"), LedgerError("away")]
    await office.wire.tell(BotChanged(42))
    await turns(50)

    assert (office.fleet.read, office.slept) == ([{42}], [1.0, 1.0])


async def test_a_token_under_another_key_is_an_alert_and_the_rest_is_followed(office: Office) -> None:
    office.fleet.failures = [SettingsError("SECRET_KEY is another")]
    await office.wire.tell(BotChanged(42), ChatChanged(42, 7))
    await turns()
    await office.wire.tell(BotChanged(43))
    await turns()

    assert (office.fleet.read, office.reachability.read) == ([{43}], [{(42, 7)}])


# Two fleets


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def here(world: World, wire: Wire) -> Fleet:
    """The one that changes something."""
    fleet = world.new_fleet(changes=wire)
    await fleet.add(TOKEN, None)
    return fleet


@pytest.fixture
async def there(world: World, here: Fleet, wire: Wire) -> Fleet:
    """The one that follows."""
    assert here.registry.has(BOT_ID)
    wire.announced.clear()
    return await world.restarted()


async def test_every_write_is_announced(here: Fleet, wire: Wire) -> None:
    told = list[list[Change]]()
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: here.change(BOT_ID, behaviours={}),
        lambda: here.change(BOT_ID, updates=Source.WEBHOOK),
        lambda: here.secrets.to_tell(BOT_ID),
        lambda: here.secrets.note_told(BOT_ID, "told"),
        lambda: here.rotate_secret(BOT_ID),
        lambda: here.secrets.retire(BOT_ID),
        lambda: here.remove(BOT_ID, keep_messages=True),
        lambda: here.add(TOKEN, None),
        lambda: here.learn(OTHER),
    ]
    for write in writes:
        wire.announced.clear()
        await write()
        told.append(list(wire.announced))

    assert [set(each) for each in told] == [{BotChanged(BOT_ID)}] * 8 + [{BotChanged(43)}]


async def test_a_write_of_which_only_the_answer_was_lost_is_announced(
    world: World, here: Fleet, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise LedgerError("perhaps it was written")

    monkeypatch.setattr(world.bots, "_change", away)
    wire.announced.clear()
    with pytest.raises(LedgerError):
        await here.change(BOT_ID, behaviours={})

    assert wire.announced == [BotChanged(BOT_ID)]


async def test_feeds_hear_of_what_another_process_added_fed_otherwise_and_removed(here: Fleet, there: Fleet) -> None:
    told = list[int]()
    there.when_changed(told.append)

    await here.add_unasked(OTHER)
    await there.reload([43])
    await here.change(BOT_ID, updates=Source.POLLING)
    await there.reload([BOT_ID])
    await here.remove(43, keep_messages=False)
    await there.reload([43])

    assert told == [43, BOT_ID, 43]
    assert there.registry.parting(43) is not None


async def test_feeds_hear_of_a_new_secret_and_not_of_what_does_not_concern_them(here: Fleet, there: Fleet) -> None:
    told = list[int]()
    there.when_changed(told.append)

    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: here.secrets.to_tell(BOT_ID),
        lambda: here.secrets.note_told(BOT_ID, "told"),
        lambda: here.change(BOT_ID, behaviours={}),
    ]
    for write in writes:
        await write()
        await there.reload([BOT_ID])
    unconcerned = list(told)
    await here.rotate_secret(BOT_ID)
    await there.reload([BOT_ID])
    concerned = list(told)
    await here.secrets.retire(BOT_ID)
    await there.reload([BOT_ID])

    assert (unconcerned, concerned, told) == ([], [BOT_ID], [BOT_ID])
    assert there.webhook_secrets(BOT_ID) == here.webhook_secrets(BOT_ID)


async def test_calls_under_way_have_the_token_of_a_bot_that_another_process_removed_until_they_end(
    here: Fleet, there: Fleet, clock: Clock
) -> None:
    await here.remove(BOT_ID, keep_messages=False)
    await there.reload([BOT_ID])
    during = there.registry.token_of(BOT_ID)
    clock.advance(CALLS_END_WITHIN_MS)

    assert (during, there.registry.token_of(BOT_ID)) == (TOKEN, None)
    assert there.registry.parting(BOT_ID) is None
    assert there.authenticate(TOKEN) is None


async def test_a_removal_that_nobody_heard_of_yet_is_not_undone_by_a_handler(here: Fleet, there: Fleet) -> None:
    await here.learn(OTHER)
    await here.remove(43, keep_messages=False)

    with pytest.raises(Refusal, match="bot 43 was removed"):
        await there.learn(OTHER)


async def test_whoever_remembers_bots_is_told_that_one_was_removed_also_if_it_was_never_known_here(
    here: Fleet, there: Fleet
) -> None:
    removed = list[int]()
    there.when_removed(removed.append)
    await here.learn(OTHER)
    await here.remove(43, keep_messages=False)

    await there.reload([43])

    assert removed == [43]


async def test_a_bot_that_was_only_paused_is_still_to_be_learned(here: Fleet, there: Fleet) -> None:
    await there.reload([43])

    await there.learn(OTHER)

    assert (there.registry.has(43), here.registry.has(43)) == (True, False)


CHANGES: dict[str, Callable[[Fleet, str, int], Awaitable[object]]] = {
    "add": lambda fleet, token, _: fleet.add_unasked(token),
    "learn": lambda fleet, token, _: fleet.learn(token),
    "remove": lambda fleet, _, bot_id: fleet.remove(bot_id, keep_messages=False),
    "behaviours": lambda fleet, _, bot_id: fleet.change(bot_id, behaviours={}),
    "polling": lambda fleet, _, bot_id: fleet.change(bot_id, updates=Source.POLLING),
    "none": lambda fleet, _, bot_id: fleet.change(bot_id, updates=Source.NONE),
    "secret": lambda fleet, _, bot_id: fleet.secrets.to_tell(bot_id),
    "rotate": lambda fleet, _, bot_id: fleet.rotate_secret(bot_id),
    "retire": lambda fleet, _, bot_id: fleet.secrets.retire(bot_id),
    "told": lambda fleet, _, bot_id: fleet.secrets.note_told(bot_id, "told"),
}
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(sorted(CHANGES)), st.sampled_from([0, 1]), st.sampled_from([TOKEN, "42:another-token", OTHER])
    ),
    st.tuples(st.sampled_from(["tell", "miss"]), st.sampled_from([0, 1]), st.just("")),
)


@settings(max_examples=30)
@given(st.lists(STEPS, max_size=12))
def test_whatever_happens_and_whatever_is_lost_each_fleet_is_what_the_books_say(
    steps: list[tuple[str, int, str]],
) -> None:
    asyncio.run(follow_through(steps))


async def follow_through(steps: list[tuple[str, int, str]]) -> None:
    with TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{Path(folder) / 'books.db'}")
        async with fleet_world(database, Clock()) as world:
            wires = Wire(), Wire()
            fleets = [world.new_fleet(changes=wire) for wire in wires]
            behind = list[bool]([False, False])
            for word, number, token in steps:
                fleet, others = fleets[number], wires[1 - number].announced
                if word == "tell":
                    await fleet.reload({item.bot_id for item in others if isinstance(item, BotChanged)})
                    others.clear()
                elif word == "miss":
                    behind[number] = behind[number] or bool(others)
                    others.clear()
                else:
                    await change(fleet, word, token)
            for number, fleet in enumerate(fleets):
                others = wires[1 - number].announced
                stale = {item.bot_id for item in others if isinstance(item, BotChanged)}
                await (fleet.load() if behind[number] else fleet.reload(stale))
            for fleet in fleets:
                await is_what_the_books_say(fleet, world)
        await database.close()


async def change(fleet: Fleet, word: str, token: str) -> None:
    bot_id = int(token.partition(":")[0])
    if word in {"add", "learn"} or fleet.registry.has(bot_id):
        with suppress(Refusal, NoWebhook):
            await CHANGES[word](fleet, token, bot_id)


async def is_what_the_books_say(fleet: Fleet, world: World) -> None:
    kept = {bot_id: one for bot_id, one in (await world.bots.kept()).items() if one is not None}
    assert {bot_id: fleet.registry.token_of(bot_id) for bot_id in fleet.registry.bot_ids} == {
        bot_id: one.token for bot_id, one in kept.items()
    }
    for bot_id, one in kept.items():
        assert fleet.registry.registered(bot_id) == one.registered
        assert fleet.secrets.of(bot_id) == one.webhook
        assert fleet.registry.bot(bot_id).token == one.token
        assert not fleet.registry.is_removed(bot_id)
    assert {each for each in await world.bots.removed() if not fleet.registry.is_removed(each)} == set()
