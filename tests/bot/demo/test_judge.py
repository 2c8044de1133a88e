"""Which promises the demo's judge calls kept or broken, and its report."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tempogram.bot.demo.chart import Sample
from tempogram.bot.demo.judge import Evidence, Outage, judge
from tempogram.bot.demo.report import report
from tests.bot.demo.evidence import BULK, CALLS, CAST, DIGESTS, OUTCOMES, STATS, URGENT, call, evidence


def broken(found: Evidence) -> list[str]:
    return [promise.said.partition(":")[0] for promise in judge(found).promises if not promise.holds]


CAST_ONCE = "a broadcast reaches each chat once"
DIGESTED_ONCE = "a change of prices reaches each chat that watches them in one digest"


def printed(found: Evidence, samples: list[Sample], *, has_colours: bool = False) -> str:
    written = io.StringIO()
    console = Console(file=written, width=120, color_system="standard" if has_colours else None)
    console.print(report(judge(found), samples, started_at_ms=1_000, group_window_s=10))
    return written.getvalue()


def test_complete_timely_and_ordered_arrivals_keep_every_promise() -> None:
    judgement = judge(evidence())

    assert judgement.holds
    assert (judgement.arrived, judgement.refused, judgement.before_kill) == (13, 1, 8)


def test_a_second_copy_is_excused_only_if_the_first_was_in_flight_at_the_kill() -> None:
    long_before = [*CALLS, call(BULK[0], 9_500)]

    assert judge(evidence()).in_flight_twice == 1
    assert judge(evidence(calls=long_before)).other_twice == 1
    assert broken(evidence(calls=long_before)) == ["nothing arrives twice except what was in flight at the kill -9"]


def test_waits_during_the_outage_are_reported_apart() -> None:
    judgement = judge(evidence())

    assert (judgement.urgent_ms, judgement.urgent_over_outage_ms) == (250, None)
    assert (judgement.answer_ms, judgement.answer_over_outage_ms) == (None, 4_000)


def test_the_used_share_of_the_limit_excludes_the_outage_and_what_follows_the_bulk() -> None:
    # From 1.5 s to the last of the bulk at 9.99 s, without 4 s of outage: nine places of 30 a second.
    assert judge(evidence()).use == pytest.approx(9 / (30 * 4.49))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"calls": CALLS[1:]}, "nothing is lost"),
        (
            {"calls": [*CALLS, call(BULK[0], 9_500) | {"text": "not submitted"}]},
            "nothing arrives that was not submitted",
        ),
        ({"calls": [*CALLS, call(CAST[0], 10_500)]}, CAST_ONCE),
        ({"outcomes": OUTCOMES | {"sent": 3, "uncertain": 0}}, CAST_ONCE),
        ({"outcomes": OUTCOMES | {"uncertain": 0}}, CAST_ONCE),
        ({"calls": [*CALLS, call(DIGESTS[0], 10_500)]}, DIGESTED_ONCE),
        ({"calls": CALLS[:-1]}, DIGESTED_ONCE),
        ({"violations": {"group": 1}}, "no limit is exceeded, even over the restart"),
        ({"throttled": {"ordered": 2, "window": 1}}, "no 429 except the injected ones"),
        ({"throttled": {"ordered": 2, "penalty": 1}}, "no 429 except the injected ones"),
        ({"out_of_order": 1}, "each chat gets its messages in order"),
        ({"stats": STATS | {"dlq": 2}}, "only undeliverable messages are dead letters"),
        ({"stats": STATS | {"retry": 1}}, "nothing waits at the end"),
        ({"outage": Outage(1_000, 1_400)}, "all of this under faults"),
        ({"faults_ordered": 2}, "all of this under faults"),
    ],
)
def test_each_failure_breaks_its_promise(changed: dict[str, Any], said: str) -> None:
    assert said in broken(evidence(**changed))
    assert not judge(evidence(**changed)).holds


def test_an_urgent_message_behind_the_bulk_breaks_its_promise() -> None:
    late = [call(URGENT, 3_001) if each["text"] == URGENT.text else each for each in CALLS]

    assert broken(evidence(calls=late)) == ["no urgent message waits longer than 1 s behind the bulk"]


def test_the_report_shows_the_chart_the_numbers_and_the_verdict() -> None:
    samples = [Sample(1_100, dict.fromkeys(STATS, 8)), Sample(6_000, None), Sample(9_500, dict.fromkeys(STATS, 0))]

    good, bad = printed(evidence(), samples), printed(evidence(calls=CALLS[1:]), samples)

    assert " low waiting       █······· ·        at most 8" in good
    assert " arrived a second  ▁▁▁▁    ▁▁        at most 5" in good
    assert "                   0 s kill -9 back" in good
    assert "tried again              2 after a 429, 1 after a 5xx" in good
    assert "kept   nothing is lost: 13 of 13 messages arrived" in good
    assert "Every promise held" in good
    assert "BROKEN nothing is lost: 12 of 13 messages arrived" in bad
    assert "of 12 promises were broken" in bad


def test_the_report_has_no_colours_where_none_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = printed(evidence(), [], has_colours=True)
    monkeypatch.setenv("NO_COLOR", "1")
    refused = printed(evidence(), [], has_colours=True)

    assert "\x1b[32m" in coloured
    assert "\x1b[3" not in refused
