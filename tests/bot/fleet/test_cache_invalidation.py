"""A process reads again what another one changed. Two fleets on one database stand for two processes."""

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
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.changes import (
    AccessChanged,
    BotChanged,
    Change,
    ChatChanged,
    Listener,
    Missed,
    ServiceChanged,
)
from tempogram.engine.resilience.conditions import Conditions
from tempogram.storage.bots import Source
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import CALLS_END_WITHIN_MS, ECHO, OTHER, World, fleet_world
from tests.engine.desk import turns
from tests.fakes import Clock


class Wire:
    """Announcements that a test delivers or loses; see ``Changes``."""

    def __init__(self) -> None:
        self.announced: list[Change] = []
        self._listener: Listener | None = None

    async def announce(self, item: Change) -> None:
        self.announced.append(item)

    async def run(self, listener: Listener) -> None:
        self._listener = listener
        await asyncio.Event().wait()

    async def deliver(self, *items: Change) -> None:
        assert self._listener is not None
        for item in items:
            await self._listener(item)


@dataclass
class Reader:
    """Notes what it is asked to read.

    ``asleep`` makes each read wait, ``failures`` are raised first, ``lost`` are the chats to read again.
    """

    read: list[object] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    asleep: asyncio.Event | None = None
    lost: list[tuple[int, ChatId]] = field(default_factory=list)
    breakers: list[tuple[str, Collection[str]]] = field(default_factory=list)

    def closed(self, name: str, operations: Collection[str]) -> None:
        self.breakers.append((name, operations))

    def due_for_reload(self) -> list[tuple[int, ChatId]]:
        lost, self.lost = self.lost, []
        return lost

    async def load(self) -> None:
        await self._read("everything")

    async def reload(self, chosen: Collection[int] | Collection[tuple[int, ChatId]]) -> None:
        await self._read(set(chosen))

    async def _read(self, what: object) -> None:
        if self.asleep is not None:
            await self.asleep.wait()
        if self.failures:
            raise self.failures.pop()
        self.read.append(what)


@dataclass
class Invalidation:
    """A ``CacheInvalidation`` whose announcements a test delivers."""

    wire: Wire = field(default_factory=Wire)
    fleet: Reader = field(default_factory=Reader)
    reachability: Reader = field(default_factory=Reader)
    services: Reader = field(default_factory=Reader)
    forgotten: list[str] = field(default_factory=list)
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
    async def running(self) -> AsyncIterator[None]:
        cache_invalidation = CacheInvalidation(
            changes=self.wire,
            fleet=self.fleet,
            reachability=self.reachability,
            services=self.services,
            forget_access=lambda: self.forgotten.append("access"),
            conditions=Conditions(Clock()),
            sleep=self.sleep,
        )
        task = asyncio.create_task(cache_invalidation.run())
        await turns()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def invalidation() -> AsyncIterator[Invalidation]:
    invalidation = Invalidation()
    async with invalidation.running():
        yield invalidation


async def test_only_what_another_process_changed_is_read_again(invalidation: Invalidation) -> None:
    await invalidation.wire.deliver(BotChanged(42))
    await turns()
    await invalidation.wire.deliver(ChatChanged(42, -5))
    await turns()

    assert (invalidation.fleet.read, invalidation.reachability.read) == ([{42}], [{(42, -5)}])


@pytest.mark.parametrize("item", [AccessChanged(), Missed()])
async def test_who_has_access_is_forgotten_at_once(invalidation: Invalidation, item: Change) -> None:
    await invalidation.wire.deliver(item)

    assert invalidation.forgotten == ["access"]


async def test_changes_announced_during_a_read_are_read_together_after_it(invalidation: Invalidation) -> None:
    invalidation.reachability.asleep = asyncio.Event()
    await invalidation.wire.deliver(ChatChanged(42, 0))
    await turns()
    await invalidation.wire.deliver(*(ChatChanged(42, number) for number in range(1_000)))
    invalidation.reachability.asleep.set()
    await turns()

    assert invalidation.reachability.read == [{(42, 0)}, {(42, number) for number in range(1_000)}]


async def test_after_missed_announcements_everything_is_read_once(invalidation: Invalidation) -> None:
    await invalidation.wire.deliver(BotChanged(1), Missed(), ChatChanged(1, 7), Missed())
    await turns()

    assert (invalidation.fleet.read, invalidation.reachability.read) == (["everything"], ["everything"])
    assert invalidation.services.read == ["everything"]


async def test_bots_and_services_are_read_regularly_without_an_announcement(invalidation: Invalidation) -> None:
    invalidation.minute.set()
    await turns()

    assert (invalidation.fleet.read, invalidation.reachability.read) == (["everything"], [])
    assert invalidation.services.read == ["everything"]


