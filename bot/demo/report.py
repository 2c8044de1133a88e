"""The report at the end of a demo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tempogram.bot.demo.chart import Sample, axis, bars, by_second, waiting_by_second
from tempogram.bot.demo.judge import Judgement, seconds
from tempogram.bot.demo.settings import GROUP_LIMIT
from tempogram.simulator.client import accepted

ROWS = (("high", "magenta"), ("normal", "cyan"), ("low", "blue"), ("retry", "yellow"))


def report(judgement: Judgement, samples: Sequence[Sample], *, started_at_ms: float, group_window_s: int) -> Group:
    """Return the chart, the numbers, and every promise with whether it was kept."""
    return Group(
        chart(judgement, samples, started_at_ms=started_at_ms),
        "",
        numbers(judgement, group_window_s=group_window_s),
        "",
        *promises(judgement),
        "",
        verdict(judgement),
    )


def chart(judgement: Judgement, samples: Sequence[Sample], *, started_at_ms: float) -> RenderableType:
    """Return a chart with a column for each second: waiting messages by priority, and arrivals."""
    evidence = judgement.evidence
    arrived_ms = [call["wall_ms"] for call in accepted(evidence.calls)]
    over_s = int((max(arrived_ms, default=started_at_ms) - started_at_ms) // 1_000) + 1
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, style in ROWS:
        waited = waiting_by_second(samples, name, start_ms=started_at_ms, seconds=over_s)
        top = max((count for count in waited if count is not None), default=0)
        table.add_row(f"{name} waiting", Text(bars(waited, top=top), style), f"at most {top}")
    arrived = by_second(arrived_ms, start_ms=started_at_ms, seconds=over_s)
    table.add_row("arrived a second", Text(bars(arrived, top=evidence.ceiling), "green"), f"at most {max(arrived)}")
    marks = {0: "0 s", _second(evidence.outage.killed_at_ms, started_at_ms): "kill -9"}
    marks[_second(evidence.outage.back_at_ms, started_at_ms)] = "back"
    table.add_row("", axis(marks, width=over_s), f"{over_s} s")
    return table


def _second(time_ms: float, started_at_ms: float) -> int:
    return int((time_ms - started_at_ms) // 1_000)


def numbers(judgement: Judgement, *, group_window_s: int) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, value in _numbers(judgement, group_window_s):
        table.add_row(name, value)
    return table


def _numbers(judgement: Judgement, group_window_s: int) -> Iterator[tuple[str, str]]:
    found, answers = judgement.evidence.report, judgement.evidence.report.by_code
    failed = sum(count for code, count in answers.items() if code.startswith("5"))
    yield "busiest second", f"{found.busiest_total.places} of {judgement.evidence.ceiling} over all bots"
    yield f"busiest {group_window_s} s of a group", f"{found.busiest_group.places} of {GROUP_LIMIT}"
    yield "use of the limit", f"{judgement.use:.1%} until the bulk was done, the outage left out"
    yield "engine away", seconds(judgement.evidence.outage.took_ms)
    yield "slowest urgent message", _wait(judgement.urgent_ms, judgement.urgent_over_outage_ms)
    yield "slowest answer", _wait(judgement.answer_ms, judgement.answer_over_outage_ms)
    yield "tried again", f"{answers.get('429', 0)} after a 429, {failed} after a 5xx"


def _wait(wait_ms: float | None, over_outage_ms: float | None) -> str:
    over = "" if over_outage_ms is None else f"; over the kill -9 {seconds(over_outage_ms)}"
    return seconds(wait_ms) + over


def promises(judgement: Judgement) -> list[Text]:
    return [
        Text.assemble(("kept   ", "green") if promise.holds else ("BROKEN ", "bold red"), promise.said)
        for promise in judgement.promises
    ]


def verdict(judgement: Judgement) -> Text:
    broken = sum(not promise.holds for promise in judgement.promises)
    if not broken:
        return Text("Every promise held, as the simulated Telegram's own record says.", "bold green")
    return Text(f"{broken} of {len(judgement.promises)} promises were broken.", "bold red")
