"""A worker in a process of its own, put together and running, with what it has imported by then."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.chaos.servers import missing_programs, own_postgres, own_redis

WORKER = """
import asyncio, sys

from tempogram.bot.commands import entry, roles
from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import load
from tempogram.bot.runtime import main
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.wiring import app_of, program

async def work():
    async with program(load(), ProcessRole.WORKER) as built, running(built):
        main.server(app_of(built))

asyncio.run(work())
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

HEAVY = {"aiogram", "aiohttp", "alembic", "fastapi", "typer"}
"""aiogram alone takes 140 MB and two seconds."""


async def test_a_worker_imports_nothing_that_only_makes_calls(tmp_path: Path) -> None:
    if missing := missing_programs():
        assert os.environ.get("CI") != "true", f"NO {' AND NO '.join(missing)}"
        pytest.skip(f"no {' and no '.join(missing)}")
    async with own_redis() as redis, own_postgres() as postgres:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": redis.url,
            "DATABASE_URL": postgres.url,
            "BOT_TOKENS": "42:token-of-a-bot",
            "DATA_DIR": str(tmp_path),
            "LOG_LEVEL": "ERROR",
        }
        await run("-m", "tempogram", "migrate", environment=environment, folder=tmp_path)
        imported = await run("-c", WORKER, environment=environment, folder=tmp_path)

    assert "tempogram" in imported.split()
    assert HEAVY & set(imported.split()) == set()


async def run(*words: str, environment: dict[str, str], folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env=environment, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
