"""The engine as a child process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.bot.demo.process import EngineProcess, ProcessFailed


async def test_an_engine_that_does_not_start_raises_its_last_line(tmp_path: Path) -> None:
    engine = EngineProcess("http://127.0.0.1:1", tmp_path, ["nonsense"], log_file=tmp_path / "words")

    with pytest.raises(ProcessFailed, match="the engine ended by itself, with status 2: tempogram: BOT_TOKENS"):
        await engine.start()

    await engine.close()
