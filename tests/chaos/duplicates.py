"""Finds messages that arrived more than once. Each arrival but the last needs a cause that is known."""

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
"""Between writing a call and its arrival, on a busy machine. Untuned: one that is too long only accepts more causes."""

UNDER_WAY_MS = 1_500
"""From the arrival of a call until its answer is written down, on a busy machine. Untuned, for the same reason."""

OF_ONE_PROCESS = {
    Act.KILLED,
    Act.FROZEN,
    Act.REDIS_CUT,
    Act.REDIS_UNREACHABLE,
    Act.REDIS_SILENT,
    Act.POSTGRES_CUT,
    Act.POSTGRES_UNREACHABLE,
    Act.POSTGRES_SILENT,
}
"""Acts that leave one process without the outcome of its calls; the others concern all processes."""

WITHOUT_LEDGER = {
    Act.POSTGRES_CUT,
    Act.POSTGRES_UNREACHABLE,
    Act.POSTGRES_SILENT,
    Act.POSTGRES_RESTARTED,
    Act.POSTGRES_CRASHED,
}
"""Acts during which a process cannot record what it sends, up to ``UNRECORDED_MAX``; a kill loses all of that."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An arrival that was followed by another one of the same message. ``cause`` is None if none is known."""

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


def repeated_at(arrivals: Sequence[Arrival]) -> set[int]:
    """Return the indices of arrivals of messages that were accepted before."""
    seen: set[Key] = set()
    found = set()
    for index, arrival in enumerate(arrivals):
        if arrival.key in seen:
            found.add(index)
        elif arrival.is_accepted:
            seen.add(arrival.key)
    return found


def duplicates(evidence: Evidence) -> list[Duplicate]:
    """List every arrival but the last of each message, with its cause."""
    promised = {message.key: message for message in evidence.promised}
    found = []
    for key, arrived in accepted_by_key(evidence.arrivals).items():
        for first, again in pairwise(arrived):
            found.append(Duplicate(first, again, cause_of(first, promised.get(key), evidence)))
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


def over_bound(found: Sequence[Duplicate], evidence: Evidence) -> Mapping[Disturbance, int]:
    """Return the disturbances that explain more duplicates than calls can have been in flight."""
    counted: dict[Disturbance, int] = defaultdict(int)
    for duplicate in found:
        if isinstance(duplicate.cause, Disturbance):
            counted[duplicate.cause] += 1
    return {each: count for each, count in counted.items() if count > in_flight_max(each, evidence)}


def in_flight_max(disturbance: Disturbance, evidence: Evidence) -> int:
    """Return how many calls can have been leased and not recorded; a process without its ledger goes on for a while."""
    terms = evidence.terms
    concerned = 1 if disturbance.act in OF_ONE_PROCESS else terms.senders
    each_max = terms.in_flight_max
    if any(forgets_unrecorded(each, disturbance) for each in evidence.disturbances):
        each_max += UNRECORDED_MAX
    return each_max * concerned


def forgets_unrecorded(kill: Disturbance, without_ledger: Disturbance) -> bool:
    """Tell whether a process was killed without its ledger, or before it had recorded what came meanwhile."""
    is_same = without_ledger.target in {"", kill.target}
    is_meanwhile = without_ledger.from_ms <= kill.from_ms <= without_ledger.until_ms + UNDER_WAY_MS
    return kill.act is Act.KILLED and without_ledger.act in WITHOUT_LEDGER and is_same and is_meanwhile
