"""Metrics count calls by their outcome, and are shown under names that never change."""

from __future__ import annotations

import pytest

from tempogram.engine.model.messages import Lease, Outgoing, Priority
from tempogram.engine.model.outcomes import Answer, Failed, Outcome, Overdue, Rejected, Sent, Throttled, Uncertain
from tempogram.engine.observability.metrics import (
    EngineCollector,
    Metrics,
    ObservedTransport,
    as_flat,
    as_text,
)
from tempogram.engine.ports import MayWrite, QueueStats
from tempogram.engine.resilience.circuit_breaker import FAILURES_MIN, TRIAL_MS, CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tests.fakes import START_MS, Clock, outgoing

TOOK_MS = 300


class ScriptedTransport:
    """Answers each call after a while, in the order of the script."""

    def __init__(self, clock: Clock, *outcomes: Outcome) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        assert may_write()
        self._clock.advance(TOOK_MS)
        return Answer(self._outcomes.pop(0), counted_at_ms=self._clock())


async def counted(*outcomes: Outcome, message: Outgoing | None = None) -> dict[str, float]:
    """Send one message for each outcome, and return every number there is."""
    clock, metrics = Clock(), Metrics()
    transport = ObservedTransport(ScriptedTransport(clock, *outcomes), metrics, clock)
    for _ in outcomes:
        await transport.send(lease_of(message or outgoing("a", bot_id=42, priority=Priority.HIGH)), lambda: True)
    return shown(metrics)


def shown(metrics: Metrics, queue: QueueStats | None = None, dead: int | None = None) -> dict[str, float]:
    return as_flat(EngineCollector(metrics, queue=queue, dead=dead, conditions=()))


def lease_of(message: Outgoing) -> Lease:
    return Lease(message, attempt=1, worker_id="w", incarnation=1, number=1, expires_at_ms=START_MS + 60_000)


async def test_a_throttled_call_counts_as_a_429() -> None:
    numbers = await counted(Throttled(7_000), Sent(1))

    assert numbers["telegram_429_count"] == 1
    assert numbers["telegram_5xx_count"] == 0


async def test_only_a_5xx_counts_as_one() -> None:
    numbers = await counted(Failed("Bad Gateway", 502), Failed("no route to host"), Rejected(400, "no"), Uncertain("?"))

    assert numbers["telegram_5xx_count"] == 1


async def test_calls_are_counted_by_bot_priority_and_outcome() -> None:
    numbers = await counted(Sent(1), Sent(2), Rejected(403, "Forbidden"))

    assert numbers['telegram_messages_total{bot="42",outcome="sent",priority="high"}'] == 2
    assert numbers['telegram_messages_total{bot="42",outcome="rejected",priority="high"}'] == 1


async def test_a_call_is_timed_by_its_method() -> None:
    numbers = await counted(Sent(1))

    assert numbers['telegram_send_seconds_sum{method="sendMessage"}'] == pytest.approx(0.3)
    assert numbers['telegram_send_seconds_bucket{le="0.25",method="sendMessage"}'] == 0
    assert numbers['telegram_send_seconds_bucket{le="0.5",method="sendMessage"}'] == 1


async def test_an_overdue_call_is_not_timed() -> None:
    assert "telegram_send_seconds_count" not in repr(await counted(Overdue()))


async def test_a_message_waits_from_its_submission_until_it_is_sent() -> None:
    message = Outgoing(
        id="a", bot_id=1, chat_id=7, method="sendMessage", params=b"{}", submitted_at_ms=START_MS - 1_000
    )

    numbers = await counted(Throttled(1_000), Sent(1), message=message)

    assert numbers['telegram_wait_seconds_count{priority="normal"}'] == 1
    assert numbers['telegram_wait_seconds_sum{priority="normal"}'] == pytest.approx(1.6)


async def test_a_scheduled_message_does_not_wait_before_its_time() -> None:
    message = outgoing("a", ready_at_ms=START_MS)

    numbers = await counted(Sent(1), message=message)

    assert numbers['telegram_wait_seconds_sum{priority="normal"}'] == pytest.approx(0.3)