async def test_a_service_that_another_process_changed_is_read_again(invalidation: Invalidation) -> None:
    await invalidation.wire.deliver(ServiceChanged("twilio", closed=("sms",)))
    await turns()

    assert (invalidation.services.read, invalidation.services.breakers) == (["everything"], [("twilio", ("sms",))])
    assert (invalidation.fleet.read, invalidation.reachability.read) == ([], [])


async def test_chats_lost_here_are_read_again_together_a_moment_later(invalidation: Invalidation) -> None:
    invalidation.reachability.lost = [(42, 7), (42, 8)]
    await turns()
    too_early = list(invalidation.reachability.read)
    for _ in range(2):
        invalidation.moment.set()
        await turns()

    assert (too_early, invalidation.reachability.read) == ([], [{(42, 7), (42, 8)}])


async def test_an_unavailable_ledger_is_retried_until_it_answers(invalidation: Invalidation) -> None:
    invalidation.fleet.failures = [LedgerError("away"), LedgerError("away")]
    await invalidation.wire.deliver(BotChanged(42))
    await turns(50)

    assert (invalidation.fleet.read, invalidation.slept) == ([{42}], [1.0, 1.0])


# Two fleets


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def here(world: World, wire: Wire) -> Fleet:
    """The process that makes changes."""
    fleet = world.new_fleet(changes=wire)
    await fleet.add(TOKEN, None)
    return fleet


@pytest.fixture
async def there(world: World, here: Fleet, wire: Wire) -> Fleet:
    """The process that reads them."""
    assert here.registry.has(BOT_ID)
    wire.announced.clear()
    return await world.restarted()


async def test_every_write_is_announced(here: Fleet, wire: Wire) -> None:
    changed = list[list[Change]]()
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: here.change(BOT_ID, behaviours={}),
        lambda: here.change(BOT_ID, updates=Source.WEBHOOK),
        lambda: here.secrets.to_register(BOT_ID),
        lambda: here.secrets.note_registered(BOT_ID, "registered"),
        lambda: here.rotate_secret(BOT_ID),
        lambda: here.secrets.retire(BOT_ID),
        lambda: here.remove(BOT_ID, keep_messages=True),
        lambda: here.add(TOKEN, None),
        lambda: here.learn(OTHER),
    ]
    for write in writes:
        wire.announced.clear()
        await write()
        changed.append(list(wire.announced))

    assert [set(each) for each in changed] == [{BotChanged(BOT_ID)}] * 8 + [{BotChanged(43)}]


async def test_a_write_whose_answer_was_lost_is_announced(
    world: World, here: Fleet, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise LedgerError("perhaps it was written")

    monkeypatch.setattr(world.bots, "_change", away)
    wire.announced.clear()
    with pytest.raises(LedgerError):
        await here.change(BOT_ID, behaviours={})

    assert wire.announced == [BotChanged(BOT_ID)]


async def test_update_sources_are_notified_of_bots_that_another_process_added_changed_or_removed(
    here: Fleet, there: Fleet
) -> None:
    changed = list[int]()
    there.when_changed(changed.append)

    await here.add_unverified(OTHER)
    await there.reload([43])
    await here.change(BOT_ID, updates=Source.POLLING)
    await there.reload([BOT_ID])
    await here.remove(43, keep_messages=False)
    await there.reload([43])

    assert changed == [43, BOT_ID, 43]
    assert there.registry.removed_bot(43) is not None


async def test_update_sources_are_notified_of_a_new_secret_and_of_no_other_change(here: Fleet, there: Fleet) -> None:
    changed = list[int]()
    there.when_changed(changed.append)

    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: here.secrets.to_register(BOT_ID),
        lambda: here.secrets.note_registered(BOT_ID, "registered"),
        lambda: here.change(BOT_ID, behaviours=ECHO),
    ]
    for write in writes:
        await write()
        await there.reload([BOT_ID])
    unconcerned = list(changed)
    await here.rotate_secret(BOT_ID)
    await there.reload([BOT_ID])
    concerned = list(changed)
    await here.secrets.retire(BOT_ID)
    await there.reload([BOT_ID])

    assert (unconcerned, concerned, changed) == ([], [BOT_ID], [BOT_ID])
    assert there.webhook_secrets(BOT_ID) == here.webhook_secrets(BOT_ID)


