from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import SendMessage

from tempogram.bot.behaviours.reengagement.task import RUN_MS, Reengagement, ReengagementFailed
from tempogram.bot.behaviours.reengagement.writer import Writer
from tempogram.bot.calls.answers import FullQueue
from tempogram.bot.generator.port import Conversation, NotWritten, Written
from tempogram.engine.model.errors import LedgerError, QueueFull
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign
from tempogram.storage.bots import RegisteredBot
from tests.engine.selection.memory_audience import MemoryAudience, MemoryChat
from tests.fakes import Clock
from tests.virtual_time import LoopClock, in_virtual_time

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FOUR_PM_MS = 1_767_283_200_000
"""16:00 UTC on 2026-01-01."""


def bot(bot_id: int, *, paused: bool = False, **settings: Any) -> RegisteredBot:
    return RegisteredBot(
        bot_id=bot_id,
        username="test_bot",
        first_name="Test",
        behaviours={"reengagement": {"zone": "UTC", "templates": ["Hello {first_name}!"]} | settings},
        paused=paused,
        weight=1,
        added_at_ms=0,
    )


def quiet(chat_id: int, **known: Any) -> MemoryChat:
    """Return a chat whose last message came a week before."""
    usual: dict[str, Any] = {"last_in_ms": FOUR_PM_MS - 7 * DAY_MS, "title": f"Anna{chat_id}"}
    return MemoryChat(chat_id=chat_id, **usual | known)


@dataclass
class Fleet:
    """The bots, and what was submitted for them, by ``dedup_key`` as the ledger has it."""

    bots: Sequence[RegisteredBot]
    audience: MemoryAudience = field(default_factory=MemoryAudience)
    model: Any = None
    clock: Callable[[], int] = field(default_factory=lambda: Clock(FOUR_PM_MS))
    accepted: dict[tuple[int, str], SendMessage] = field(default_factory=dict)
    submissions: int = 0
    before_submit: Callable[[Claim], Awaitable[None]] | None = None
    before_note: Callable[[Claim], Awaitable[None]] | None = None

    async def all(self) -> list[RegisteredBot]:
        return list(self.bots)

    async def submit(self, campaign: Campaign, claim: Claim, method: SendMessage, _: Guarantee) -> None:
        if self.before_submit is not None:
            await self.before_submit(claim)
        self.submissions += 1
        self.accepted.setdefault((claim.bot_id, claim.dedup_key), method)
        if self.before_note is not None:
            await self.before_note(claim)
        await campaign.note(claim, f"message of {claim.dedup_key}")

    def new_process(self) -> Reengagement:
        return Reengagement(
            bots=self,  # type: ignore[arg-type]
            audience=self.audience,
            writer=Writer(self.model, texts=None, keep_ms=0, clock=self.clock),
            submit=self.submit,
            clock=self.clock,
        )

    def texts(self, bot_id: int = 1) -> list[str]:
        return [method.text for (of_bot, _), method in self.accepted.items() if of_bot == bot_id]


def fleet(*chats: MemoryChat, **settings: Any) -> Fleet:
    made = Fleet([bot(1, **settings)])
    made.audience.chats[1] = list(chats)
    return made


async def test_those_who_have_gone_quiet_are_written_to_at_their_hour_once_on_a_day() -> None:
    written = fleet(
        quiet(1),
        quiet(2, last_in_ms=FOUR_PM_MS - 6 * DAY_MS),
        quiet(3, zone="Europe/Berlin"),  # where it is five
        quiet(4, last_out_ms=FOUR_PM_MS - HOUR_MS),
        quiet(5, is_opted_out=True),
        quiet(6, is_reachable=False),
    )

    for _ in range(4):
        await written.new_process().run()

    assert written.texts() == ["Hello Anna1!"]
    assert written.submissions == 1


async def test_an_hour_whose_beginning_was_missed_is_made_good_before_it_ends() -> None:
    written = fleet(quiet(1))
    clock = Clock(FOUR_PM_MS - 1)
    written.clock = clock

    await written.new_process().run()
    before = written.texts()
    clock.advance(HOUR_MS)
    await written.new_process().run()

    assert before == []
    assert written.texts() == ["Hello Anna1!"]


@pytest.mark.parametrize("died", ["before_submit", "before_note"])
async def test_what_a_process_had_claimed_or_submitted_when_it_died_is_submitted_once(died: str) -> None:
    reached = asyncio.Event()

    async def hang(_: Claim) -> None:
        reached.set()
        await asyncio.Event().wait()

    written = fleet(quiet(1))
    setattr(written, died, hang)
    run = asyncio.create_task(written.new_process().run())
    await reached.wait()
    run.cancel()
    await asyncio.wait([run])
    setattr(written, died, None)

    await written.new_process().run()

    assert written.texts() == ["Hello Anna1!"]
    assert all(claim.message_id for claim in written.audience.claims.values())


