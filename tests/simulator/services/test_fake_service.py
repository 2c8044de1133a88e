"""The fixture ``fake_service``, called by urllib, which knows nothing of it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import aiohttp
import pytest

from tempogram.simulator.services.fake_service import FakeService, settings_with
from tempogram.simulator.services.words import FORMS

HANGS_S = 60


def call(service: FakeService, path: str = "/orders", body: object = None) -> tuple[int, dict[str, str], Any]:
    request = Request(f"{service.url}{path}", None if body is None else json.dumps(body).encode())  # noqa: S310
    try:
        with urlopen(request, timeout=HANGS_S) as response:  # noqa: S310
            return response.status, {k.lower(): v for k, v in response.headers.items()}, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, json.load(error)


def statuses(service: FakeService, calls: int) -> list[int]:
    return [call(service)[0] for _ in range(calls)]


def at_once(service: FakeService, calls: int) -> Sequence[int]:
    with ThreadPoolExecutor(calls) as pool:
        return sorted(pool.map(lambda _: call(service)[0], range(calls)))


@pytest.mark.fake_service(count=2, window_ms=60_000)
def test_a_call_above_the_limit_of_a_window_is_refused(fake_service: FakeService) -> None:
    assert statuses(fake_service, 3) == [200, 200, 429]

    report = fake_service.report()
    assert (report.calls, report.statuses, report.most_in_window) == (3, {200: 2, 429: 1}, 3)
    assert (report.broke_no_limit, report.broken) == (False, ["2 of 2 are used"])


@pytest.mark.fake_service(concurrency=1, takes_ms=300)
def test_a_call_above_the_limit_at_once_is_refused(fake_service: FakeService) -> None:
    assert at_once(fake_service, 2) == [200, 429]

    assert (fake_service.report().most_at_once, fake_service.report().broken) == (2, ["2 at once"])


@pytest.mark.fake_service(tokens=100, window_ms=60_000)
def test_a_model_answers_until_its_tokens_are_used(fake_service: FakeService) -> None:
    answers = [call(fake_service, body={"max_tokens": 100}) for _ in range(2)]

    assert [status for status, *_ in answers] == [200, 429]
    assert answers[0][2]["usage"]["total_tokens"] == 100


@pytest.mark.parametrize("body", [{"options": {"max_tokens": 5}}, {"max_tokens": "many"}, ['"max_tokens"']])
def test_a_body_that_only_resembles_one_of_a_model_is_served(fake_service: FakeService, body: object) -> None:
    assert call(fake_service, body=body)[0] == 200


@pytest.mark.parametrize("form", FORMS)
def test_a_429_has_the_headers_of_its_form(fake_service: FakeService, form: str) -> None:
    fake_service.limit(count=1, window_ms=60_000, form=form)

    call(fake_service)
    status, headers, _ = call(fake_service)

    said = {name for name in headers if re.search("limit|retry", name)}
    assert status == 429
    assert bool(said) == (form != "none")


def test_without_a_mark_every_call_is_served(fake_service: FakeService) -> None:
    assert statuses(fake_service, 20) == [200] * 20
    assert fake_service.report().broke_no_limit


def test_it_fails_as_often_as_a_test_says_and_recovers(fake_service: FakeService) -> None:
    fake_service.fail(times=1, status=503)
    ordered = statuses(fake_service, 2)
    fake_service.fail(status=502)
    failing = statuses(fake_service, 2)
    fake_service.recover()

    assert (ordered, failing, statuses(fake_service, 1)) == ([503, 200], [502, 502], [200])


def test_a_429_is_ordered_in_each_form(fake_service: FakeService) -> None:
    fake_service.throttle(times=1, after_ms=7_000)
    seconds = call(fake_service)[1]["retry-after"]
    fake_service.say("retry-after-ms")
    fake_service.throttle(after_ms=7_000)
    _, headers, _ = call(fake_service)

    assert (seconds, headers["retry-after-ms"]) == ("7", "7000")
    assert fake_service.report().broke_no_limit


def test_a_slow_service_takes_its_time(fake_service: FakeService) -> None:
    fake_service.slow(50)

    call(fake_service)

    (seen,) = fake_service.calls()
    assert seen.ended_ms is not None
    assert seen.ended_ms - seen.began_ms >= 49


async def test_a_hanging_service_is_under_way_until_its_client_has_gone(fake_service: FakeService) -> None:
    fake_service.hang()

    async with aiohttp.ClientSession() as session:
        calling = asyncio.create_task(session.post(fake_service.url, json={"to": "+1"}))
        await asyncio.to_thread(wait_for_calls, fake_service, 1)
        calling.cancel()
        await asyncio.wait([calling])

    (seen,) = fake_service.calls()
    assert (seen.method, seen.json(), seen.status, seen.ended_ms) == ("POST", {"to": "+1"}, 0, None)


def wait_for_calls(service: FakeService, calls: int) -> None:
    until_s = time.monotonic() + HANGS_S
    while len(service.calls()) < calls and time.monotonic() < until_s:
        time.sleep(0.005)


def test_it_tells_what_it_was_asked(fake_service: FakeService) -> None:
    fake_service.answer({"sid": "SM1"})

    _, _, answer = call(fake_service, "/Messages.json?page=2", {"to": "+1"})

    (seen,) = fake_service.calls()
    assert (seen.path, seen.json(), seen.status, answer) == ("/Messages.json?page=2", {"to": "+1"}, 200, {"sid": "SM1"})


@pytest.mark.fake_service(count=1, window_ms=60_000)
def test_a_reset_forgets_what_was_counted(fake_service: FakeService) -> None:
    before = statuses(fake_service, 2)
    fake_service.reset()

    assert (before, fake_service.calls(), statuses(fake_service, 1)) == ([200, 429], [], [200])


def test_a_setting_that_makes_no_sense_is_refused_by_name(fake_service: FakeService) -> None:
    with pytest.raises(ValueError, match="no setting of a fake service is called cuont; there are count, window_ms"):
        settings_with({"cuont": 1})
    with pytest.raises(ValueError, match="count must be at least 0, not -1"):
        settings_with({"count": -1})
    with pytest.raises(ValueError, match="failures is 2; it must be a share from 0 to 1"):
        fake_service.fail(2)
    with pytest.raises(ValueError, match="form is 'twitter'; it must be one of none, retry-after"):
        fake_service.say("twitter")
