"""Users who write, opt out and move, and the slow, obvious rule whose turn it is: written from the mission alone."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

DEFAULT_ZONE = "America/Los_Angeles"
HOUR = 16
DAYS = 7

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

EVENT_GAP_MS = 3 * DAY_MS
"""Something happens to an account so often, on average: in most weeks something, and in every third week nothing."""


@dataclass(slots=True, kw_only=True)
class Account:
    """A user; times are milliseconds since the epoch.

    Attributes:
        zone: None: not known.
        wrote_ms: When its last message came.
        got_ms: When the bot wrote last.
    """

    chat_id: int
    zone: str | None
    wrote_ms: int
    got_ms: int | None = None
    is_opted_out: bool = False
    is_reachable: bool = True


def is_due(account: Account, now_ms: int) -> bool:
    """Tell whether it is this account's turn: its hour is the set one, and so on, in the words of the mission."""
    zone = zone_of(account)
    now = datetime.fromtimestamp(now_ms / 1_000, zone)
    if now.hour != HOUR or account.is_opted_out or not account.is_reachable:
        return False
    wrote = datetime.fromtimestamp(account.wrote_ms / 1_000, zone)
    if wrote.date() != now.date() - timedelta(days=DAYS):
        return False
    if account.got_ms is None:
        return True
    return datetime.fromtimestamp(account.got_ms / 1_000, zone).date() != now.date()


def zone_of(account: Account) -> ZoneInfo:
    return _kept(account.zone or DEFAULT_ZONE)


@cache
def _kept(name: str) -> ZoneInfo:
    return ZoneInfo(name)  # which keeps eight, and reads the others from disk again


def local_date(account: Account, now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1_000, zone_of(account)).date().isoformat()


class Life:
    """All accounts, and what they do: by one seed always the same."""

    def __init__(self, count: int, *, start_ms: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._zones: Sequence[str | None] = [None, *sorted(available_timezones())]
        self.accounts = {number: self._account(number, start_ms) for number in range(1, count + 1)}
        self._next = [(start_ms + self._gap_ms(), number) for number in self.accounts]
        heapq.heapify(self._next)

    def until(self, now_ms: int) -> list[Account]:
        """Let everything happen that happens before an instant; return the accounts to which it did."""
        return list({account.chat_id: account for account in self._happened(now_ms)}.values())

    def _happened(self, now_ms: int) -> Iterator[Account]:
        while self._next[0][0] < now_ms:
            at_ms, number = self._next[0]
            heapq.heapreplace(self._next, (at_ms + self._gap_ms(), number))
            self._happens(self.accounts[number], at_ms)
            yield self.accounts[number]

    def _account(self, number: int, start_ms: int) -> Account:
        wrote_ms = start_ms - self._random.randrange(10 * DAY_MS)
        return Account(chat_id=number, zone=self._zones[number % len(self._zones)], wrote_ms=wrote_ms)

    def _gap_ms(self) -> int:
        return 1 + round(self._random.expovariate(1 / EVENT_GAP_MS))

    def _happens(self, account: Account, at_ms: int) -> None:
        match self._random.choices(("writes", "news", "moves", "stops", "blocks"), (45, 20, 15, 5, 5))[0]:
            case "writes":
                account.wrote_ms, account.got_ms = at_ms, at_ms  # the bot answers
                account.is_reachable, account.is_opted_out = True, False
            case "news":
                account.got_ms = at_ms
            case "moves":
                account.zone = self._random.choice(self._zones)
            case "stops":
                account.is_opted_out = True
            case "blocks":
                account.is_reachable = False


def instants(start: str, days: int) -> Iterator[int]:
    """Return each quarter of an hour from a date on."""
    first_ms = round(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1_000)
    return iter(range(first_ms, first_ms + days * DAY_MS, HOUR_MS // 4))
