"""What was promised, and what Telegram's own record says of it. The engine is believed where it says «not sent»."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.broken_windows import broken_without_copies
from tests.chaos.duplicates import Copy, accepted_by_key, cause_of, copies, too_many
from tests.chaos.evidence import Act, Arrival, Disturbance, Evidence, Promised, SlowScript, Violation

NOT_SENT = ("dead", "cancelled", "expired", "uncertain")
LISTED = 5
HEALING_WATCHED_MS = 7_000
"""No longer than nothing else is done; see ``disturbances``."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence with what was found, and whether it holds. ``of_speed``: on a busy machine it need not."""

    said: str
    holds: bool
    of_speed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of it.

    Attributes:
        balance: How many ended how, by Telegram's record where it arrived there, else by the books.
        lost: Neither arrived nor ended otherwise; ``unsaid``: arrived, though the books say it did not, and
            nothing happened that would explain it.
        healed_ms: After each time that Redis was emptied while it ran, until messages arrived again.
    """

    promised: int
    balance: Mapping[str, int]
    lost: Sequence[Promised]
    unsaid: Sequence[Promised]
    strangers: Sequence[Arrival]
    accepted_twice: Sequence[Promised]
    copies: Sequence[Copy]
    over_bound: Mapping[Disturbance, int]
    repeated_once: Sequence[Promised]
    standing: Sequence[Violation]
    explained: Sequence[Violation]
    out_of_order: Sequence[tuple[Arrival, Arrival]]
    after_cancel: Sequence[Promised]
    after_expiry: Sequence[Promised]
    healed_ms: Sequence[float]
    evidence: Evidence = field(repr=False)

    @property
    def promises(self) -> list[Promise]:
        terms = self.evidence.terms
        sums = " + ".join(f"{count} {status}" for status, count in sorted(self.balance.items()))
        without_cause = [copy for copy in self.copies if copy.cause is None]
        standing = len(self.standing) + self.evidence.violations_unlisted
        scripts, healed = self.evidence.slow_scripts, ", ".join(f"{each:.0f} ms" for each in self.healed_ms)
        slow = [script for script in scripts if script.own_ms > terms.script_ms]
        return [
            Promise(
                f"every message that was accepted has one end: {self.promised} = {sums}",
                sum(self.balance.values()) == self.promised,
            ),
            Promise(f"none is lost: {told(self.lost)}", not self.lost),
            Promise(f"none arrived of which the books say that it did not: {told(self.unsaid)}", not self.unsaid),
            Promise(f"none arrived that nobody asked for: {len(self.strangers)}", not self.strangers),
            Promise(f"no key was accepted twice: {told(self.accepted_twice)}", not self.accepted_twice),
            Promise(
                f"each of {len(self.copies)} repetitions has a cause: {told(copy.first for copy in without_cause)}"
                " without one",
                not without_cause,
            ),
            Promise(f"no more repetitions than were in flight: {len(self.over_bound)} times more", not self.over_bound),
            Promise(f"what is to arrive at most once did: {told(self.repeated_once)} twice", not self.repeated_once),
            Promise(
                f"no window is broken: {standing} times, and {len(self.explained)} times by second copies only",
                not standing,
            ),
            Promise(f"each lane keeps its order: {len(self.out_of_order)} came late", not self.out_of_order),
            Promise(f"nothing arrived after it was cancelled: {told(self.after_cancel)}", not self.after_cancel),
            Promise(f"nothing arrived after it expired: {told(self.after_expiry)}", not self.after_expiry),
            Promise(f"no process ended by itself: {len(self.evidence.own_ends)} did", not self.evidence.own_ends),
            Promise(
                f"an emptied Redis is healed within {terms.heals_within_ms / 1_000:g} s: {healed or 'never'}",
                all(each <= terms.heals_within_ms for each in self.healed_ms),
                of_speed=True,
            ),
            Promise(
                f"no script has the processor for over {terms.script_ms:g} ms: {len(slow)} had"
                f"{named(slow)}; {len(scripts)} took as long by the clock",
                not slow,
                of_speed=True,
            ),
        ]


def judge(evidence: Evidence) -> Judgement:
    """Compare."""
    accepted = accepted_by_key(evidence.arrivals)
    known = {message.key for message in evidence.promised}
    found = copies(evidence)
    standing, explained = broken_without_copies(evidence.violations, evidence.arrivals, evidence.terms)
    return Judgement(
        promised=len(evidence.promised),
        balance=balance(evidence, accepted),
        lost=[message for message in evidence.promised if is_lost(message, evidence, accepted)],
        unsaid=[message for message in evidence.promised if is_unsaid(message, evidence, accepted)],
        strangers=[arrivals[0] for key, arrivals in accepted.items() if key not in known],
        accepted_twice=[message for message in evidence.promised if len(message.ids) > 1],
        copies=found,
        over_bound=too_many(found, evidence),
        repeated_once=[each for each in evidence.promised if each.is_once and len(accepted.get(each.key, ())) > 1],
        standing=standing,
        explained=explained,
        out_of_order=out_of_order(evidence.promised, accepted),
        after_cancel=[each for each in evidence.promised if is_after_cancel(each, evidence, accepted)],
        after_expiry=[each for each in evidence.promised if is_after_expiry(each, evidence, accepted)],
        healed_ms=[
            healed_ms(evidence.arrivals, each.until_ms)
            for each in evidence.disturbances
            if each.act is Act.REDIS_FLUSHED
        ],
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


def is_unsaid(message: Promised, evidence: Evidence, accepted: Accepted) -> bool:
    """An uncertain message may have arrived. Any other that arrived is ``sent``, or nobody could know of an arrival."""
    arrived = accepted.get(message.key, ())
    if not arrived or status_of(message, evidence) in {"sent", "uncertain"}:
        return False
    return any(cause_of(arrival, message, evidence) is None for arrival in arrived)


def out_of_order(promised: Iterable[Promised], accepted: Accepted) -> list[tuple[Arrival, Arrival]]:
    """Return each message of a lane whose first copy came after that of a later one, with that later one."""
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
    """What was in the air when the answer was given is forgiven: it was written before."""
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


def healed_ms(arrivals: Iterable[Arrival], emptied_at_ms: float) -> float:
    """Return when the longest silence ended that followed; all the time that is watched if it never did."""
    until_ms = emptied_at_ms + HEALING_WATCHED_MS
    at_ms = [each.at_ms for each in arrivals if each.is_accepted and emptied_at_ms < each.at_ms < until_ms]
    times = [emptied_at_ms, *at_ms]
    silences = [(after - before, after) for before, after in pairwise(times)]
    return max(silences)[1] - emptied_at_ms if silences else HEALING_WATCHED_MS


def silences(arrivals: Iterable[Arrival], at_least_ms: float) -> list[tuple[float, float]]:
    """Return from when until when nothing arrived, where that was longer than usual.

    >>> silences([Arrival(at_ms=at, bot_id=1, chat_id=7, text="", code=200) for at in (0, 10, 900, 910)], 500)
    [(10, 900)]
    """
    at_ms = [each.at_ms for each in arrivals if each.is_accepted]
    return [(before, after) for before, after in pairwise(at_ms) if after - before >= at_least_ms]


def told(things: Iterable[Promised | Arrival]) -> str:
    """Count, and name the first few.

    >>> told([Arrival(at_ms=0, bot_id=1, chat_id=7, text="low #3", code=200)])
    '1 (bot 1, chat 7: low #3)'
    >>> told([])
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
