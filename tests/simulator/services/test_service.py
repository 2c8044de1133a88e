from __future__ import annotations

from tempogram.simulator.services.service import BODY_KEPT_BYTES, CALLS_KEPT, Call, Service, service_of

QUICK = {"manner": {"hold_ms": [0, 0], "counted": "arrival"}}


async def answers(service: Service, calls: int, body: bytes = b"") -> list[int]:
    return [(await service.answer(Call("POST", "/orders", {}, body))).status for _ in range(calls)]


async def test_no_more_than_the_newest_calls_are_kept() -> None:
    service = service_of(QUICK)

    await answers(service, CALLS_KEPT + 5)

    assert (len(service.kept), service.report()["statuses"]) == (CALLS_KEPT, {"200": CALLS_KEPT + 5})


async def test_of_a_long_body_only_the_beginning_is_kept() -> None:
    service = service_of(QUICK)

    await answers(service, 1, b"x" * (2 * BODY_KEPT_BYTES))

    assert len(service.kept[0]["body"]) == BODY_KEPT_BYTES


async def test_a_limit_of_some_paths_leaves_the_others_alone() -> None:
    staff = {"name": "staff", "prefix": "/staff", "count": 1, "window_ms": 60_000}
    service = service_of({**QUICK, "rules": [staff]})

    assert await answers(service, 3) == [200, 200, 200]
    assert service.counts[0].taken == 0


async def test_the_share_of_failures_is_the_same_in_each_run() -> None:
    failing = {**QUICK, "manner": {**QUICK["manner"], "failures": 0.5}}

    runs = [await answers(service_of(failing), 20) for _ in range(2)]

    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


async def test_an_order_goes_before_what_else_would_be_answered_and_breaks_nothing() -> None:
    one = {"name": "calls", "prefix": "/", "count": 1, "window_ms": 60_000}
    service = service_of({**QUICK, "rules": [one]})
    service.order(429, 1)

    assert await answers(service, 3) == [429, 200, 429]
    assert len(service.counts[0].refused) == 1
