"""Every quarter of an hour: writes to the chats of all bots that have gone quiet and whose hour it is.

1.  The bots take turns, and in a turn a portion of a bot's chats is claimed and written to: a bot with a million chats
    or a slow model holds up no other one.
2.  A run ends before the next one is due, which goes on with what is left: it sees the zones whose hour has begun.
3.  A bot whose queue is full is written for no more in this run. The rest of its chats is claimed, so that they get
    their messages later on their local day.
4.  A claim is the fence: a chat that is claimed has a message or gets it by the next run, whatever died in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog
from aiogram.exceptions import TelegramAPIError
from aiogram.methods import SendMessage

from tempogram.api.core.ports import Refusal
from tempogram.api.core.repositories import Bots
from tempogram.bot.behaviours.reengagement.settings import CAMPAIGN, ReengagementSettings, parse
from tempogram.bot.behaviours.reengagement.writer import Writer
from tempogram.bot.calls.answers import FullQueue
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.ports.audience import Audience, Claim
from tempogram.engine.selection.campaign import PORTION, Campaign

log = structlog.get_logger()

RUN_MS = 13 * 60_000
"""How long a run goes on taking turns: less than until the next one, with a moment for texts that are under way."""

TURNS_AT_ONCE = 8
"""Bots that are written for at the same time. untuned: the model and the database are what takes the time."""

MODEL_AT_ONCE = 5
"""Texts that a model writes at the same time, as its service allows: what waits there has its deadline already."""

MODEL_PORTION = 10
"""Chats of a turn while a model writes. untuned: two seconds of what it is allowed, so the next bot waits little."""

Submit = Callable[[Campaign, Claim, SendMessage, Guarantee], Awaitable[object]]
"""See ``bot.calls.claimed``."""


class ReengagementFailed(EngineError):
    """The chats of some bots could not be written to; the next run tries again."""

    def __init__(self, bot_ids: Sequence[int]) -> None:
        named = ", ".join(map(str, bot_ids[:5])) + (" …" if len(bot_ids) > 5 else "")
        super().__init__(f"{len(bot_ids)} bots failed ({named}); the log says why, and the next run tries them again")


class Reengagement:
    """See the module.

    Args:
        submit: Submits the message of a claim and notes it.
    """

    def __init__(self, *, bots: Bots, audience: Audience, writer: Writer, submit: Submit, clock: Clock) -> None:
        self._bots = bots
        self._audience = audience
        self._writer = writer
        self._submit = submit
        self._clock = clock

    async def run(self) -> None:
        """Write to the chats whose hour it is.

        Raises:
            ReengagementFailed: Some bots failed, and the others did not.
            LedgerError: The database cannot be reached.
        """
        run = _Run(turns=deque(await self._turns()), ends_ms=self._clock() + RUN_MS)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(TURNS_AT_ONCE, len(run.turns))):
                group.create_task(self._take_turns(run))
        if run.submitted:
            log.info("reengagement_submitted", messages=run.submitted)
        if run.failed:
            raise ReengagementFailed(run.failed)

    async def _turns(self) -> list[_Turn]:
        found = []
        for bot in await self._bots.all():
            if CAMPAIGN not in bot.behaviours or bot.paused:
                continue
            try:
                found.append(self._turn_of(bot.bot_id, parse(bot.behaviours[CAMPAIGN])))
            except Refusal as refusal:  # another version has accepted them
                log.warning("reengagement_settings_refused", bot_id=bot.bot_id, reason=str(refusal))
        return found

    def _turn_of(self, bot_id: int, settings: ReengagementSettings) -> _Turn:
        campaign = Campaign(
            self._audience,
            settings.selection(bot_id),
            settings.rules(),
            clock=self._clock,
            portion=MODEL_PORTION if self._writer.takes_time else PORTION,
        )
        return _Turn(bot_id=bot_id, settings=settings, campaign=campaign, portions=campaign.portions())

    async def _take_turns(self, run: _Run) -> None:
        while run.turns and self._clock() < run.ends_ms:
            turn = run.turns.popleft()
            run.under_way += 1
            try:
                has_more = await self._take(turn, run)
            finally:
                run.under_way -= 1
            if has_more:
                run.turns.append(turn)

    async def _take(self, turn: _Turn, run: _Run) -> bool:
        """Write to a portion of a bot's chats; tell whether there may be more of them."""
        try:
            claims = await anext(turn.portions, None)
            if not turn.is_full:
                await self._write_to(claims or [], turn, run)
        except Exception:  # of one bot: it costs the others nothing
            log.exception("reengagement_failed", bot_id=turn.bot_id)
            run.failed.append(turn.bot_id)
            return False
        return claims is not None

    async def _write_to(self, claims: Sequence[Claim], turn: _Turn, run: _Run) -> None:
        own_places = asyncio.Semaphore(max(1, MODEL_AT_ONCE // run.under_way))  # so that other bots have some, too
        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(self._write(claim, turn, run, own_places))

    async def _write(self, claim: Claim, turn: _Turn, run: _Run, own_places: asyncio.Semaphore) -> None:
        recipient, settings = claim.recipient, turn.settings
        async with own_places, run.model_places:
            if turn.is_full:
                return  # no text is asked for in vain
            text = await self._writer.text_for(turn.bot_id, recipient, settings)
        # Without markup: a stray character in a generated text would be a 400.
        method = SendMessage(chat_id=recipient.chat_id, text=text, parse_mode=None)
        try:
            await self._submit(turn.campaign, claim, method, settings.delivery)
            run.submitted += 1
        except TelegramAPIError as refused:
            if not isinstance(refused, FullQueue) or refused.chat_id is not None:
                log.warning("reengagement_refused", bot_id=turn.bot_id, reason=str(refused))
            elif not turn.is_full:
                log.warning("reengagement_queue_full", bot_id=turn.bot_id, cap=refused.cap)
                turn.stop_writing()


@dataclass(slots=True, kw_only=True)
class _Turn:
    """What is left to do for a bot."""

    bot_id: int
    settings: ReengagementSettings
    campaign: Campaign
    portions: AsyncIterator[list[Claim]]
    is_full: bool = False

    def stop_writing(self) -> None:
        """Only claim from now on, as the queue takes nothing more of the bot."""
        self.is_full = True
        self.portions = self.campaign.selected()


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run of the task."""

    turns: deque[_Turn]
    ends_ms: int
    under_way: int = 0
    submitted: int = 0
    failed: list[int] = field(default_factory=list)
    model_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MODEL_AT_ONCE))