def test_the_text_has_the_promised_names_to_the_letter() -> None:
    lines = as_text(
        EngineCollector(Metrics(throttled=3, server_errors=2, drops=1), queue=None, dead=None, conditions=())
    ).splitlines()

    assert {b"telegram_429_count 3.0", b"telegram_5xx_count 2.0", b"telegram_rate_limited_drops 1.0"} <= set(lines)


def test_text_and_json_show_the_same_numbers() -> None:
    collector = EngineCollector(
        Metrics(drops=5), queue=QueueStats({Priority.LOW: 2}, retry=1, leased=0), dead=4, conditions=()
    )

    text = as_text(collector).decode()

    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    assert {name: float(value) for name, _, value in lines} == as_flat(collector)


def test_gauges_of_an_unreachable_queue_or_ledger_are_left_out() -> None:
    numbers = shown(Metrics(), queue=None, dead=None)

    assert not [name for name in numbers if name.startswith(("telegram_waiting", "telegram_dead_letters"))]


def test_the_gauges_show_the_counts_of_queue_and_ledger() -> None:
    numbers = shown(Metrics(), queue=QueueStats({Priority.LOW: 2}, retry=1, leased=3), dead=4)

    assert numbers['telegram_waiting{priority="low"}'] == 2
    assert numbers['telegram_waiting{priority="high"}'] == 0
    assert (numbers["telegram_retry_waiting"], numbers["telegram_leased"]) == (1, 3)
    assert numbers["telegram_dead_letters"] == 4


def test_active_broadcasts_are_shown_by_state_with_what_is_left_of_them() -> None:
    numbers = shown(
        Metrics(broadcasts=lambda: {"running": 2}, recipients_left=lambda: 900, recipients_ended=lambda: {"sent": 7})
    )

    assert numbers['telegram_broadcasts{state="running"}'] == 2
    assert numbers["telegram_broadcast_recipients_left"] == 900
    assert numbers['telegram_broadcast_recipients{outcome="sent"}'] == 7


def test_open_alerts_are_shown_by_kind_and_their_deliveries_by_channel_and_outcome() -> None:
    metrics = Metrics(alerts_open=lambda: {"task_stalled": 2})
    for outcome in ("away", "accepted", "accepted"):
        metrics.count_alert_delivery("slack", outcome)

    numbers = shown(metrics)

    assert numbers['telegram_alerts_open{kind="task_stalled"}'] == 2
    assert numbers['telegram_alert_deliveries_total{channel="slack",outcome="accepted"}'] == 2
    assert numbers['telegram_alert_deliveries_total{channel="slack",outcome="away"}'] == 1


async def test_paid_messages_are_counted_by_bot_and_their_stars_shown_as_the_broker_counts_them() -> None:
    message = outgoing("a", bot_id=42, cost=3, is_paid=True)

    numbers = await counted(Sent(1), Sent(2), message=message)
    queue = QueueStats(waiting={}, retry=0, leased=0, paid={42: 15})

    assert numbers['telegram_paid_messages_total{bot="42"}'] == 6
    assert shown(Metrics(), queue)['telegram_paid_stars{bot="42"}'] == pytest.approx(1.5)


def test_a_bot_whose_calls_fail_is_shown() -> None:
    queue = QueueStats(waiting={}, retry=0, leased=0, failing={42: START_MS})

    assert shown(Metrics(), queue)['telegram_bot_failing{bot="42"}'] == 1


def test_an_open_circuit_breaker_is_shown_until_a_trial_has_succeeded() -> None:
    clock = Clock()
    conditions = Conditions(clock)
    breaker = CircuitBreaker("api.test", clock=clock, conditions=conditions)

    def is_shown() -> float:
        collector = EngineCollector(Metrics(), queue=None, dead=None, conditions=conditions.current)
        return as_flat(collector)['telegram_condition{condition="telegram_away"}']

    before = is_shown()
    for number in range(FAILURES_MIN):
        breaker.end(breaker.ask(1), number, 7, is_alive=False)
    opened = is_shown()
    clock.advance(TRIAL_MS)
    trial = breaker.ask(1)
    tried = is_shown()
    breaker.end(trial, 1, 7, is_alive=True)

    assert (before, opened, tried, is_shown()) == (0, 1, 1, 0)
