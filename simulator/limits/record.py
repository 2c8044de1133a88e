"""Every call that arrived, kept compactly, and the sums that the report is made of."""

import struct
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tempogram.simulator.limits.windows import MS, SECOND

# One row: arrival ns, bot, chat, message id, method number, cost, code, lost; then the text's beginning.
ROW = struct.Struct("<qqqqHHHB")
TEXT_KEPT = 64  # characters
DUPLICATES_LISTED = 20
SECONDS_KEPT = 1_000_000
LOST = ("", "reset_before", "reset_after", "hang")
DIGITS = "0123456789"
DIGITS_READ = 18  # longer numbers are not message numbers


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A text that one bot got accepted twice in one chat."""

    bot_id: int
    chat_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is kept of one call; ``code`` is 0 if it was dropped before it had any effect."""

    at_ns: int
    bot_id: int
    chat_id: int
    method: str
    cost: int
    code: int
    lost: str = ""
    message_id: int = 0
    text: str = ""
    uploads: int = 0


@dataclass(slots=True)
class Record:
    """The last ``kept`` calls and the sums over all of them."""

    kept: int
    unique_prefix: str = ""
    arrivals: int = 0
    accepted: int = 0  # calls that took places
    places: int = 0
    uploads: int = 0
    by_code: Counter[int] = field(default_factory=Counter)
    by_method: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    by_second: list[int] = field(default_factory=list)
    duplicates: int = 0
    duplicates_listed: list[Duplicate] = field(default_factory=list)
    out_of_order: int = 0
    first_ns: int = 0
    # One pair of clocks read together: arrival times become wall times without asking again.
    _wall_ahead_ns: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())
    _rows: deque[bytes] = field(init=False)
    _method_numbers: dict[str, int] = field(default_factory=dict)
    _texts_seen: set[int] = field(default_factory=set)
    _last_numbers: dict[tuple[int, int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with no rows."""
        self._rows = deque(maxlen=self.kept)

    def add(self, arrival: Arrival) -> None:
        """Keep one call."""
        if not self.arrivals:
            self.first_ns = arrival.at_ns
        self.arrivals += 1
        self.uploads += arrival.uploads
        self.by_code[arrival.code] += 1
        self.by_method[arrival.method] += 1
        if arrival.lost:
            self.lost[arrival.lost] += 1
        self._rows.append(self._packed(arrival))
        if arrival.code == 200 and arrival.cost:
            self._count_accepted(arrival)

    def calls(self, *, since: int, limit: int) -> Iterator[dict[str, Any]]:
        """List calls from number ``since`` on, oldest first; numbers count all that ever arrived."""
        dropped = self.arrivals - len(self._rows)
        start = max(since - dropped, 0)
        names = tuple(self._method_numbers)
        for number, row in enumerate(islice(self._rows, start, start + limit), dropped + start):
            yield self._unpacked(number, row, names)

    def _packed(self, arrival: Arrival) -> bytes:
        method = self._method_numbers.get(arrival.method)
        if method is None:
            method = self._method_numbers[arrival.method] = len(self._method_numbers)
        head = ROW.pack(
            arrival.at_ns,
            arrival.bot_id,
            arrival.chat_id,
            arrival.message_id,
            method,
            arrival.cost,
            arrival.code,
            LOST.index(arrival.lost),
        )
        return head + arrival.text[:TEXT_KEPT].encode("utf-8", "replace")

    def _unpacked(self, number: int, row: bytes, names: tuple[str, ...]) -> dict[str, Any]:
        at_ns, bot_id, chat_id, message_id, method, cost, code, lost = ROW.unpack_from(row)
        return {
            "index": number,
            "at_ms": at_ns / MS,
            "wall_ms": (at_ns + self._wall_ahead_ns) / MS,
            "bot_id": bot_id,
            "chat_id": chat_id,
            "method": names[method],
            "cost": cost,
            "code": code,
            "lost": LOST[lost],
            "message_id": message_id,
            "text": row[ROW.size :].decode(),
        }

    def _count_accepted(self, arrival: Arrival) -> None:
        self.accepted += 1
        self.places += arrival.cost
        second = min((arrival.at_ns - self.first_ns) // SECOND, SECONDS_KEPT)
        if second >= len(self.by_second):
            self.by_second.extend([0] * (second + 1 - len(self.by_second)))
        self.by_second[second] += arrival.cost
        # An edit may say the same again, and says nothing about order.
        if arrival.text and arrival.method.startswith("send") and not self._is_duplicate(arrival):
            self._check_order(arrival)

    def _is_duplicate(self, arrival: Arrival) -> bool:
        if not arrival.text.startswith(self.unique_prefix):
            return False
        key = hash((arrival.bot_id, arrival.chat_id, arrival.text))
        if key in self._texts_seen:
            self.duplicates += 1
            if len(self.duplicates_listed) < DUPLICATES_LISTED:
                self.duplicates_listed.append(Duplicate(arrival.bot_id, arrival.chat_id, arrival.text[:TEXT_KEPT]))
            return True
        if len(self._texts_seen) < self.kept:
            self._texts_seen.add(key)
        return False

    def _check_order(self, arrival: Arrival) -> None:
        """Compare a numbered text with the highest number of its kind that came before it."""
        prefix = arrival.text.rstrip(DIGITS)
        digits = arrival.text[len(prefix) :]
        if not digits or len(digits) > DIGITS_READ:
            return
        key, number = (arrival.bot_id, arrival.chat_id, prefix[:TEXT_KEPT]), int(digits)
        highest = self._last_numbers.get(key, -1)
        if number < highest:
            self.out_of_order += 1
        elif highest >= 0 or len(self._last_numbers) < self.kept:
            self._last_numbers[key] = number
