from __future__ import annotations

from tempogram.engine.observability.metrics import EngineCollector, Metrics, as_flat, as_text


def shown(metrics: Metrics) -> dict[str, float]:
    return as_flat(EngineCollector(metrics, queue=None, dead=None, conditions=()))


def test_calls_of_services_are_shown_with_the_other_metrics() -> None:
    metrics = Metrics()
    counts = metrics.services.operations["twilio", "sms"]
    counts.calls["well"] += 2
    counts.rate_limit_hits += 1
    counts.duration.observe(0.2)
    metrics.services.concurrency = lambda: {"twilio": 10}

    numbers = shown(metrics)

    assert numbers['service_calls_total{operation="sms",outcome="well",service="twilio"}'] == 2
    assert numbers['service_rate_limit_hits_total{operation="sms",service="twilio"}'] == 1
    assert numbers['service_duration_seconds_bucket{le="0.25",operation="sms",service="twilio"}'] == 1
    assert numbers['service_concurrency_limit{service="twilio"}'] == 10
    assert numbers['service_breaker{operation="sms",service="twilio",state="closed"}'] == 1
    assert numbers['service_breaker{operation="sms",service="twilio",state="open"}'] == 0


def test_a_service_that_was_never_called_has_no_series() -> None:
    text = as_text(EngineCollector(Metrics(), queue=None, dead=None, conditions=())).decode()

    assert [line for line in text.splitlines() if line.startswith("service_")] == []
