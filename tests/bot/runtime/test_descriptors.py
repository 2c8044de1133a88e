from __future__ import annotations

import resource

import pytest

from tempogram.bot.runtime.descriptors import CONNECTIONS_MAX, CONNECTIONS_MIN, connections_max, raise_limit


@pytest.mark.parametrize(
    ("descriptors", "others", "connections"),
    [(1_024, 100, 512), (1_024, 900, 124), (65_536, 100, CONNECTIONS_MAX), (64, 100, CONNECTIONS_MIN)],
)
def test_clients_have_at_most_half_of_the_descriptors(descriptors: int, others: int, connections: int) -> None:
    assert connections_max(descriptors, others=others) == connections


def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] // 2, before[1]))

        assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= before[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
