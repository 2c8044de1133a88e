"""The engine as a child process."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tempogram.bot.demo.process import EngineProcess, ProcessFailed, free_port


async def test_an_engine_that_does_not_start_raises_its_last_line(tmp_path: Path) -> None:
    engine = EngineProcess("http://127.0.0.1:1", tmp_path, ["nonsense"], log_file=tmp_path / "words")

    with pytest.raises(ProcessFailed, match="the engine ended by itself, with status 2: tempogram: BOT_TOKENS"):
        await engine.start()

    await engine.close()


def test_a_machine_without_a_free_port_is_reported_once_each_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: tuple[str, int]) -> socket.socket:
        raise OSError("address already in use")

    monkeypatch.setattr(socket, "create_server", refuse)

    with pytest.raises(ProcessFailed, match="no port from 15000 to 31999 can be opened"):
        free_port()
