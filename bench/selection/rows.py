"""Makes the rows of a large database by SQL: accounts in every zone, and what was said with them in a month.

The rows are a function of their number, so any of them can be named without a look at the database. Of ten messages
nine are in private chats and one is in one of 30 groups, each of which so has many.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

BOT = 42
FIRST_ACCOUNT = 1_000_000
GROUPS, GROUP_SHARE = 30, 10
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
SCATTER = 2_654_435_761
"""A prime: numbers times it, modulo how many there are, visit all accounts in an order without a pattern."""

PIECE = 1_000_000
"""Messages in one statement, so that progress can be seen."""

SERIES = {
    "sqlite": "WITH RECURSIVE series(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM series WHERE n < :last)",
    "postgresql": "WITH series(n) AS (SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)))",
}
HEX = {
    "sqlite": "printf('%012x%06x00000001', {at}, n % 16777216)",
    "postgresql": "lpad(to_hex({at}), 12, '0') || lpad(to_hex(n % 16777216), 6, '0') || '00000001'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is made, and up to when."""

    accounts: int
    messages: int
    now_ms: int

    @property
    def step_ms(self) -> int:
        """Between two messages."""
        return max(1, MONTH_MS // self.messages)

    def submitted_at_ms(self, number: int) -> int:
        return self.now_ms - (self.messages - number) * self.step_ms

    def chat_of(self, number: int) -> str:
        """Return the chat of a message.

        >>> size = Size(accounts=100, messages=1_000, now_ms=MONTH_MS)
        >>> size.chat_of(7), size.chat_of(20)
        ('1000027', '-1003')
        """
        if number % GROUP_SHARE == 0:
            return str(-1_001 - number // GROUP_SHARE % GROUPS)
        return str(FIRST_ACCOUNT + number * SCATTER % self.accounts)

    def number_of(self, number: int) -> int:
        """Return Telegram's number of a message in its chat."""
        per_chat = GROUPS * GROUP_SHARE if number % GROUP_SHARE == 0 else self.accounts
        return number // per_chat + 1


def make_accounts(connection: Connection, size: Size) -> None:
    zones = sorted(zoneinfo.available_timezones())
    listed = ", ".join(f"({number}, '{zone}')" for number, zone in enumerate(zones))
    make = f"""
        INSERT INTO chats (bot_id, chat_id, reachable, reason, type, time_zone, opted_out_at_ms,
            last_message_in_at_ms, last_message_out_at_ms)
        {SERIES[connection.dialect.name]}, zones(number, zone) AS (VALUES {listed})
        SELECT {BOT}, CAST({FIRST_ACCOUNT} + n AS TEXT), n % 40 > 0, CASE WHEN n % 40 = 0 THEN 'Forbidden' END,
            'private', zone, CASE WHEN n % 50 = 7 THEN 1 END,
            :now_ms - n * {SCATTER} % {MONTH_MS}, :now_ms - n * {SCATTER} % {2 * MONTH_MS}
        FROM series JOIN zones ON number = n % {len(zones)}
    """  # noqa: S608 - put together from constants
    connection.execute(text(make), {"first": 0, "last": size.accounts - 1, "now_ms": size.now_ms})


def pieces(size: Size) -> Iterator[tuple[int, int]]:
    """Give the first and the last number of each piece.

    >>> list(pieces(Size(accounts=1, messages=1_500_000, now_ms=0)))
    [(1, 1000000), (1000001, 1500000)]
    """
    for first in range(1, size.messages + 1, PIECE):
        yield first, min(first + PIECE - 1, size.messages)


def make_messages(connection: Connection, size: Size, first: int, last: int) -> None:
    at_ms = f"(CAST({size.submitted_at_ms(0)} AS bigint) + n * {size.step_ms})"
    is_group, is_in = f"n % {GROUP_SHARE} = 0", "n % 3 = 0"
    group = f"-1001 - n / {GROUP_SHARE} % {GROUPS}"
    account = f"{FIRST_ACCOUNT} + n * {SCATTER} % {size.accounts}"
    make = f"""
        INSERT INTO messages (id, direction, bot_id, chat_id, method, priority, cost, status, guarantee, dedup_key,
            attempt, submitted_at_ms, ready_at_ms, settled_at_ms, telegram_message_id, is_paid)
        {SERIES[connection.dialect.name]}
        SELECT {HEX[connection.dialect.name].format(at=at_ms)}, CASE WHEN {is_in} THEN 'in' ELSE 'out' END, {BOT},
            CAST(CASE WHEN {is_group} THEN {group} ELSE {account} END AS TEXT),
            CASE WHEN {is_in} THEN 'message' ELSE 'sendMessage' END, 'normal',
            CASE WHEN {is_in} THEN 0 ELSE 1 END, CASE WHEN {is_in} THEN 'received' ELSE 'sent' END, 'at_least_once',
            CASE WHEN {is_in} THEN 'incoming:' || n END, 1, {at_ms}, 0, {at_ms} + 300,
            CASE WHEN {is_group} THEN n / {GROUPS * GROUP_SHARE} ELSE n / {size.accounts} END + 1, false
        FROM series
    """  # noqa: S608 - put together from constants
    connection.execute(text(make), {"first": first, "last": last})
