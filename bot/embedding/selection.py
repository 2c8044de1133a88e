"""``tempogram.select``: the chats that a bot writes to of its own accord, each once on a local date."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiogram import Bot
from pydantic import ValidationError

from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.schemas.selections import SelectionIn
from tempogram.api.usecases.submissions import Submitted
from tempogram.bot.calls.call_options import read
from tempogram.bot.calls.claimed import submit_claimed
from tempogram.bot.embedding import current
from tempogram.bot.embedding.current import RunningEngine
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.engine.model.messages import ChatId, Guarantee
from tempogram.engine.model.selection import DEFAULT_ZONE
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign


@dataclass(frozen=True, slots=True)
class Selected:
    """A chat that a campaign has claimed for its local date: no other process gives it today."""

    _engine: RunningEngine
    _campaign: Campaign
    _claim: Claim
    _bot: Bot
    _delivery: Guarantee

    @property
    def chat_id(self) -> ChatId:
        return self._claim.recipient.chat_id

    @property
    def title(self) -> str | None:
        return self._claim.recipient.title

    @property
    def language(self) -> str | None:
        """An IETF tag such as ``de``."""
        return self._claim.recipient.language

    @property
    def time_zone(self) -> str:
        """Its own, or the default."""
        return self._claim.recipient.zone

    @property
    def local_date(self) -> str:
        """The date on which it is written to, as in ``2026-03-29``."""
        return self._claim.recipient.local_date

    @property
    def not_before(self) -> datetime | None:
        """When its quiet hours end; None: it is not in them."""
        ms = self._claim.recipient.not_before_ms
        return None if ms is None else datetime.fromtimestamp(ms / 1_000, UTC)

    async def submit(self, method: AnyMethod) -> Submitted:
        """Submit its message of today: at low priority, after its quiet hours, and not after its day.

        A second message would be answered with the first one. Without any, the chat is given again when the campaign
        runs next on its local date.

        Raises:
            TelegramAPIError: It was refused, as by ``tempogram.submit``. Only after a full queue is the chat given
                again.
            LedgerError: It was not accepted, as far as is known; the chat is given again.
        """
        engine = self._engine
        submission = submit_claimed(
            engine.gateway,
            self._campaign,
            self._claim,
            self._bot,
            method,
            now_ms=engine.dependencies.clock(),
            delivery=self._delivery,
        )
        return await engine.gateway.loop.run(submission)


async def select(
    bot: Bot | int,
    *,
    campaign: str,
    types: Sequence[str] = ("private",),
    chats: Sequence[ChatId] = (),
    tags: Sequence[str] = (),
    without_tags: Sequence[str] = (),
    languages: Sequence[str] = (),
    wrote_days_ago: int | None = None,
    active_days: int | None = None,
    quiet_days: int | None = None,
    at: str | None = None,
    default_zone: str = DEFAULT_ZONE,
    quiet_hours: tuple[str, str] | None = None,
    daily_cap: int | None = None,
    not_if_written_today: bool = False,
    delivery: Guarantee | str = Guarantee.AT_MOST_ONCE,
) -> AsyncIterator[Selected]:
    """Give the chats to write to now, each once on its local date, and first those that a killed process left.

        async for chat in tempogram.select(bot, campaign="weekly", tags=["news"], at="09:00", daily_cap=1):
            await chat.submit(SendMessage(chat_id=chat.chat_id, text="…"))

    A chat is meant if everything applies that is given; see docs/selection.md.

    Args:
        bot: A ``Bot``, or the id of a bot that runs here.
        campaign: A name of 1 to 64 printable characters. It is the tag of the messages, too.
        types: Telegram's types of chats; empty: all.
        chats: Only these, at most 100,000; of more, give them a tag.
        tags: Chats that have any of them.
        without_tags: Chats that have none of them.
        languages: ``pt`` means ``pt-BR`` as well.
        wrote_days_ago: The chat's last message came on this local day; 1: yesterday.
        active_days: It came on one of so many local days before today, or today.
        quiet_days: It came before these days, or none ever came.
        at: Only chats in whose zone it is this hour of the day now, as in ``16:00``, at most ``23:00``; call this once
            an hour or oftener.
        default_zone: Of chats whose zone is not known.
        quiet_hours: Of chats that have none of their own, as in ``("22:00", "08:00")``.
        daily_cap: So many messages a chat gets on a local date, over all campaigns.
        not_if_written_today: Leave out chats to which the bot has written on their local date.
        delivery: ``at_most_once`` or ``at_least_once``.

    Raises:
        ValueError: One of them makes no sense; one sentence that names it.
        Refusal: There is no bot with this id.
        LedgerError: The database cannot be reached. Call it again to go on.
        RuntimeError: No engine runs.
    """
    rules = {
        "campaign": campaign,
        "at": at,
        "default_zone": default_zone,
        "quiet_hours": quiet_hours and {"from": quiet_hours[0], "until": quiet_hours[1]},
        "daily_cap": daily_cap,
        "not_if_written_today": not_if_written_today,
    }
    wanted = _read(
        bot=bot.id if isinstance(bot, Bot) else bot,
        types=list(types),
        chats=list(chats),
        tags=list(tags),
        without_tags=list(without_tags),
        languages=list(languages),
        wrote_days_ago=wrote_days_ago,
        active_days=active_days,
        quiet_days=quiet_days,
        rules=rules,
    )
    chosen, engine = read(delivery=delivery), current.engine()
    dependencies, run = engine.dependencies, engine.gateway.loop.run
    by = await run(engine.bot(bot))
    found = Campaign(dependencies.audience, wanted.selection, wanted.rules.rules, clock=dependencies.clock)
    claims = found.claims()
    while (claim := await run(_next(claims))) is not None:
        yield Selected(engine, found, claim, by, chosen.delivery or Guarantee.AT_MOST_ONCE)


async def _next(claims: AsyncIterator[Claim]) -> Claim | None:
    return await anext(claims, None)


def _read(**given: Any) -> SelectionIn:
    try:
        return SelectionIn.model_validate(given)
    except ValidationError as error:
        raise ValueError(first_sentence(error, without="rules")) from None  # they are arguments as all others
