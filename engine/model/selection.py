"""Which chats of a bot are meant, and the rules that all campaigns keep."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tempogram.engine.model.messages import ChatId

DEFAULT_ZONE = "America/Los_Angeles"
"""Of chats whose time zone is not known, unless a campaign says otherwise."""


AT_MINUTE_MAX = 23 * 60
"""Chats are written to for an hour from a campaign's time on, and that hour must not reach into the next day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which chats of a bot are meant: those to which everything here applies. What is empty or None asks for nothing.

    Days are counted on the calendar of each chat's zone: 0 is today, 1 yesterday.

    Attributes:
        types: Telegram's types of chats: ``private``, ``group``, ``supergroup``, ``channel``. A chat whose type is not
            known is private if its id is above 0.
        chats: Only these.
        tags: Chats that have any of them.
        without_tags: Chats that have none of them.
        languages: IETF tags, as in ``de``; ``pt`` means ``pt-BR`` as well. Upper and lower case are the same.
        wrote_days_ago: The last message from the chat came on the day so many days ago.
        active_days: The last message from the chat came on one of the last so many days, or today.
        quiet_days: The last message from the chat came before the last so many days, or none ever came.
    """

    bot_id: int
    types: tuple[str, ...] = ("private",)
    chats: tuple[ChatId, ...] = ()
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    wrote_days_ago: int | None = None
    active_days: int | None = None
    quiet_days: int | None = None

    @property
    def is_of_quiet_chats(self) -> bool:
        """Tell whether chats are meant because they have not written of late."""
        return bool(self.wrote_days_ago) or self.quiet_days is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """When nothing is sent of the bot's own accord, in minutes of the local day; ``until`` may be on the next one.

    They end when a clock on the wall shows ``until`` next; where that is skipped, when it jumps over it. Two ends that
    are the same are no quiet hours.

    >>> night = QuietHours(from_minute=22 * 60, until_minute=8 * 60)
    """

    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for a campaign besides whom it means.

    Attributes:
        campaign: Its name; to each chat it writes once on a local date.
        default_zone: Of chats whose zone is not known.
        at_minute: Only chats in whose zone it is this hour of the day now, given as its first minute, at most
            ``AT_MINUTE_MAX``; None: all.
        quiet_hours: Of chats that have none of their own. What is selected in them is held until they end.
        daily_cap: A chat gets at most so many messages on a local date, over all campaigns; None: any number.
        not_if_written_today: Chats to which the bot has written on this local date, in whatever way, are left out.

    What is held is counted on the local date on which its quiet hours end, and not on the one before.
    """

    campaign: str
    default_zone: str = DEFAULT_ZONE
    at_minute: int | None = None
    quiet_hours: QuietHours | None = None
    daily_cap: int | None = None
    not_if_written_today: bool = False


class Reason(Enum):
    """Why a chat that is meant is left out. The first that applies counts."""

    UNREACHABLE = "unreachable"
    OPTED_OUT = "opted_out"
    ALREADY_NOTIFIED = "already_notified"
    """This campaign has written to it on this local date."""
    WRITTEN_TODAY = "written_today"
    """See ``Rules.not_if_written_today``."""
    DAILY_CAP = "daily_cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A chat that is selected.

    Attributes:
        zone: Its own, or the default.
        local_date: Its date when it is to be written to, as in ``2026-03-29``: today's, or, if it is held over
            midnight, that of ``not_before_ms``.
        not_before_ms: When its quiet hours end; None: it is not in them.
        day_ends_ms: When ``local_date`` ends.
        quiet_hours: Its own; None: those of the campaign count.
    """

    chat_id: ChatId
    zone: str
    local_date: str
    not_before_ms: int | None
    day_ends_ms: int
    language: str | None = None
    title: str | None = None
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a selection would give now.

    Attributes:
        selected: Chats that would be written to, with those that are held.
        held: Of these, chats in their quiet hours.
        left_out: How many are left out, by reason; each is counted once.
    """

    selected: int
    held: int
    left_out: dict[Reason, int]
