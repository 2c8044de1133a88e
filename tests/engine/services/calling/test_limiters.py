from __future__ import annotations

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.calling.limiters import charges_of
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.catalogue import ALL, Service, service_of

SHOP = service_of(
    "shop",
    {
        "concurrency": 4,
        "count": 100,
        "window_ms": 1_000,
        "tenant": {"concurrency": 1},
        "operations": {
            "pay": {"count": 10, "window_ms": 1_000, "concurrency": 2, "tokens": {"count": 50, "window_ms": 60_000}},
            "read": {},
        },
    },
)
EVERYWHERE = service_of(ALL, {"concurrency": 50})


def passed(options: CallOptions, operation: str = "pay", everywhere: Service = EVERYWHERE) -> list[tuple[str, int]]:
    """Return the names of a call's limiters, and what it costs there."""
    return [
        (each.limiter.name, each.cost)
        for each in charges_of(SHOP, operation, options, everywhere, tokens_cost=options.cost)
    ]


def test_a_call_passes_the_limiters_of_all_its_service_its_tenant_its_own_its_operation_and_tokens() -> None:
    options = CallOptions(tenant="a:b", cost=30, concurrency=1)

    assert passed(options) == [
        ("all", 1), ("shop", 1), ("shop@a:b", 1), ("shop:pay#1,0,0", 1), ("shop:pay", 1), ("shop:pay/tokens", 30),
    ]  # fmt: skip


def test_a_limiter_without_a_limit_is_left_out_but_for_that_of_the_operation_which_may_be_held() -> None:
    assert passed(CallOptions(), "read", Service(name=ALL)) == [("shop", 1), ("shop:read", 1)]


@pytest.mark.parametrize(
    ("options", "operation", "sentence"),
    [
        (CallOptions(concurrency=5), "read", "concurrency 5 is above what is declared for shop, 4"),
        (CallOptions(concurrency=3), "pay", "concurrency 3 is above what is declared for shop:pay, 2"),
        (
            CallOptions(count=11),
            "pay",
            "11 calls in 1000 ms are more than is declared for shop:pay, 10 in 1000 ms",
        ),
        (
            CallOptions(count=21, window_ms=200),
            "read",
            "21 calls in 200 ms are more than is declared for shop, 100 in 1000 ms",
        ),
        (
            CallOptions(window_ms=500),
            "pay",
            "10 calls in 500 ms are more than is declared for shop:pay, 10 in 1000 ms",
        ),
        (CallOptions(window_ms=500), "read", "window_ms is no limit without a count, and shop:read has none"),
        (CallOptions(count=5), "read", "a count of 5 in a window of 0 ms is no limit; set both, or neither"),
    ],
)
def test_an_option_above_what_is_declared_is_refused_in_one_sentence(
    options: CallOptions, operation: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        passed(options, operation)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "options", [CallOptions(count=10, window_ms=2_000), CallOptions(count=2), CallOptions(window_ms=9_000)]
)
def test_an_option_below_it_has_a_limiter_of_its_own(options: CallOptions) -> None:
    (own,) = [name for name, _ in passed(options) if "#" in name]

    assert own.startswith("shop:pay#0,")
