"""An audience in memory that asks chat by chat: slow, and obvious. It knows what re-engagement asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tempogram.engine.model.messages import ChatId
from tempogram.engine.model.selection import Preview, Reason, Recipient, Rules, Selection
from tempogram.engine.ports.audience import PAGE, Claim, LeftOver
from tempogram.engine.selection.quiet import held


@dataclass(slots=True, kw_only=True)
class MemoryChat:
    """What is known of a chat; times are milliseconds since the epoch."""

    chat_id: ChatId
    zone: str | None = None
    last_in_ms: int | None = None
    last_out_ms: int | None = None
    title: str | None = None
    is_opted_out: bool = False
    is_reachable: bool = True


@dataclass(slots=True)
class MemoryAudience:
    """See ``Audience``. ``chats`` are those of each bot, and a test changes them as it likes."""

    chats: dict[int, list[MemoryChat]] = field(default_factory=dict)
    claims: dict[tuple[int, ChatId, str, str], Claim] = field(default_factory=dict)

    async def preview(self, selection: Selection, rules: Rules, *, now_ms: int) -> Preview:
        judged = [
            (chat, self._reason(chat, selection.bot_id, rules, now_ms))
            for chat in self._meant(selection, rules, now_ms)
        ]
        selected = [recipient(chat, rules, now_ms) for chat, reason in judged if reason is None]
        return Preview(
            selected=len(selected),
            held=sum(each.not_before_ms is not None for each in selected),
            left_out=dict(Counter(reason for _, reason in judged if reason is not None)),
        )

    async def page(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[Recipient]:
        found = [
            recipient(chat, rules, now_ms)
            for chat in self._meant(selection, rules, now_ms)
            if self._reason(chat, selection.bot_id, rules, now_ms) is None
        ]
        rest = [each for each in found if str(each.chat_id) > after]
        return sorted(rest, key=lambda each: str(each.chat_id))[:limit]

    async def claim(self, recipients: Sequence[Recipient], rules: Rules, *, bot_id: int, now_ms: int) -> list[Claim]:
        claimed = []
        for each in recipients:
            key = bot_id, each.chat_id, each.local_date, rules.campaign
            is_full = rules.daily_cap is not None and self._count(bot_id, each) >= rules.daily_cap
            if key in self.claims or is_full or self._is_closed(bot_id, each.chat_id) or each.day_ends_ms <= now_ms:
                continue
            self.claims[key] = Claim(campaign=rules.campaign, bot_id=bot_id, recipient=each)
            claimed.append(self.claims[key])
        return claimed

    async def note_submitted(self, claims: Sequence[Claim]) -> None:
        for each in claims:
            self.claims[each.bot_id, each.recipient.chat_id, each.recipient.local_date, each.campaign] = each

    async def unsubmitted(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[LeftOver]:
        bot_id = selection.bot_id
        found = [
            each
            for each in self.claims.values()
            if (each.campaign, each.bot_id, each.message_id) == (rules.campaign, bot_id, None)
            and each.recipient.day_ends_ms > now_ms
            and str(each.recipient.chat_id) > after
            and not self._is_closed(bot_id, each.recipient.chat_id)
        ]
        page = sorted(found, key=lambda each: str(each.recipient.chat_id))[:limit]
        return [LeftOver(claim=each, recipient=held(each.recipient, rules.quiet_hours, now_ms)) for each in page]

    async def postpone(self, left_over: Sequence[LeftOver], rules: Rules, *, now_ms: int) -> list[Claim]:
        claimed = []
        for each in left_over:
            bot_id, key = each.claim.bot_id, each.claim.dedup_key
            new = await self.claim([each.recipient], rules, bot_id=bot_id, now_ms=now_ms)
            claimed += [replace(claim, first_key=key) for claim in new]
            await self.note_submitted([replace(each.claim, message_id="")])
        await self.note_submitted(claimed)
        return claimed

    def _meant(self, selection: Selection, rules: Rules, now_ms: int) -> list[MemoryChat]:
        return [chat for chat in self.chats.get(selection.bot_id, ()) if is_meant(chat, selection, rules, now_ms)]

    def _reason(self, chat: MemoryChat, bot_id: int, rules: Rules, now_ms: int) -> Reason | None:
        to = recipient(chat, rules, now_ms)
        if not chat.is_reachable:
            return Reason.UNREACHABLE
        if chat.is_opted_out:
            return Reason.OPTED_OUT
        if (bot_id, chat.chat_id, to.local_date, rules.campaign) in self.claims:
            return Reason.ALREADY_NOTIFIED
        if rules.not_if_written_today and day_of(chat.last_out_ms, to.zone) == date.fromisoformat(to.local_date):
            return Reason.WRITTEN_TODAY
        is_full = rules.daily_cap is not None and self._count(bot_id, to) >= rules.daily_cap
        return Reason.DAILY_CAP if is_full else None

    def _is_closed(self, bot_id: int, chat_id: ChatId) -> bool:
        return any(
            chat.is_opted_out or not chat.is_reachable for chat in self.chats.get(bot_id, ()) if chat.chat_id == chat_id
        )

    def _count(self, bot_id: int, to: Recipient) -> int:
        return sum(
            (each.bot_id, each.recipient.chat_id, each.recipient.local_date) == (bot_id, to.chat_id, to.local_date)
            for each in self.claims.values()
        )


def is_meant(chat: MemoryChat, selection: Selection, rules: Rules, now_ms: int) -> bool:
    """Tell whether it is the chat's hour, and its last message came on the day that is meant."""
    zone = chat.zone or rules.default_zone
    now = local(now_ms, zone)
    if rules.at_minute is not None and not 0 <= now.hour * 60 + now.minute - rules.at_minute < 60:
        return False
    if selection.wrote_days_ago is None:
        return True
    return day_of(chat.last_in_ms, zone) == now.date() - timedelta(days=selection.wrote_days_ago)


def recipient(chat: MemoryChat, rules: Rules, now_ms: int) -> Recipient:
    """Return the chat as it is selected; what is in quiet hours goes, minute by minute, when they are over."""
    zone = chat.zone or rules.default_zone
    goes_ms = now_ms
    while rules.quiet_hours is not None and is_quiet(local(goes_ms, zone), rules):
        goes_ms += 60_000 - goes_ms % 60_000
    on = local(goes_ms, zone).date()
    day_ends_ms = goes_ms
    while local(day_ends_ms, zone).date() <= on:
        day_ends_ms += 900_000 - day_ends_ms % 900_000
    return Recipient(
        chat_id=chat.chat_id,
        zone=zone,
        local_date=on.isoformat(),
        not_before_ms=None if goes_ms == now_ms else goes_ms,
        day_ends_ms=day_ends_ms,
        title=chat.title,
    )


def is_quiet(at: datetime, rules: Rules) -> bool:
    quiet, minute = rules.quiet_hours, at.hour * 60 + at.minute
    if quiet is None or quiet.from_minute == quiet.until_minute:
        return False
    if quiet.from_minute < quiet.until_minute:
        return quiet.from_minute <= minute < quiet.until_minute
    return minute >= quiet.from_minute or minute < quiet.until_minute


def local(at_ms: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).astimezone(ZoneInfo(zone))


def day_of(at_ms: int | None, zone: str) -> date | None:
    return None if at_ms is None else local(at_ms, zone).date()
