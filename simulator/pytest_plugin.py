"""The simulated Telegram, and a fake of any other service, as pytest fixtures.

    telegram          a fresh one for each test, served by a thread of the test's own process
    telegram_process  the same in a process of its own, for what must share no interpreter with it
    fake_service      another service, fresh for each test, which counts by itself and answers 429 to what is too much

The first two are a ``sync_client.Remote``, the third is a ``services.fake_service.FakeService``; all work in plain
tests and in coroutines. Settings are given by a mark: ``@pytest.mark.telegram(group_limit=2, group_window_ms=1_000)``,
``@pytest.mark.fake_service(count=10, window_ms=1_000)``.

pytest loads this module at every start, so it imports nothing before a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tempogram.simulator.services.fake_service import FakeService
    from tempogram.simulator.sync_client import Remote


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    config.addinivalue_line("markers", "telegram(**settings): settings of the simulated Telegram of this test")
    config.addinivalue_line("markers", "fake_service(**settings): what the fake service of this test allows")


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


@pytest.fixture
def fake_service(request: pytest.FixtureRequest) -> Iterator[FakeService]:
    """A service with limits at ``fake_service.url``, fresh for this test."""
    from tempogram.simulator.services.fake_service import served_in_thread, settings_with

    with served_in_thread(settings_with(_settings(request, "fake_service"))) as service:
        yield service


def _settings(request: pytest.FixtureRequest, mark: str = "telegram") -> dict[str, object]:
    """Read the marks, the nearest last, so that a test's own wins over its class's."""
    marks = request.node.iter_markers(mark)
    return {name: value for mark in reversed(list(marks)) for name, value in mark.kwargs.items()}
