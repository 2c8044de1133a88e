from __future__ import annotations

from tempogram.engine.services.calling.retry_quota import RetryQuota


def test_a_service_that_answers_only_errors_sees_a_tenth_more_than_the_first_attempts() -> None:
    quota, retries = RetryQuota(), 0
    for _ in range(1_000):
        quota.begin()
        while quota.take():
            retries += 1

    assert 90 <= retries <= 100


def test_a_single_failure_of_a_quiet_service_is_tried_again() -> None:
    quota = RetryQuota()
    for _ in range(3):
        quota.begin()
        assert quota.take()
        quota.succeed()
