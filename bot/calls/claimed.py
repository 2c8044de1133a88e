"""Submits the message to a chat that a campaign has claimed."""

from __future__ import annotations

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError

from tempogram.api.usecases.submissions import Submitted
from tempogram.bot.calls.answers import FullQueue
from tempogram.bot.calls.call_options import CallOptions
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.engine.model.messages import Guarantee, Priority
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign

REFUSED = ""


async def submit_claimed(
    gateway: Gateway,
    campaign: Campaign,
    claim: Claim,
    bot: Bot,
    method: AnyMethod,
    *,
    now_ms: int,
    delivery: Guarantee = Guarantee.AT_MOST_ONCE,
) -> Submitted:
    """Submit a message at low priority, from the end of the chat's quiet hours to that of its day, and note it.

    Raises:
        FullQueue, LedgerError: It was not accepted, as far as is known; the campaign gives the claim again when it
            runs next on this local date.
        TelegramAPIError: It was refused for good; the claim is not given again.
    """
    (answer,) = await gateway.submit_many(bot, [method], options_of(claim, now_ms=now_ms, delivery=delivery))
    if isinstance(answer, Submitted):
        await campaign.note(claim, answer.id)
        return answer
    if isinstance(answer, TelegramAPIError) and not isinstance(answer, FullQueue):
        await campaign.note(claim, REFUSED)
    raise answer


def options_of(claim: Claim, *, now_ms: int, delivery: Guarantee) -> CallOptions:
    """Return how the message of a claim is sent. It carries the campaign's name as its tag."""
    recipient = claim.recipient
    goes_at_ms = max(now_ms, recipient.not_before_ms or 0)
    return CallOptions(
        priority=Priority.LOW,
        delivery=delivery,
        expires_in_s=max(recipient.day_ends_ms - goes_at_ms, 1) / 1_000,
        send_at_ms=recipient.not_before_ms,
        dedup_key=claim.dedup_key,
        tag=claim.campaign,
    )
