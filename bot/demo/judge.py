"""Compares the promises with the simulator's record; the engine is not asked what it sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tempogram.simulator.client import accepted
from tempogram.simulator.report import Report

IN_FLIGHT_MS = 1_000
"""How long before the kill a call may have reached Telegram without being recorded: the longest answer of the demo
takes 120 ms, and a machine may be busy."""

BOT_WINDOW_MS = 1_000


class Kind(StrEnum):
    """The part of the demo that a message belongs to."""

    BULK = "bulk"
    FLOOD = "flood"
    URGENT = "urgent"
    ANSWER = "answer"
    BROADCAST = "broadcast"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class Expected:
    """A message that was accepted, or an answer that a user waits for; it must arrive."""

    kind: Kind
    bot_id: int
    chat_id: int
    text: str
    asked_at_ms: float

    @property
    def key(self) -> Key:
        return self.bot_id, self.chat_id, self.text


Key = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Outage:
    """From the kill -9 until the restarted engine answered. Milliseconds since the epoch, as all times here."""

    killed_at_ms: float
    back_at_ms: float

    @property
    def took_ms(self) -> float:
        return self.back_at_ms - self.killed_at_ms

    @property
    def over_at_ms(self) -> float:
        """When it sends again: each bot waits one window first, because its last calls are unknown."""
        return self.back_at_ms + BOT_WINDOW_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The record of a demo.

    Attributes:
        calls: Every call that reached Telegram, oldest first, as the simulator lists them.
        report: The simulator's report.
        stats: The engine's ``/queue/stats``, for its dead letters.
        broadcast: The engine's ``GET /broadcasts/{id}``.
        blocked: The bot and the chat that blocked it.
    """

    expected: Sequence[Expected]
    calls: Sequence[dict[str, Any]]
    report: Report
    stats: dict[str, int]
    broadcast: Mapping[str, Any]
    outage: Outage
    blocked: tuple[int, int]
    urgent_within_ms: float
    ceiling: int
    faults: int


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise with the numbers found, and whether it was kept."""

    said: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How many chats one message was for, how many of them got it, and how many of these more than once."""

    chats: int
    arrived: int
    before_kill: int
    twice: int

    @property
    def missing(self) -> int:
        return self.chats - self.arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a demo. A wait is None where there was none.

    Attributes:
        broadcast: A message of which it is unknown at the kill whether it arrived is not sent again.
    """

    expected: int
    arrived: int
    refused: int
    lost: Sequence[Expected]
    broadcast: Reach
    digests: Reach
    unexpected: int
    in_flight_twice: int
    other_twice: int
    before_kill: int
    use: float
    urgent_ms: float | None
    urgent_over_outage_ms: float | None
    answer_ms: float | None
    answer_over_outage_ms: float | None
    evidence: Evidence = field(repr=False)

    @property
    def promises(self) -> list[Promise]:
        report, stats = self.evidence.report, self.evidence.stats
        due = self.expected - self.refused - self.broadcast.missing
        own = {cause: count for cause, count in report.throttled.items() if cause != "ordered"}
        within_s = self.evidence.urgent_within_ms / 1_000
        return [
            Promise(f"nothing is lost: {self.arrived} of {due} messages arrived", not self.lost),
            Promise(
                "nothing arrives twice except what was in flight at the kill -9: "
                f"{self.in_flight_twice} of {self.in_flight_twice + self.other_twice}",
                self.other_twice == 0,
            ),
            Promise(f"nothing arrives that was not submitted: {self.unexpected}", self.unexpected == 0),
            Promise(
                f"no limit is exceeded, even over the restart: {counted(report.violations)}", report.broke_no_window
            ),
            Promise(f"no 429 except the injected ones: {counted(own)}", not own),
            Promise(
                f"each chat gets its messages in order: {report.out_of_order} out of order", report.out_of_order == 0
            ),
            Promise(
                f"no urgent message waits longer than {within_s:g} s behind the bulk: {seconds(self.urgent_ms)}",
                self.urgent_ms is not None and self.urgent_ms <= self.evidence.urgent_within_ms,
            ),
            self._broadcast_promise(),
            Promise(
                "a change of prices reaches each chat that watches them in one digest: "
                f"{self.digests.arrived} of {self.digests.chats}, {self.digests.twice} twice",
                not self.digests.missing and not self.digests.twice,
            ),
            Promise(
                f"only undeliverable messages are dead letters: {stats['dlq']}, to a user who blocked the bot",
                stats["dlq"] == self.refused,
            ),
            Promise(f"nothing waits at the end: {waiting(stats)}", waiting(stats) == 0),
            Promise(
                f"all of this under faults: {self.before_kill} sent before the kill -9, "
                f"{report.faults_ordered} injected faults, {self.refused} blocked",
                0 < self.before_kill < self.arrived
                and report.faults_ordered == self.evidence.faults
                and self.refused == 1,
            ),
        ]

    def _broadcast_promise(self) -> Promise:
        outcomes, reach = self.evidence.broadcast["outcomes"], self.broadcast
        sent, unknown = outcomes["sent"], outcomes["uncertain"]
        return Promise(
            f"a broadcast reaches each chat once: {reach.arrived} of {reach.chats}, {reach.before_kill} of them before "
            f"the kill -9, {unknown} uncertain, {reach.twice} twice",
            sent + unknown == reach.chats and sent <= reach.arrived and not reach.twice,
        )

    @property
    def holds(self) -> bool:
        return all(promise.holds for promise in self.promises)


def judge(evidence: Evidence) -> Judgement:
    arrivals = arrivals_by_key(evidence.calls)
    missing = [each for each in evidence.expected if each.key not in arrivals]
    refused = [each for each in missing if is_refused(each, evidence)]
    lost = [each for each in missing if each not in refused and each.kind is not Kind.BROADCAST]
    known = {each.key for each in evidence.expected}
    twice = [times_ms for key, times_ms in arrivals.items() if key in known and len(times_ms) > 1]
    explained = sum(was_in_flight(times_ms, evidence.outage) for times_ms in twice)
    at_ms = sorted(time_ms for times_ms in arrivals.values() for time_ms in times_ms)
    urgent = [each for each in evidence.expected if each.kind is Kind.URGENT]
    answers = [each for each in evidence.expected if each.kind is Kind.ANSWER]
    return Judgement(
        expected=len(evidence.expected),
        arrived=len(known & arrivals.keys()),
        refused=len(refused),
        lost=lost,
        broadcast=reach(evidence, Kind.BROADCAST, arrivals),
        digests=reach(evidence, Kind.DIGEST, arrivals),
        unexpected=sum(len(times_ms) for key, times_ms in arrivals.items() if key not in known),
        in_flight_twice=explained,
        other_twice=sum(len(times_ms) - 1 for times_ms in twice) - explained,
        before_kill=sum(time_ms <= evidence.outage.killed_at_ms for time_ms in at_ms),
        use=use(arrivals, evidence),
        urgent_ms=slowest_ms(urgent, arrivals, evidence.outage, over=False),
        urgent_over_outage_ms=slowest_ms(urgent, arrivals, evidence.outage, over=True),
        answer_ms=slowest_ms(answers, arrivals, evidence.outage, over=False),
        answer_over_outage_ms=slowest_ms(answers, arrivals, evidence.outage, over=True),
        evidence=evidence,
    )


def reach(evidence: Evidence, kind: Kind, arrivals: Mapping[Key, Sequence[float]]) -> Reach:
    times_ms = [arrivals.get(each.key, ()) for each in evidence.expected if each.kind is kind]
    return Reach(
        chats=len(times_ms),
        arrived=sum(len(each) > 0 for each in times_ms),
        before_kill=sum(len(each) > 0 and each[0] <= evidence.outage.killed_at_ms for each in times_ms),
        twice=sum(len(each) > 1 for each in times_ms),
    )


def arrivals_by_key(calls: Iterable[dict[str, Any]]) -> dict[Key, list[float]]:
    """Return the arrival times of each message: more than one if it was sent twice."""
    arrivals: dict[Key, list[float]] = defaultdict(list)
    for call in accepted(calls):
        arrivals[call["bot_id"], call["chat_id"], call["text"]].append(call["wall_ms"])
    return dict(arrivals)


def is_refused(message: Expected, evidence: Evidence) -> bool:
    """Tell whether it is the message to the user who blocked the bot, and a dead letter."""
    return (message.bot_id, message.chat_id) == evidence.blocked and evidence.stats["dlq"] > 0


def was_in_flight(times_ms: Sequence[float], outage: Outage) -> bool:
    """Tell whether the first copy arrived just before the kill and the second after it.

    >>> outage = Outage(killed_at_ms=10_000, back_at_ms=14_000)
    >>> was_in_flight([9_950, 15_000], outage), was_in_flight([8_000, 15_000], outage)
    (True, False)
    >>> was_in_flight([9_900, 9_950], outage), was_in_flight([9_950, 15_000, 16_000], outage)
    (False, False)
    """
    if len(times_ms) != 2:
        return False
    first_ms, second_ms = times_ms
    return -IN_FLIGHT_MS <= first_ms - outage.killed_at_ms < outage.took_ms and second_ms > outage.killed_at_ms


def slowest_ms(
    messages: Iterable[Expected], arrivals: dict[Key, list[float]], outage: Outage, *, over: bool
) -> float | None:
    """Return the longest wait of the messages during the outage, or of the others."""
    waits_ms = [
        arrivals[each.key][0] - each.asked_at_ms
        for each in messages
        if each.key in arrivals
        and over is (each.asked_at_ms < outage.over_at_ms and arrivals[each.key][0] > outage.killed_at_ms)
    ]
    return max(waits_ms, default=None)


def use(arrivals: dict[Key, list[float]], evidence: Evidence) -> float:
    """Return the used share of the ceiling, from the first message until the bulk was done, without the outage.

    The second that the restarted engine waits is not part of the outage.
    """
    bulk = {each.key for each in evidence.expected if each.kind is Kind.BULK}
    every_ms = sorted(time_ms for times_ms in arrivals.values() for time_ms in times_ms)
    last_ms = max((arrivals[key][-1] for key in bulk if key in arrivals), default=0.0)
    outage = evidence.outage
    span_ms = last_ms - every_ms[0] - outage.took_ms if every_ms else 0.0
    if span_ms <= 0:
        return 0.0
    counted = sum(time_ms <= last_ms for time_ms in every_ms)
    return counted / (evidence.ceiling * span_ms / 1_000)


def waiting(stats: dict[str, int]) -> int:
    return sum(count for name, count in stats.items() if name != "dlq")


def counted(counts: Mapping[str, int]) -> str:
    """Write the counts by name.

    >>> counted({"bot": 2, "group": 1}), counted({})
    ('bot 2, group 1', 'none')
    """
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def seconds(wait_ms: float | None) -> str:
    """Write a wait.

    >>> seconds(1_234), seconds(None)
    ('1.23 s', 'none')
    """
    return "none" if wait_ms is None else f"{wait_ms / 1_000:.2f} s"
