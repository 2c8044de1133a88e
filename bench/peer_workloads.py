"""What ``bench.peers`` gives each sender to do, and what of its run goes into the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tempogram.simulator.client import accepted
from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.report import Report

GROUP = -1_001_000_000_001
THROTTLED = 5_000
BOT_LIMIT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One message, due so long after the start."""

    chat_id: int
    text: str
    bot: int = 1
    at_s: float = 0
    priority: Literal["high", "normal", "low"] = "normal"

    @property
    def urgent(self) -> bool:
        return self.priority == "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One sender at one workload, as the simulator saw it."""

    planned: list[Planned]
    calls: list[dict[str, Any]]
    report: Report
    start_ms: float
    done: bool
    deadline_s: float
    claimed: int | None
    cpu_s: float | None

    @property
    def accepted(self) -> list[dict[str, Any]]:
        return accepted(self.calls)

    @property
    def lost(self) -> int:
        return len(self.planned) - len({self.key(call) for call in self.accepted})

    @property
    def throttled(self) -> int:
        return self.report.by_code.get("429", 0)

    @property
    def took_s(self) -> float:
        """From the first arrival to the last."""
        first, *_, last = [float(call["at_ms"]) for call in self.accepted]
        return (last - first) / 1_000

    def use_in(self, took_s: float) -> float:
        """Return how much of one bot's limit was used in a time, the first window not counted."""
        arrivals_ms = [call["at_ms"] for call in self.accepted]
        later = sum(1 for at_ms in arrivals_ms if at_ms >= arrivals_ms[0] + 1_000)
        return later / (BOT_LIMIT * max(took_s - 1, 0.001))

    @property
    def unfinished(self) -> str:
        """What stands before a number that would have grown with more time."""
        delivered = len(self.planned) - self.lost
        return "" if self.done else f"not done in {self.deadline_s:g} s ({delivered} of {len(self.planned)}): "

    def waits_s(self, wanted: Callable[[Planned], bool]) -> list[float]:
        """Return how long after they were due such messages arrived, the longest last."""
        due_s = {(one.bot, one.chat_id, one.text): one.at_s for one in self.planned if wanted(one)}
        late_s = {
            self.key(call): (call["wall_ms"] - self.start_ms) / 1_000 - due_s[self.key(call)]
            for call in reversed(self.accepted)  # of two deliveries the first counts
            if self.key(call) in due_s
        }
        return sorted(late_s.values())

    @staticmethod
    def key(call: dict[str, Any]) -> tuple[int, int, str]:
        return call["bot_id"], call["chat_id"], call["text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One plan, and how its result is written."""

    name: str
    title: str
    ideal: str
    plan: list[Planned]
    cell: Callable[[Run], str]
    group_window_s: float = 60
    unceiled: bool = False
    kill_at_s: float | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def bots(self) -> list[int]:
        return sorted({one.bot for one in self.plan})


def _one_bot(run: Run) -> str:
    use = run.use_in(run.took_s if run.done else run.deadline_s)
    seconds = f"{run.took_s:.1f} s, " if run.done else run.unfinished
    return f"{seconds}{use:.0%} of the limit{_throttled(run)}{_lost(run)}"


def _flooded(run: Run) -> str:
    private = [call["at_ms"] for call in run.accepted if call["chat_id"] > 0]
    last_s = (private[-1] - run.accepted[0]["at_ms"]) / 1_000
    order = f", {run.report.out_of_order} out of order" if run.report.out_of_order else ""
    missing = sum(one.chat_id > 0 for one in run.planned) - len(private)
    if missing:
        return f"{run.unfinished}{missing} private ones missing{_throttled(run)}{order}"
    return f"{last_s:.1f} s{_throttled(run)}{order}{_lost(run) if run.done else ''}"


def _urgent(run: Run) -> str:
    waits_s = run.waits_s(lambda one: one.urgent)
    missing = sum(one.urgent for one in run.planned) - len(waits_s)
    if missing:
        return f"{run.unfinished}{missing} urgent ones missing{_throttled(run)}"
    return f"{waits_s[-1]:.2f} s{_throttled(run)}"


def _killed(run: Run) -> str:
    twice = f", {run.report.duplicates} twice" if run.report.duplicates else ""
    return f"{run.unfinished}{run.lost} lost{twice}"


def _throttled_chat(run: Run) -> str:
    waits_s = run.waits_s(lambda one: one.chat_id != THROTTLED)
    missing = sum(one.chat_id != THROTTLED for one in run.planned) - len(waits_s)
    return f"{run.unfinished}{statistics.mean(waits_s):.2f} s{f', {missing} missing' if missing else ''}"


def _fleet(run: Run) -> str:
    cpu = "" if run.cpu_s is None else f", {run.cpu_s:.1f} s of CPU"
    took = run.unfinished.removesuffix(": ") or f"{run.took_s:.1f} s"
    return f"{took}{cpu}{_throttled(run)}{_lost(run) if run.done else ''}"


def _throttled(run: Run) -> str:
    return f", {run.throttled} × 429" if run.throttled else ""  # noqa: RUF001 - as it is printed


def _lost(run: Run) -> str:
    return f", {run.lost} lost" if run.lost and run.done else ""


_HELLOS = [Planned(chat_id=chat, text=f"hello {chat}") for chat in range(1, 601)]

WORKLOADS = (
    Workload(
        name="one_bot",
        title="600 private chats, one bot",
        ideal="19.8 s, 100 %",
        plan=_HELLOS,
        cell=_one_bot,
    ),
    Workload(
        name="flooded_group",
        title="one group with 60 queued first (window 10 s), then 300 private: last private one",
        ideal="10.5 s",
        plan=[Planned(chat_id=GROUP, text=f"flood #{number}") for number in range(60)] + _HELLOS[:300],
        cell=_flooded,
        group_window_s=10,
    ),
    Workload(
        name="urgent",
        title="600 low queued, 10 urgent at 3 s: slowest urgent one",
        ideal="0.33 s",
        plan=[Planned(chat_id=chat, text=f"low {chat}", priority="low") for chat in range(1, 601)]
        + [Planned(chat_id=chat, text=f"urgent {chat}", at_s=3, priority="high") for chat in range(10_001, 10_011)],
        cell=_urgent,
    ),
    Workload(
        name="killed",
        title="kill -9 at 8 s of the first: lost, as long as the caller keeps no record",
        ideal="0 lost",
        plan=_HELLOS,
        cell=_killed,
        kill_at_s=8,
    ),
    Workload(
        name="throttled_chat",
        title="a 429 of 5 s on one chat: the others' mean delay",
        ideal="0 s",
        plan=[Planned(chat_id=THROTTLED, text=f"held #{number}") for number in range(4)]
        + [Planned(chat_id=chat, text=f"other {chat}", at_s=chat / 20) for chat in range(1, 101)],
        cell=_throttled_chat,
        faults=(Fault(kind="429", bot_id=1, chat_id=THROTTLED, times=1, retry_after_s=5),),
    ),
    Workload(
        name="fleet",
        title="50 bots × 60 private chats, no ceiling over all",  # noqa: RUF001 - as it is printed
        ideal="1.0 s",
        plan=[
            Planned(bot=bot, chat_id=1_000 * bot + chat, text=f"hello {chat}")
            for bot in range(1, 51)
            for chat in range(1, 61)
        ],
        cell=_fleet,
        unceiled=True,
    ),
)