async def test_a_chat_that_telegram_refuses_for_good_does_not_hold_up_the_others() -> None:
    async def refuse(claim: Claim) -> None:
        if claim.recipient.chat_id == 1:
            raise TelegramForbiddenError(SendMessage(chat_id=1, text="…"), "Forbidden: bot was blocked by the user")

    written = fleet(quiet(1), quiet(2))
    written.before_submit = refuse

    await written.new_process().run()

    assert written.texts() == ["Hello Anna2!"]


async def test_a_bot_that_fails_costs_the_others_nothing_and_is_named() -> None:
    async def refuse(claim: Claim) -> None:
        if claim.bot_id == 2:
            raise LedgerError("the database is away")

    written = Fleet([bot(2), bot(1)], before_submit=refuse)
    written.audience.chats = {1: [quiet(1)], 2: [quiet(1)]}

    with pytest.raises(ReengagementFailed, match=r"1 bots failed \(2\)"):
        await written.new_process().run()

    assert written.texts(1) == ["Hello Anna1!"]
    assert written.texts(2) == []


async def test_paused_bots_others_and_those_with_settings_of_another_version_are_left_out() -> None:
    other = replace(bot(4), behaviours={"echo": {}})
    written = Fleet([bot(1), bot(2, paused=True), bot(3, hour=16), other])
    written.audience.chats = {bot_id: [quiet(1)] for bot_id in (1, 2, 3, 4)}

    await written.new_process().run()

    assert [bot_id for bot_id, _ in written.accepted] == [1]


async def test_a_bot_whose_queue_is_full_asks_for_no_more_texts_and_writes_to_all_later_that_day() -> None:
    room, model, clock = 40, CountingModel(), Clock(FOUR_PM_MS)

    async def queue(claim: Claim) -> None:
        nonlocal room
        if claim.bot_id == 1 and room == 0:
            method = SendMessage(chat_id=claim.recipient.chat_id, text="…")
            raise FullQueue(method, QueueFull(bot_id=1, chat_id=None, cap=40))
        room -= claim.bot_id == 1

    written = Fleet([bot(1), bot(2)], model=model, clock=clock, before_submit=queue)
    written.audience.chats = {bot_id: [quiet(chat_id) for chat_id in range(1, 301)] for bot_id in (1, 2)}

    await written.new_process().run()
    first = len(written.texts(1)), len(written.texts(2))
    clock.advance(2 * HOUR_MS)
    room = 500
    await written.new_process().run()

    assert first == (40, 300)
    assert len(written.texts(1)) == 300
    assert model.asked[1] <= 45  # of the rest, only what was asked for already; later, the hour is over: templates


async def test_a_chat_whose_queue_is_full_costs_the_others_of_its_bot_nothing() -> None:
    async def queue(claim: Claim) -> None:
        if claim.recipient.chat_id == 1:
            raise FullQueue(SendMessage(chat_id=1, text="…"), QueueFull(bot_id=1, chat_id=1, cap=5))

    written = fleet(quiet(1), quiet(2))
    written.before_submit = queue
    await written.new_process().run()
    first = written.texts()
    written.before_submit = None
    await written.new_process().run()

    assert first == ["Hello Anna2!"]
    assert written.texts() == ["Hello Anna2!", "Hello Anna1!"]


class CountingModel:
    """Writes at once; counts the texts of each bot."""

    takes_time = True

    def __init__(self) -> None:
        self.asked = Counter[int]()

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        self.asked[conversation.bot_id] += 1
        return Written(f"written for {conversation.bot_id}")


class SlowModel:
    """Takes its time over one bot's texts; knows how many it writes at once."""

    takes_time = True

    def __init__(self, *, slow_bot: int, seconds: float) -> None:
        self._slow_bot = slow_bot
        self._seconds = seconds
        self.at_once = self.at_once_max = 0

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(self._seconds if conversation.bot_id == self._slow_bot else 0.1)
        self.at_once -= 1
        return Written(f"written for {conversation.bot_id}")


def test_a_bot_with_many_chats_and_a_slow_model_does_not_hold_up_the_others() -> None:
    async def work() -> tuple[Fleet, dict[int, int], SlowModel]:
        model, done_ms = SlowModel(slow_bot=1, seconds=20), dict[int, int]()
        clock = LoopClock(asyncio.get_running_loop())
        clock.off_ms = FOUR_PM_MS - clock()

        async def note(claim: Claim) -> None:
            done_ms[claim.bot_id] = clock() - FOUR_PM_MS

        written = Fleet([bot(bot_id) for bot_id in range(1, 21)], model=model, clock=clock, before_submit=note)
        written.audience.chats = {bot_id: [quiet(1), quiet(2)] for bot_id in range(2, 21)}
        written.audience.chats[1] = [quiet(chat_id) for chat_id in range(1, 1_001)]
        await written.new_process().run()
        return written, done_ms, model

    written, done_ms, model = in_virtual_time(work())

    assert max(done_ms[bot_id] for bot_id in range(2, 21)) < 60_000
    assert model.at_once_max <= 5
    assert done_ms[1] < RUN_MS + 60_000  # the rest is left to the next run
    assert 10 < len(written.texts(1)) < 1_000
