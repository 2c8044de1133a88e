"""Compares what was promised with Telegram's own record. «Not sent» is taken from the ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.broken_windows import broken_without_duplicates
from tests.chaos.duplicates import Duplicate, accepted_by_key, cause_of, duplicates, over_bound
from tests.chaos.evidence import Act, Arrival, Disturbance, Evidence, Promised, SlowScript, Violation
from tests.chaos.isolation.waits import PRIORITIES, Waits, acts_to_judge, others_waits

NOT_SENT = ("dead", "cancelled", "expired", "uncertain")
LISTED = 5
RECOVERY_WATCHED_MS = 7_000
"""No longer than the calm after it; see ``disturbances``."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence with what was found, and whether it holds. ``of_speed``: on a busy machine it may not hold."""

    said: str
    holds: bool
    of_speed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of it.

    Attributes:
        balance: How many ended how, by Telegram's record where it arrived there, else by the ledger.
        lost: Neither arrived nor ended otherwise; ``recorded_unsent``: arrived, though the ledger says it did not, and
            nothing happened that would explain it.
        others_waits: How long messages of other bots or chats waited, while Telegram failed some.
        recovery_ms: After each time that Redis was emptied while it ran, until messages arrived again.
    """

    promised: int
    balance: Mapping[str, int]
    lost: Sequence[Promised]
    recorded_unsent: Sequence[Promised]
    unsubmitted: Sequence[Arrival]
    accepted_twice: Sequence[Promised]
    duplicates: Sequence[Duplicate]
    over_bound: Mapping[Disturbance, int]
    repeated_at_most_once: Sequence[Promised]
    standing: Sequence[Violation]
    explained: Sequence[Violation]
    out_of_order: Sequence[tuple[Arrival, Arrival]]
    after_cancel: Sequence[Promised]
    after_expiry: Sequence[Promised]
    recovery_ms: Sequence[float]
    others_waits: Sequence[Waits]
    evidence: Evidence = field(repr=False)

    @property
    def promises(self) -> list[Promise]:
        terms = self.evidence.terms
        sums = " + ".join(f"{count} {status}" for status, count in sorted(self.balance.items()))
        without_cause = [duplicate for duplicate in self.duplicates if duplicate.cause is None]
        standing = len(self.standing) + self.evidence.violations_unlisted
        scripts, recovered = self.evidence.slow_scripts, ", ".join(f"{each:.0f} ms" for each in self.recovery_ms)
        slow = [script for script in scripts if script.own_ms > terms.script_ms]
        return [
            Promise(
                f"every message that was accepted has one end: {self.promised} = {sums}",
                sum(self.balance.values()) == self.promised,
            ),
            Promise(f"none is lost: {counted(self.lost)}", not self.lost),
            Promise(
                f"none arrived that the ledger calls not sent: {counted(self.recorded_unsent)}",
                not self.recorded_unsent,
            ),
            Promise(f"none arrived that was not submitted: {len(self.unsubmitted)}", not self.unsubmitted),
            Promise(f"no key was accepted twice: {counted(self.accepted_twice)}", not self.accepted_twice),
            Promise(
                f"each of {len(self.duplicates)} duplicates has a cause:"
                f" {counted(each.first for each in without_cause)} without one",
                not without_cause,
            ),
            Promise(f"no more duplicates than calls in flight: {len(self.over_bound)} times more", not self.over_bound),
            Promise(
                f"what may arrive at most once did: {counted(self.repeated_at_most_once)} twice",
                not self.repeated_at_most_once,
            ),
            Promise(
                f"no window is broken: {standing} times, and {len(self.explained)} times by duplicates only",
                not standing,
            ),
            Promise(f"each lane keeps its order: {len(self.out_of_order)} came late", not self.out_of_order),
            Promise(f"nothing arrived after it was cancelled: {counted(self.after_cancel)}", not self.after_cancel),
            Promise(f"nothing arrived after it expired: {counted(self.after_expiry)}", not self.after_expiry),
            Promise(
                f"no process ended by itself: {len(self.evidence.unexpected_ends)} did",
                not self.evidence.unexpected_ends,
            ),
            Promise(
                f"after an emptied Redis messages arrive again within {terms.recovers_within_ms / 1_000:g} s:"
                f" {recovered or 'never'}",
                all(each <= terms.recovers_within_ms for each in self.recovery_ms),
                of_speed=True,
            ),
            Promise(
                f"no script runs for over {terms.script_ms:g} ms: {len(slow)} did"
                f"{named(slow)}; {len(scripts)} took as long by the clock",
                not slow,
                of_speed=True,
            ),
            *(self._isolation(act) for act in acts_to_judge(self.evidence.troubles)),
        ]

    def _isolation(self, act: Act) -> Promise:
        """Promise that others did not wait, and that enough of them were looked at: that is no matter of speed."""
        terms = self.evidence.terms
        found = {waits.priority: waits for waits in self.others_waits if waits.act is act}
        judged = {priority: len(found[priority].waits_ms) if priority in found else 0 for priority in PRIORITIES}
        too_few = [priority for priority, count in judged.items() if count < terms.judged_min]
        said = f"others wait for under {terms.isolated_ms:.0f} ms at p99 while {act.value}"
        waits = ", ".join(str(each) for each in found.values())
        if too_few:
            said = f"{said}: fewer than {terms.judged_min} {' and '.join(too_few)} messages were judged"
            return Promise(f"{said}: {waits or 'none'}", holds=False)
        is_soon = all(each.most_ms < terms.isolated_ms for each in found.values())
        return Promise(f"{said}: {waits or 'none was judged'}", is_soon, of_speed=True)


def judge(evidence: Evidence) -> Judgement:
    """Compare the evidence with every promise."""
    accepted = accepted_by_key(evidence.arrivals)
    known = {message.key for message in evidence.promised}
    found = duplicates(evidence)
    standing, explained = broken_without_duplicates(evidence.violations, evidence.arrivals, evidence.terms)
    return Judgement(
        promised=len(evidence.promised),
        balance=balance(evidence, accepted),
        lost=[message for message in evidence.promised if is_lost(message, evidence, accepted)],
        recorded_unsent=[message for message in evidence.promised if is_recorded_unsent(message, evidence, accepted)],
        unsubmitted=[arrivals[0] for key, arrivals in accepted.items() if key not in known],
        accepted_twice=[message for message in evidence.promised if len(message.ids) > 1],
        duplicates=found,
        over_bound=over_bound(found, evidence),
        repeated_at_most_once=[
            each for each in evidence.promised if each.is_at_most_once and len(accepted.get(each.key, ())) > 1
        ],
        standing=standing,
        explained=explained,
        out_of_order=out_of_order(evidence.promised, accepted),
        after_cancel=[each for each in evidence.promised if is_after_cancel(each, evidence, accepted)],
        after_expiry=[each for each in evidence.promised if is_after_expiry(each, evidence, accepted)],
        recovery_ms=[
            recovery_ms(evidence.arrivals, each.until_ms)
            for each in evidence.disturbances
            if each.act is Act.REDIS_FLUSHED
        ],
        others_waits=others_waits(evidence),
        evidence=evidence,
    )


Accepted = Mapping[tuple[int, int, str], Sequence[Arrival]]


def balance(evidence: Evidence, accepted: Accepted) -> Counter[str]:
    """Count the ends; a lost message has none."""
    counted: Counter[str] = Counter()
    for message in evidence.promised:
        status = status_of(message, evidence)
        if message.key in accepted:
            counted["sent"] += 1
        elif status in NOT_SENT:
            counted[status] += 1
    return counted


def status_of(message: Promised, evidence: Evidence) -> str:
    ended = evidence.ended.get(message.message_id)
    return ended.status if ended is not None else "unknown"


def is_lost(message: Promised, evidence: Evidence, accepted: Accepted) -> bool:
    return message.key not in accepted and status_of(message, evidence) not in NOT_SENT


def is_recorded_unsent(message: Promised, evidence: Evidence, accepted: Accepted) -> bool:
    """Only an uncertain message may have arrived; any other that did is ``sent``, or its arrival could not be known."""
    arrived = accepted.get(message.key, ())
    if not arrived or status_of(message, evidence) in {"sent", "uncertain"}:
        return False
    return any(cause_of(arrival, message, evidence) is None for arrival in arrived)


def out_of_order(promised: Iterable[Promised], accepted: Accepted) -> list[tuple[Arrival, Arrival]]:
    """Return each message of a lane that first arrived after a later one, with that later one."""
    lanes: dict[tuple[int, int, str], list[tuple[float, int, Arrival]]] = defaultdict(list)
    for message in promised:
        if message.lane and message.key in accepted:
            first = accepted[message.key][0]
            lanes[message.bot_id, message.chat_id, message.lane].append((first.at_ms, message.number, first))
    late = []
    for arrived in lanes.values():
        highest, before = -1, arrived[0][2]
        for _, number, first in sorted(arrived, key=lambda each: each[:2]):
            if number < highest:
                late.append((first, before))
            else:
                highest, before = number, first
    return late


def is_after_cancel(message: Promised, evidence: Evidence, accepted: Accepted) -> bool:
    """A call that was under way when the cancellation was answered may still arrive."""
    arrived = accepted.get(message.key)
    if message.cancelled_at_ms is None or not arrived:
        return False
    return arrived[0].at_ms > message.cancelled_at_ms + evidence.terms.timeout_ms


def is_after_expiry(message: Promised, evidence: Evidence, accepted: Accepted) -> bool:
    """A message that was leased in time may be sent until its lease ends."""
    arrived = accepted.get(message.key)
    if message.expires_at_ms is None or not arrived:
        return False
    return arrived[0].at_ms > message.expires_at_ms + evidence.terms.lease_ms


def recovery_ms(arrivals: Iterable[Arrival], emptied_at_ms: float) -> float:
    """Return when the longest silence after it ended; the whole time that is watched if it did not."""
    until_ms = emptied_at_ms + RECOVERY_WATCHED_MS
    at_ms = [each.at_ms for each in arrivals if each.is_accepted and emptied_at_ms < each.at_ms < until_ms]
    times = [emptied_at_ms, *at_ms]
    silences = [(after - before, after) for before, after in pairwise(times)]
    return max(silences)[1] - emptied_at_ms if silences else RECOVERY_WATCHED_MS


def silences(arrivals: Iterable[Arrival], at_least_ms: float) -> list[tuple[float, float]]:
    """Return from when until when nothing arrived, where that was longer than usual.

    >>> silences([Arrival(at_ms=at, bot_id=1, chat_id=7, text="", code=200) for at in (0, 10, 900, 910)], 500)
    [(10, 900)]
    """
    at_ms = [each.at_ms for each in arrivals if each.is_accepted]
    return [(before, after) for before, after in pairwise(at_ms) if after - before >= at_least_ms]


def counted(things: Iterable[Promised | Arrival]) -> str:
    """Count, and name the first few.

    >>> counted([Arrival(at_ms=0, bot_id=1, chat_id=7, text="low #3", code=200)])
    '1 (bot 1, chat 7: low #3)'
    >>> counted([])
    '0'
    """
    named = [f"bot {each.bot_id}, chat {each.chat_id}: {each.text}" for each in things]
    return f"{len(named)} ({'; '.join(named[:LISTED])})" if named else "0"


def named(scripts: Sequence[SlowScript]) -> str:
    """Name the first few.

    >>> named([SlowScript("lease", took_ms=16, waited_ms=5)])
    ' (lease 16 ms, of which it waited for at most 5)'
    """
    words = [
        f"{each.verb} {each.took_ms:.0f} ms, of which it waited for at most {each.waited_ms:.0f}" for each in scripts
    ]
    return f" ({'; '.join(words[:LISTED])})" if words else ""
