"""Engines of a room of tests that need not import what a server has imported; commands start theirs as a user does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tempogram.bot.demo.process import EngineProcess
from tests.fork_server import start


@pytest.fixture(scope="package", autouse=True)
def _forked_engines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(EngineProcess, "_spawn", _fork)
        yield


async def _fork(engine: EngineProcess, errors: int | None) -> asyncio.subprocess.Process:
    with nullcontext() if errors is None else os.fdopen(os.dup(errors), "ab") as log_file:
        environment = engine._environment()
        return await start(
            "tempogram", engine.module, engine.role, env=environment, cwd=engine.directory, stderr=log_file
        )
