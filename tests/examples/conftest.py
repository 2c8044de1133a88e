"""The environment that the examples read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import pytest

from tempogram.bot.config.settings import Settings

Environment: TypeAlias = Callable[[Mapping[str, str]], None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Sets variables of this process until the test ends; none of Tempogram's is set before."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def put(values: Mapping[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put
