"""Who is selected, chat by chat and minute by minute: slow, and plain to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tempogram.engine.model.selection import Preview, QuietHours, Reason, Recipient, Rules, Selection

MINUTE_MS = 60_000
UNKNOWN_ZONES = frozenset({"Nowhere/Atlantis", "Europe", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRow:
    """What is known of a chat. ``claims`` are the campaigns that have written to it, by local date."""

    chat_id: str
    type: str | None = "private"
    time_zone: str | None = None
    language: str | None = None
    tags: frozenset[str] = frozenset()
    reachable: bool = True
    opted_out: bool = False
    alias_of: str | None = None
    last_in_ms: int | None = None
    last_out_ms: int | None = None
    quiet: tuple[int, int] | None = None
    claims: frozenset[tuple[str, str]] = frozenset()


def answers(
    rows: Sequence[ChatRow], selection: Selection, rules: Rules, now_ms: int
) -> tuple[list[Recipient], Preview]:
    """Return who is selected, by id, and the counts."""
    meant = [row for row in rows if _is_meant(row, selection, rules, now_ms)]
    reasons = [_reason(row, rules, now_ms) for row in meant]
    chosen = [_recipient(row, rules, now_ms) for row, reason in zip(meant, reasons, strict=True) if reason is None]
    left_out = Counter(reason for reason in reasons if reason is not None)
    held = sum(each.not_before_ms is not None for each in chosen)
    return chosen, Preview(selected=len(chosen), held=held, left_out=dict(left_out))


def zone_of(row: ChatRow, rules: Rules) -> str:
    return rules.default_zone if row.time_zone is None or row.time_zone in UNKNOWN_ZONES else row.time_zone


@lru_cache(maxsize=100_000)
def wall(zone: str, at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, ZoneInfo(zone)).replace(tzinfo=None)


def minute_of(at: datetime) -> int:
    return at.hour * 60 + at.minute


@lru_cache(maxsize=100_000)
def end_of_quiet_ms(zone: str, at_ms: int, until: int) -> int:
    """Go on minute by minute until a clock shows the minute, or has jumped over it."""
    step_ms = at_ms // MINUTE_MS * MINUTE_MS
    while True:
        before, step_ms = wall(zone, step_ms), step_ms + MINUTE_MS
        after = wall(zone, step_ms)
        passed = {minute_of(before + timedelta(minutes=n)) for n in range(1, (after - before) // timedelta(minutes=1))}
        if minute_of(after) == until or until in passed:
            return step_ms


@lru_cache(maxsize=100_000)
def end_of_date_ms(zone: str, at_ms: int, on: date) -> int:
    """Go on minute by minute until it is another date."""
    step_ms = at_ms // MINUTE_MS * MINUTE_MS
    while wall(zone, step_ms).date() <= on:
        step_ms += MINUTE_MS
    return step_ms


def quiet_of(row: ChatRow, rules: Rules) -> tuple[int, int] | None:
    if row.quiet is not None or rules.quiet_hours is None:
        return row.quiet
    return rules.quiet_hours.from_minute, rules.quiet_hours.until_minute


def held_until_ms(row: ChatRow, rules: Rules, now_ms: int) -> int | None:
    quiet, zone = quiet_of(row, rules), zone_of(row, rules)
    if quiet is None:
        return None
    begin, end = quiet
    minute = minute_of(wall(zone, now_ms))
    is_quiet = begin <= minute < end if begin <= end else minute >= begin or minute < end
    return end_of_quiet_ms(zone, now_ms, end) if is_quiet else None


def date_of(row: ChatRow, rules: Rules, now_ms: int) -> date:
    """Return the local date on which a chat would be written to."""
    until_ms = held_until_ms(row, rules, now_ms)
    return wall(zone_of(row, rules), now_ms if until_ms is None else until_ms).date()


def _is_meant(row: ChatRow, selection: Selection, rules: Rules, now_ms: int) -> bool:
    now = wall(zone_of(row, rules), now_ms)
    return all(
        (
            row.alias_of is None,
            not row.chat_id.startswith("business:"),
            not selection.types or _type(row) in selection.types,
            not selection.chats or row.chat_id in map(str, selection.chats),
            not selection.tags or row.tags & set(selection.tags),
            not row.tags & set(selection.without_tags),
            not selection.languages or any(_speaks(row.language, language) for language in selection.languages),
            rules.at_minute is None or 0 <= minute_of(now) - rules.at_minute < 60,
            _has_activity(row, selection, rules, now.date()),
        )
    )


def _type(row: ChatRow) -> str | None:
    return "private" if row.type is None and row.chat_id[0] in "123456789" else row.type


def _speaks(spoken: str | None, language: str) -> bool:
    if spoken is None:
        return False
    return spoken.lower() == language.lower() or spoken.lower().startswith(f"{language.lower()}-")


def _has_activity(row: ChatRow, selection: Selection, rules: Rules, today: date) -> bool:
    wrote = None if row.last_in_ms is None else wall(zone_of(row, rules), row.last_in_ms).date()
    ago = None if wrote is None else (today - wrote).days
    if selection.wrote_days_ago is not None and ago != selection.wrote_days_ago:
        return False
    if selection.active_days is not None and (ago is None or ago > selection.active_days):
        return False
    return selection.quiet_days is None or ago is None or ago > selection.quiet_days


def _reason(row: ChatRow, rules: Rules, now_ms: int) -> Reason | None:
    on = date_of(row, rules, now_ms)
    campaigns = [campaign for day, campaign in row.claims if day == on.isoformat()]
    if not row.reachable:
        return Reason.UNREACHABLE
    if row.opted_out:
        return Reason.OPTED_OUT
    if rules.campaign in campaigns:
        return Reason.ALREADY_NOTIFIED
    if rules.not_if_written_today and row.last_out_ms and wall(zone_of(row, rules), row.last_out_ms).date() >= on:
        return Reason.WRITTEN_TODAY
    if rules.daily_cap is not None and len(campaigns) >= rules.daily_cap:
        return Reason.DAILY_CAP
    return None


def _recipient(row: ChatRow, rules: Rules, now_ms: int) -> Recipient:
    zone, on = zone_of(row, rules), date_of(row, rules, now_ms)
    return Recipient(
        chat_id=int(row.chat_id) if row.chat_id[0] in "-0123456789" else row.chat_id,
        zone=zone,
        local_date=on.isoformat(),
        not_before_ms=held_until_ms(row, rules, now_ms),
        day_ends_ms=end_of_date_ms(zone, now_ms, on),
        language=row.language,
        quiet_hours=None if row.quiet is None else QuietHours(from_minute=row.quiet[0], until_minute=row.quiet[1]),
    )
