"""Which messages arrived more than once, and why: each copy but the last needs a cause that we know of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tempogram.engine.sending.worker import UNRECORDED_MAX
from tests.chaos.evidence import Act, Arrival, Disturbance, Evidence, Key, Promised

ANSWER_WITHHELD = "its answer was withheld"
NO_ANSWER = "no answer came in time"
ON_THE_WAY_MS = 500
"""Between writing a call and its arrival, on a machine where everybody has something to do. A guess."""

UNDER_WAY_MS = 1_500
"""From the arrival of a call until its answer is written down, on the same machine. A guess, too."""

OF_ONE = {
    Act.KILLED,
    Act.FROZEN,
    Act.REDIS_CUT,
    Act.REDIS_UNREACHABLE,
    Act.REDIS_SILENT,
    Act.POSTGRES_CUT,
    Act.POSTGRES_UNREACHABLE,
    Act.POSTGRES_SILENT,
}
"""Acts after which one process may not know what became of its calls; after the others none does."""

WITHOUT_BOOKS = {
    Act.POSTGRES_CUT,
    Act.POSTGRES_UNREACHABLE,
    Act.POSTGRES_SILENT,
    Act.POSTGRES_RESTARTED,
    Act.POSTGRES_CRASHED,
}
"""Acts during which a process sends and records nothing, up to ``UNRECORDED_MAX``; killed then, it forgets it all."""


@dataclass(frozen=True, slots=True)
class Copy:
    """An arrival that was followed by another one of the same message. ``cause`` is None if nobody knows one."""

    first: Arrival
    again: Arrival
    cause: str | Disturbance | None


def accepted_by_key(arrivals: Sequence[Arrival]) -> dict[Key, list[Arrival]]:
    """Sort what Telegram accepted by message, each in the order of arrival."""
    accepted: dict[Key, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        if arrival.is_accepted:
            accepted[arrival.key].append(arrival)
    return accepted


def second_copies(arrivals: Sequence[Arrival]) -> set[int]:
    """Return the places in the list at which a message arrives that was accepted before."""
    seen: set[Key] = set()
    found = set()
    for place, arrival in enumerate(arrivals):
        if arrival.key in seen:
            found.add(place)
        elif arrival.is_accepted:
            seen.add(arrival.key)
    return found


def copies(evidence: Evidence) -> list[Copy]:
    """List every copy but the last of each message, with its cause."""
    promised = {message.key: message for message in evidence.promised}
    found = []
    for key, arrived in accepted_by_key(evidence.arrivals).items():
        for first, again in pairwise(arrived):
            found.append(Copy(first, again, cause_of(first, promised.get(key), evidence)))
    return found


def cause_of(arrival: Arrival, message: Promised | None, evidence: Evidence) -> str | Disturbance | None:
    """Say why the engine cannot have known that a call arrived; None if it ought to have known."""
    if arrival.lost:
        return ANSWER_WITHHELD
    happened = [each for each in evidence.disturbances if may_explain(each, arrival)]
    if happened:
        return min(happened, key=lambda each: abs(each.from_ms - arrival.at_ms))
    ended = evidence.ended.get(message.message_id) if message is not None else None
    return NO_ANSWER if ended is not None and "uncertain" in ended.outcomes else None


def may_explain(disturbance: Disturbance, arrival: Arrival) -> bool:
    """Tell whether a call was under way, or not written down yet, when something happened."""
    return disturbance.from_ms - UNDER_WAY_MS <= arrival.at_ms <= disturbance.until_ms + ON_THE_WAY_MS


def too_many(found: Sequence[Copy], evidence: Evidence) -> Mapping[Disturbance, int]:
    """Return the disturbances to which more copies are put down than can have been in flight."""
    counted: dict[Disturbance, int] = defaultdict(int)
    for copy in found:
        if isinstance(copy.cause, Disturbance):
            counted[copy.cause] += 1
    return {each: count for each, count in counted.items() if count > in_flight_max(each, evidence)}


def in_flight_max(disturbance: Disturbance, evidence: Evidence) -> int:
    """Return how many calls can have been leased and not recorded; who misses the books goes on for a while."""
    terms = evidence.terms
    concerned = 1 if disturbance.act in OF_ONE else terms.senders
    each_max = terms.in_flight_max
    if any(forgets_unrecorded(each, disturbance) for each in evidence.disturbances):
        each_max += UNRECORDED_MAX
    return each_max * concerned


def forgets_unrecorded(kill: Disturbance, without_books: Disturbance) -> bool:
    """Tell whether a process was killed while it missed the books, or had not yet written down what came meanwhile."""
    is_same = without_books.target in {"", kill.target}
    is_meanwhile = without_books.from_ms <= kill.from_ms <= without_books.until_ms + UNDER_WAY_MS
    return kill.act is Act.KILLED and without_books.act in WITHOUT_BOOKS and is_same and is_meanwhile