async def test_a_secret_is_reread_at_most_once_a_second(
    here: Fleet, there: Fleet, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.secrets.to_register(BOT_ID)
    read, reload = list[Collection[int]](), there.reload

    async def counted(bot_ids: Collection[int]) -> None:
        read.append(bot_ids)
        await reload(bot_ids)

    monkeypatch.setattr(there, "reload", counted)

    await asyncio.gather(*(there.reread_secrets(BOT_ID) for _ in range(5)))
    first = there.webhook_secrets(BOT_ID)
    await here.rotate_secret(BOT_ID)
    await there.reread_secrets(BOT_ID)
    too_early = there.webhook_secrets(BOT_ID)
    clock.advance(1_000)
    await there.reread_secrets(BOT_ID)

    assert len(read) == 2
    assert (len(first), too_early) == (1, first)
    assert there.webhook_secrets(BOT_ID) == here.webhook_secrets(BOT_ID)


async def test_update_sources_are_notified_of_other_behaviours_which_may_need_other_kinds(
    here: Fleet, there: Fleet
) -> None:
    changed = list[int]()
    there.when_changed(changed.append)

    await here.change(BOT_ID, behaviours={})
    await there.reload([BOT_ID])

    assert changed == [BOT_ID]


async def test_calls_under_way_keep_the_token_of_a_bot_that_another_process_removed_until_they_end(
    here: Fleet, there: Fleet, clock: Clock
) -> None:
    await here.remove(BOT_ID, keep_messages=False)
    await there.reload([BOT_ID])
    during = there.registry.token_of(BOT_ID)
    clock.advance(CALLS_END_WITHIN_MS)

    assert (during, there.registry.token_of(BOT_ID)) == (TOKEN, None)
    assert there.registry.removed_bot(BOT_ID) is None
    assert there.authenticate(TOKEN) is None


async def test_a_handler_does_not_undo_a_removal_that_was_not_announced_yet(here: Fleet, there: Fleet) -> None:
    await here.learn(OTHER)
    await here.remove(43, keep_messages=False)

    with pytest.raises(Refusal, match="bot 43 was removed"):
        await there.learn(OTHER)


async def test_removal_listeners_are_notified_also_of_a_bot_never_known_here(here: Fleet, there: Fleet) -> None:
    removed = list[int]()
    there.when_removed(removed.append)
    await here.learn(OTHER)
    await here.remove(43, keep_messages=False)

    await there.reload([43])

    assert removed == [43]


async def test_a_paused_bot_can_still_be_learned(here: Fleet, there: Fleet) -> None:
    await there.reload([43])

    await there.learn(OTHER)

    assert (there.registry.has(43), here.registry.has(43)) == (True, False)


CHANGES: dict[str, Callable[[Fleet, str, int], Awaitable[object]]] = {
    "add": lambda fleet, token, _: fleet.add_unverified(token),
    "learn": lambda fleet, token, _: fleet.learn(token),
    "remove": lambda fleet, _, bot_id: fleet.remove(bot_id, keep_messages=False),
    "behaviours": lambda fleet, _, bot_id: fleet.change(bot_id, behaviours={}),
    "polling": lambda fleet, _, bot_id: fleet.change(bot_id, updates=Source.POLLING),
    "none": lambda fleet, _, bot_id: fleet.change(bot_id, updates=Source.NONE),
    "secret": lambda fleet, _, bot_id: fleet.secrets.to_register(bot_id),
    "rotate": lambda fleet, _, bot_id: fleet.rotate_secret(bot_id),
    "retire": lambda fleet, _, bot_id: fleet.secrets.retire(bot_id),
    "registered": lambda fleet, _, bot_id: fleet.secrets.note_registered(bot_id, "registered"),
}
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(sorted(CHANGES)), st.sampled_from([0, 1]), st.sampled_from([TOKEN, "42:another-token", OTHER])
    ),
    st.tuples(st.sampled_from(["tell", "miss"]), st.sampled_from([0, 1]), st.just("")),
)


@settings(max_examples=30)
@given(st.lists(STEPS, max_size=12))
def test_every_fleet_equals_the_database_after_any_events_and_losses(
    steps: list[tuple[str, int, str]],
) -> None:
    asyncio.run(follow_through(steps))


async def follow_through(steps: list[tuple[str, int, str]]) -> None:
    with TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{Path(folder) / 'fleet.db'}")
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
                await equals_the_database(fleet, world)
        await database.close()


async def change(fleet: Fleet, word: str, token: str) -> None:
    bot_id = int(token.partition(":")[0])
    if word in {"add", "learn"} or fleet.registry.has(bot_id):
        with suppress(Refusal, NoWebhook):
            await CHANGES[word](fleet, token, bot_id)


async def equals_the_database(fleet: Fleet, world: World) -> None:
    kept = {bot_id: one for bot_id, one in (await world.bots.stored()).items() if one is not None}
    assert {bot_id: fleet.registry.token_of(bot_id) for bot_id in fleet.registry.bot_ids} == {
        bot_id: one.token for bot_id, one in kept.items()
    }
    for bot_id, one in kept.items():
        assert fleet.registry.registered(bot_id) == one.registered
        assert fleet.secrets.of(bot_id) == one.webhook
        assert fleet.registry.bot(bot_id).token == one.token
        assert not fleet.registry.is_removed(bot_id)
    assert {each for each in await world.bots.removed() if not fleet.registry.is_removed(each)} == set()
