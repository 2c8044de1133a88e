"""The simulated Telegram as pytest fixtures, for any bot and any Bot API client.

    telegram          a fresh one for each test, served by a thread of the test's own process
    telegram_process  the same in a process of its own, for what must share no interpreter with it

Both are a ``sync_client.Remote`` and work in plain tests and in coroutines. Settings are given by a mark:
``@pytest.mark.telegram(group_limit=2, group_window_ms=1_000)``.

pytest loads this module at every start, so it imports nothing before a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tempogram.simulator.sync_client import Remote


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "telegram(**settings): settings of the simulated Telegram of this test")


@pytest.fixture
def telegram(request: pytest.FixtureRequest) -> Iterator[Remote]:
    """A simulated Telegram at ``telegram.url``, fresh for this test."""
    from tempogram.simulator.settings import SimulatorSettings, settings_with
    from tempogram.simulator.sync_client import served_in_thread

    with served_in_thread(settings_with(SimulatorSettings(), _settings(request))) as remote:
        yield remote


@pytest.fixture
def telegram_process(request: pytest.FixtureRequest) -> Iterator[Remote]:
    """A simulated Telegram at ``telegram_process.url``, fresh for this test and in a process of its own."""
    from tempogram.simulator.sync_client import served_in_process

    with served_in_process(**_settings(request)) as remote:
        yield remote


def _settings(request: pytest.FixtureRequest) -> dict[str, object]:
    """Read the marks, the nearest last, so that a test's own wins over its class's."""
    marks = request.node.iter_markers("telegram")
    return {name: value for mark in reversed(list(marks)) for name, value in mark.kwargs.items()}
