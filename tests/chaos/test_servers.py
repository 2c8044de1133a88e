"""Servers that a command started end with it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.clean_exit import ENDED_BY_SIGTERM
from tests import ROOT

STARTS_SERVERS = """
import asyncio
from bench.clean_exit import run_and_clean_up
from tests.chaos.servers import own_postgres, own_redis

async def work():
    async with own_redis() as redis, own_postgres() as postgres:
        print(redis.port, postgres.port, redis.folder, postgres.folder, flush=True)
        await asyncio.Event().wait()

run_and_clean_up(work())
"""


@pytest.mark.usefixtures("server_programs")
def test_a_command_that_gets_sigterm_leaves_no_server_and_no_folder() -> None:
    command = subprocess.Popen([sys.executable, "-c", STARTS_SERVERS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with command:
        assert command.stdout is not None
        *ports, redis_folder, postgres_folder = command.stdout.readline().split()

        command.terminate()

    assert command.returncode == ENDED_BY_SIGTERM
    assert [port for port in ports if answers(int(port))] == []
    assert not Path(redis_folder).exists()
    assert not Path(postgres_folder).exists()


def answers(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0
